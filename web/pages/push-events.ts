import { sleep } from "../sdk/src/backoff.ts";
import { type ServerEvent, silenceTimer } from "../sdk/src/sse.ts";
import { asFailure } from "./failure.ts";
import { Fields, type Rest } from "./rest.ts";

/** A change of a push's state. */
export interface PushEvent {
  id: string;
  /** ms since 1970 */
  at: number;
  sourceName: string;
  /** The address without secrets. */
  target: string;
  status: string;
  reason: string;
  info: string;
  attempts: number | null;
}

export interface Follower {
  event: (event: PushEvent) => void;
  /** Events may have been missed: ask the server for the present state. */
  gap: () => void;
}

const pauseMs = 2000;

/**
 * Follows the events of all pushes. A lost or silent connection is opened again. The promise resolves when the signal aborts, or when the
 * server does not accept the login.
 */
export async function followPushes(rest: Rest, follower: Follower, signal: AbortSignal): Promise<void> {
  let last = ""; // id of the newest event
  while (!signal.aborted) {
    const silence = new AbortController();
    const heard = silenceTimer(() => silence.abort());
    heard();
    try {
      const query = last === "" ? "" : String(new URLSearchParams({ after: last }));
      const events = await rest._events(query, AbortSignal.any([signal, silence.signal]));
      if (last === "") {
        follower.gap(); // the server does not repeat events from before the connection
      }
      for await (const event of events) {
        heard();
        last = event.id || last;
        deliver(event, follower);
      }
    } catch (error) {
      if (asFailure(error).reason === "unauthorized") {
        return;
      }
      // The caller also polls the server, and shows all other errors itself.
    } finally {
      heard(false);
    }
    await sleep(pauseMs, signal).catch(() => undefined);
  }
}

function deliver({ data, event }: ServerEvent, follower: Follower): void {
  if (event === "missed") {
    follower.gap();
  }
  const told = event === "push" ? parseEvent(data) : null;
  if (told) {
    follower.event(told);
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
