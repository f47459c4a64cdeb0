// The life of a stream: a table of moves and a pure function, without browser and server. StreamLife does the work of each phase.

import type { StreamStatus } from "./constants.ts";
import { type Reason, SdkError } from "./errors.ts";

export type StreamMode = "publish" | "play";

/** Where a stream is in its life. */
export type StreamPhase =
  | "new" // neither published nor played yet
  | "waiting" // the next attempt begins after waitMs, or when the session has a socket again; the first one begins at once
  | "opening" // an attempt opens the devices and makes the offer; the server does not know the attempt yet
  | "requested" // the server has the offer
  | "live" // the server has confirmed the attempt
  | "unlinked" // the session has lost its socket; sound and pictures may still flow
  | "resuming" // the session has a socket again, and the server has kept the session: the server says now whether the stream goes on
  | "stopping" // the server was asked to end the stream
  | "over";

export interface StreamState {
  _phase: StreamPhase;
  _mode: StreamMode | null;
  /** The status that the page sees. */
  status: StreamStatus;
  /** Why the stream is being restored, or why it is over. */
  error: SdkError | null;
  /** The number of the current attempt. The result of work for an earlier attempt is dropped. */
  _attempt: number;
  /** The step "due" follows after this time; null if it does not follow. */
  _waitMs: number | null;
  /** How long the server may take in the phase "resuming": 0 for an attempt that was never live. */
  _resumeMs: number;
}

export type StreamStep =
  | { type: "begin"; _mode: StreamMode }
  | { type: "due" } // the time waitMs is over
  | { type: "sent" } // the server was sent the offer
  | { type: "unsent" } // the offer is ready, but the session has no socket
  | { type: "live"; status: StreamStatus } // the server receives the media, or sends them
  | { type: "retry"; error: SdkError; _waitMs: number } // the server has ended the stream, and another attempt follows
  | { type: "end"; status: StreamStatus; error: SdkError } // the server, the browser or the end of the session has ended the stream
  | { type: "stop" } // the page ends the stream, and the server is asked to end it
  | { type: "drop" } // the page ends the stream, and the server does not know of it or cannot be reached
  | { type: "lost"; error: SdkError } // the session has lost its socket, and opens another
  | { type: "kept" } // the session has a socket again, and the server has kept the streams
  | { type: "relinked" }; // the session has a socket again, but the server has kept nothing

type Moves = { [type in StreamStep["type"]]?: StreamPhase };

/** Where steps lead while the server does not know the attempt. */
const unknown: Moves = { retry: "waiting", drop: "over", end: "over" };

/** Where steps lead while the server knows the attempt. */
const known: Moves = { ...unknown, live: "live", stop: "stopping" };

/** Where each step leads. A step that a phase does not list changes nothing. */
const moves: Record<StreamPhase, Moves> = {
  new: { begin: "waiting", drop: "over", end: "over" },
  waiting: { ...unknown, due: "opening", live: "live", kept: "opening", relinked: "opening" },
  opening: { ...unknown, sent: "requested", unsent: "waiting" },
  requested: { ...known, lost: "unlinked" },
  live: { ...known, lost: "unlinked" },
  unlinked: { ...known, kept: "resuming", relinked: "opening" },
  resuming: { ...known, lost: "unlinked", due: "opening" },
  stopping: { due: "over", lost: "over", end: "over" },
  over: {},
};

export const newStream: StreamState = { _phase: "new", _mode: null, status: "NEW", error: null, _attempt: 0, _waitMs: null, _resumeMs: 0 };

/** The statuses after steps that do not say a status. After other steps the status stays the same. */
const statuses: { [type in StreamStep["type"]]?: StreamStatus } = {
  begin: "PENDING", unsent: "RESTORING", retry: "RESTORING", lost: "RESTORING",
};

/** How long the server may take to confirm the end of a stream. After that the stream counts as ended. */
const stopTimeoutMs = 5000;

/** How long a server that kept the session may take to say that a stream goes on. After that the next attempt begins. */
const resumeTimeoutMs = 3000;

/** Whether the server knows the attempt. */
export function isKnown({ _phase: phase }: StreamState): boolean {
  return "stop" in moves[phase];
}

export function reduceStream(old: StreamState, { type, ...facts }: StreamStep): StreamState {
  const phase = moves[old._phase][type];
  if (!phase) {
    return old;
  }
  const state = { ...old, _waitMs: null, status: statuses[type] ?? old.status, ...facts, _phase: phase };
  switch (phase) {
    case "opening":
      return { ...state, _attempt: old._attempt + 1, _resumeMs: 0 };
    case "live":
      return { ...state, error: null, _resumeMs: resumeTimeoutMs };
    case "resuming":
      return { ...state, _waitMs: old._resumeMs };
    case "stopping":
      return { ...state, _waitMs: stopTimeoutMs };
    case "over":
      return type === "end" && old._phase !== "stopping" ? state : stopped(state);
  }
  return state;
}

/** The end that the page asked for. It is no failure, even if something failed at the same time. */
function stopped(state: StreamState): StreamState {
  const status = state._mode === "publish" ? "UNPUBLISHED" : state._mode === "play" ? "STOPPED" : "FAILED";
  return { ...state, status, error: new SdkError("stopped") };
}

/** The reasons after which a stream that was live is started again. A name in use may be held by our own lost session. */
const passing: Reason[] = ["ice_failed", "media_lost", "disconnected", "failed", "name_in_use", "not_ready"];

/** The reasons that players have in addition: the publisher may come back. */
const passingForPlayers: Reason[] = ["publisher_stopped", "stream_not_found"];

/** Whether a stream that the server has ended for this reason should be started again. */
export function isRestorable(state: StreamState, reason: Reason): boolean {
  return state.status !== "PENDING" && "retry" in moves[state._phase]
    && (passing.includes(reason) || state._mode === "play" && passingForPlayers.includes(reason));
}
