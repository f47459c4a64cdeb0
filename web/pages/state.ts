import { pushFailure, Failure } from "./failure.ts";
import type { PushInfo } from "./push-client.ts";

/** Where a broadcast is in its life. */
export type Phase =
  | "idle" // nothing is sent
  | "opening" // waits for camera and microphone
  | "publishing" // brings the stream to this server
  | "pushing" // the server works on sending it on
  | "live" // the destination takes it
  | "stopping"; // goodbyes are said

export interface State {
  phase: Phase;
  /** What the server said last; kept after the end, so that it can be read. */
  push: PushInfo | null;
  /** When the push became live, ms since 1970; null while it is not. */
  liveSince: number | null;
  /** How long it was live, once it no longer is. */
  liveFor: number | null;
  /** The server has not answered the last question. */
  silent: boolean;
  /** Why the last broadcast ended, unless it was stopped here. */
  failure: Failure | null;
}

export type Event =
  | { type: "start" }
  | { type: "opened" }
  | { type: "published" }
  | { type: "report"; push: PushInfo; at: number }
  | { type: "silence" }
  | { type: "stop"; at: number }
  | { type: "ended"; failure: Failure | null; at: number };

export const initial: State = { phase: "idle", push: null, liveSince: null, liveFor: null, silent: false, failure: null };

/** Events that a phase does not list do not happen in it; they change nothing. */
const next: Record<Phase, Partial<Record<Event["type"], Phase>>> = {
  idle: { start: "opening", ended: "idle" },
  opening: { opened: "publishing", stop: "stopping", ended: "idle" },
  publishing: { published: "pushing", stop: "stopping", ended: "idle" },
  pushing: { report: "pushing", silence: "pushing", stop: "stopping", ended: "idle" },
  live: { report: "pushing", silence: "live", stop: "stopping", ended: "idle" },
  stopping: { ended: "idle" },
};

/** The states of a push whose destination takes what is sent. */
const taking = new Set(["PUBLISHING", "DEGRADED", "HOLDING"]);

export function reduce(state: State, event: Event): State {
  const phase = next[state.phase][event.type];
  if (phase === undefined) {
    return state;
  }
  switch (event.type) {
    case "start":
      return { ...initial, phase };
    case "report": {
      const live = taking.has(event.push.status);
      const moved = live ? { ...state, phase: "live" as const, liveSince: state.liveSince ?? event.at } : fall(state, event.at);
      return { ...moved, push: event.push, silent: false };
    }
    case "silence":
      return { ...state, phase, silent: true };
    case "stop":
    case "ended": {
      const failure = event.type === "ended" ? event.failure : null;
      return { ...fall(state, event.at), phase, silent: false, failure };
    }
    default:
      return { ...state, phase };
  }
}

/** The state once the push is live no more. */
function fall(state: State, at: number): State {
  const liveFor = state.liveSince === null ? state.liveFor : at - state.liveSince;
  return { ...state, phase: state.phase === "live" ? "pushing" : state.phase, liveSince: null, liveFor };
}

/** Why a push that was reported is over; null while it is not. */
export function ending(push: PushInfo): Failure | null {
  const over = push.status === "FAILED" || push.status === "ENDED";
  return over ? (push.reason === "" ? new Failure("push_gone", push.info) : pushFailure(push.reason, push.info)) : null;
}
