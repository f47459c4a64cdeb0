/** One server-sent event (HTML, 9.2). One with no data only says how far the server is. */
export interface ServerEvent {
  event: string;
  data: string;
  /** The last that was said, by this event or an earlier one. */
  id: string;
}

/** Takes a stream of server-sent events apart. */
export async function* serverEvents(body: ReadableStream<Uint8Array>): AsyncGenerator<ServerEvent> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  let event = "";
  let data: string[] = [];
  let id = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) {
        return;
      }
      const lines = (rest + decoder.decode(value, { stream: true })).split("\n"); // our server ends lines so
      rest = lines.pop() ?? "";
      for (const line of lines) {
        const [, field = "", text = ""] = /^(\w+): ?(.*?)\r?$/.exec(line) ?? [];
        if (field === "event") {
          event = text;
        } else if (field === "data") {
          data.push(text);
        } else if (field === "id") {
          id = text;
        } else if (/^\r?$/.test(line)) {
          yield { event, data: data.join("\n"), id };
          event = "";
          data = [];
        }
      }
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}
