import { pushFailure, Failure } from "./failure.ts";
import type { PushInfo } from "./push-client.ts";
import type { PushEvent } from "./push-events.ts";

/** Where the way to one destination is in its life. */
export type PushPhase =
  | "idle" // nothing is sent there
  | "pushing" // the server was asked, and works on it
  | "live" // the destination takes it
  | "stopping"; // goodbyes are said

export interface PushState {
  phase: PushPhase;
  /** What the server said last; kept after the end, so that it can be read. */
  push: PushInfo | null;
  /** When it became live, ms since 1970; null while it is not. */
  liveSince: number | null;
  /** How long it was live, once it no longer is. */
  liveFor: number | null;
  /** Why it ended, unless it was stopped here. */
  failure: Failure | null;
}

export type PushStep =
  | { type: "start" }
  | { type: "report"; push: PushInfo; at: number }
  | { type: "event"; event: PushEvent; at: number }
  | { type: "stop"; at: number }
  | { type: "ended"; failure: Failure | null; at: number };

export const initialPush: PushState = { phase: "idle", push: null, liveSince: null, liveFor: null, failure: null };

/** Steps that a phase does not list do not happen in it; they change nothing. */
const next: Record<PushPhase, PushStep["type"][]> = {
  idle: ["start"],
  pushing: ["report", "event", "stop", "ended"],
  live: ["report", "event", "stop", "ended"],
  stopping: ["ended"],
};

/** The states of a push whose destination takes what is sent. */
const taking = new Set(["PUBLISHING", "DEGRADED", "HOLDING"]);

export function isTaking(status: string): boolean {
  return taking.has(status);
}

export function reducePush(state: PushState, step: PushStep): PushState {
  if (!next[state.phase].includes(step.type)) {
    return state;
  }
  switch (step.type) {
    case "start": return { ...initialPush, phase: "pushing" };
    case "report": return take(state, newest(state.push, step.push), step.at);
    case "event": return state.push ? take(state, after(state.push, step.event), step.at) : state;
    case "stop": return { ...fall(state, step.at), phase: "stopping" };
    case "ended": return { ...fall(state, step.at), phase: "idle", failure: step.failure };
  }
}

function take(state: PushState, push: PushInfo, at: number): PushState {
  return isTaking(push.status)
    ? { ...state, phase: "live", liveSince: state.liveSince ?? at, push }
    : { ...fall(state, at), phase: "pushing", push };
}

/** An answer that was on its way when an event came keeps its numbers, but says nothing of the status. */
function newest(known: PushInfo | null, push: PushInfo): PushInfo {
  if (!known || push.since >= known.since) {
    return push;
  }
  const { status, since, reason, info, attempts } = known;
  return { ...push, status, since, reason, info, attempts };
}

function after(push: PushInfo, event: PushEvent): PushInfo {
  if (event.at < push.since) {
    return push;
  }
  const { status, at: since, reason, info, attempts } = event;
  return { ...push, status, since, reason, info, attempts };
}

/** The state once the push is live no more. */
function fall(state: PushState, at: number): PushState {
  const liveFor = state.liveSince === null ? state.liveFor : at - state.liveSince;
  return { ...state, liveSince: null, liveFor };
}

/** Why a push that was reported is over; null while it is not. */
export function ending(push: PushInfo): Failure | null {
  const over = push.status === "FAILED" || push.status === "ENDED";
  return over ? (push.reason === "" ? new Failure("push_gone", push.info) : pushFailure(push.reason, push.info)) : null;
}
