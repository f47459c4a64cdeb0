import { errorText, sleep } from "./http.ts";
import { Failure } from "./failure.ts";
import { Fields, type Rest } from "./rest.ts";
import { commonReason } from "./push-client.ts";

/** A step in the life of a push. */
export interface PushEvent {
  id: string;
  /** ms since 1970 */
  at: number;
  sourceName: string;
  /** Where it goes, without what is secret. */
  target: string;
  status: string;
  reason: string;
  info: string;
  attempts: number | null;
}

export interface Follower {
  event: (event: PushEvent) => void;
  /** Events may have been missed until now: what is true has to be asked for. */
  gap: () => void;
}

/** The server says something every 15 s. */
const silenceMs = 40_000;

const pauseMs = 2000;

/** Follows what happens to all pushes, through lost connections, until the signal ends it or the server does not know who asks. */
export async function followPushes(rest: Rest, follower: Follower, signal: AbortSignal): Promise<void> {
  let last = ""; // the number of the newest event
  while (!signal.aborted) {
    try {
      const response = await rest.open("/push/events", last === "" ? {} : { "Last-Event-ID": last }, signal);
      if (!response.ok || !response.body) {
        throw new Failure(commonReason(response.status), await errorText(response));
      }
      if (last === "") {
        follower.gap(); // what came before the connection
      }
      for await (const message of read(response.body, signal)) {
        last = message.id || last;
        deliver(message, follower);
      }
    } catch (error) {
      if (error instanceof Failure && error.reason === "login_needed") {
        return;
      }
      // Whatever else it was: those who follow ask now and then all the same, and say what they find.
    }
    await sleep(pauseMs, signal).catch(() => undefined);
  }
}

function deliver(message: Message, follower: Follower): void {
  if (message.event === "missed") {
    follower.gap();
  }
  const event = message.event === "push" ? parseEvent(message.data) : null;
  if (event) {
    follower.event(event);
  }
}

/** Reads an event; null if it is none. */
export function parseEvent(data: string): PushEvent | null {
  let fields: Fields;
  try {
    fields = new Fields(JSON.parse(data));
  } catch {
    return null;
  }
  const at = Date.parse(fields.text("at"));
  return fields.text("id") === "" || Number.isNaN(at) ? null : {
    id: fields.text("id"), at, sourceName: fields.text("sourceStreamName"), target: fields.text("target"), status: fields.text("to"),
    reason: fields.text("reason"), info: fields.text("info"), attempts: fields.number("attempt"),
  };
}

async function* read(body: ReadableStream<Uint8Array>, signal: AbortSignal): AsyncGenerator<Message> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  const parser = new EventParser();
  const cancel = (): void => void reader.cancel().catch(() => undefined);
  signal.addEventListener("abort", cancel);
  try {
    for (;;) {
      const timer = setTimeout(cancel, silenceMs);
      const { done, value } = await reader.read().finally(() => clearTimeout(timer));
      if (done) {
        return;
      }
      yield* parser.take(decoder.decode(value, { stream: true }));
    }
  } finally {
    signal.removeEventListener("abort", cancel);
    cancel();
  }
}

/** One server-sent event; event and data are empty where only a number was told. */
export interface Message {
  id: string;
  event: string;
  data: string;
}

/** Takes text/event-stream apart (HTML, 9.2.6). EventSource would do so too, but it cannot say who asks. */
export class EventParser {
  private rest = "";
  private id = "";
  private event = "";
  private data: string[] = [];

  take(text: string): Message[] {
    const lines = (this.rest + text).split(/\r\n|\n|\r(?!$)/);
    this.rest = lines.pop() ?? "";
    const messages: Message[] = [];
    for (const line of lines) {
      if (line === "") {
        messages.push({ id: this.id, event: this.event || "message", data: this.data.join("\n") });
        this.event = "";
        this.data = [];
      } else {
        this.field(line);
      }
    }
    return messages;
  }

  private field(line: string): void {
    const [, name, value = ""] = /^([^:]*):? ?(.*)$/s.exec(line) ?? [];
    switch (name) {
      case "id": this.id = value; break;
      case "event": this.event = value; break;
      case "data": this.data.push(value); break;
    }
  }
}
