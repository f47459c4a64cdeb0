/** One server-sent event (HTML, 9.2). One without data only tells the id of the newest event. */
export interface ServerEvent {
  /** Empty if the server named none. */
  event: string;
  data: string;
  /** The newest id so far, of this event or an earlier one. */
  id: string;
}

/** Parses a stream of server-sent events. EventSource does the same, but cannot send a name and a password. */
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
      // A \r at the end waits for the next bytes: a \n may follow, and both together end one line.
      const lines = (rest + decoder.decode(value, { stream: true })).split(/\r\n|\n|\r(?!$)/);
      rest = lines.pop() ?? "";
      for (const line of lines) {
        const [, field, text = ""] = /^([^:]*):? ?(.*)/s.exec(line) ?? [];
        if (field === "event") {
          event = text;
        } else if (field === "data") {
          data.push(text);
        } else if (field === "id") {
          id = text;
        } else if (!line) {
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

/**
 * Calls `lost` after 40 s of silence: the server sends something every 15 s. The function that is returned starts the time again;
 * with false it only stops it.
 */
export function silenceTimer(lost: () => void): (again?: boolean) => void {
  let timer: ReturnType<typeof setTimeout>;
  return (again = true) => {
    clearTimeout(timer);
    if (again) {
      timer = setTimeout(lost, 40_000);
    }
  };
}
