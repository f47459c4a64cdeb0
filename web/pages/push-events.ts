import { sleep } from "../sdk/src/backoff.ts";
import type { ServerEvent } from "../sdk/src/sse.ts";
import { asFailure } from "./failure.ts";
import { Fields, type Rest } from "./rest.ts";

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

/** A connection that is silent for so long is lost: the server sends something every 15 s. */
const silenceMs = 40_000;

const pauseMs = 2000;

/**
 * Follows what happens to all pushes. A lost connection is opened again. It returns when the signal aborts, or when the server
 * wants to know who asks.
 */
export async function followPushes(rest: Rest, follower: Follower, signal: AbortSignal): Promise<void> {
  let last = ""; // id of the newest event
  while (!signal.aborted) {
    const silence = new AbortController();
    const alarm = (): ReturnType<typeof setTimeout> => setTimeout(() => silence.abort(), silenceMs);
    let timer = alarm();
    try {
      const query = last === "" ? "" : String(new URLSearchParams({ after: last }));
      const events = await rest.events(query, AbortSignal.any([signal, silence.signal]));
      if (last === "") {
        follower.gap(); // the server does not tell what happened before the connection
      }
      for await (const event of events) {
        clearTimeout(timer);
        timer = alarm();
        last = event.id || last;
        deliver(event, follower);
      }
    } catch (error) {
      if (asFailure(error).reason === "unauthorized") {
        return;
      }
      // Followers also poll the server, and report any other error themselves.
    } finally {
      clearTimeout(timer);
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
