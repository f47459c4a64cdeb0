import { pushFailure, Failure } from "./failure.ts";
import type { PushInfo } from "./push-client.ts";
import type { PushEvent } from "./push-events.ts";

/** The phases of a push. */
export type PushPhase =
  | "idle" // nothing is sent to the destination
  | "pushing" // the server was asked for the push, and works on it
  | "live" // the destination receives the stream
  | "stopping"; // the push is being ended

export interface PushState {
  phase: PushPhase;
  /** The last report of the server. It stays after the end, so that people can read it. */
  push: PushInfo | null;
  /** When it became live, ms since 1970; null while it is not. */
  liveSince: number | null;
  /** How long it was live; set when it no longer is. */
  liveFor: number | null;
  /** Why it ended; null if it was stopped here. */
  failure: Failure | null;
  /** It was asked for with a picture to show while the stream is away, and the server cannot show that one. */
  slateless: boolean;
}

export type PushStep =
  | { type: "start" }
  | { type: "slateless" }
  | { type: "report"; push: PushInfo; at: number }
  | { type: "event"; event: PushEvent; at: number }
  | { type: "stop"; at: number }
  | { type: "ended"; failure: Failure | null; at: number };

export const initialPush: PushState = { phase: "idle", push: null, liveSince: null, liveFor: null, failure: null, slateless: false };

/** The steps that each phase allows. Other steps change nothing. */
const next: Record<PushPhase, PushStep["type"][]> = {
  idle: ["start"],
  pushing: ["slateless", "report", "event", "stop", "ended"],
  live: ["report", "event", "stop", "ended"],
  stopping: ["ended"],
};

/** The states in which the destination receives the stream. */
const taking = new Set(["PUBLISHING", "DEGRADED", "HOLDING"]);

export function isTaking(status: string): boolean {
  return taking.has(status);
}

/** The states in which the destination is kept for a stream that is away. */
export function isWaiting(status: string): boolean {
  return status === "HOLDING" || status === "AWAITING";
}

/** Two states of one push tell people the same, but for its numbers. */
export function sameButNumbers(a: PushState, b: PushState): boolean {
  const told = ({ failure, liveSince, phase, push, slateless }: PushState): unknown => [
    phase, failure?.reason, failure?.detail, liveSince, slateless, push && [push.id, push.status, push.reason, push.info, push.attempts, push.muted, push.soundFile, push.stale],
  ];
  return JSON.stringify(told(a)) === JSON.stringify(told(b));
}

export function reducePush(state: PushState, step: PushStep): PushState {
  if (!next[state.phase].includes(step.type)) {
    return state;
  }
  switch (step.type) {
    case "start": return { ...initialPush, phase: "pushing" };
    case "slateless": return { ...state, slateless: true };
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

/** An event may overtake an answer. Then the numbers of the answer count, but not its status. */
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

/** The state of a push that is no longer live. */
function fall(state: PushState, at: number): PushState {
  const liveFor = state.liveSince === null ? state.liveFor : at - state.liveSince;
  return { ...state, liveSince: null, liveFor };
}

/** Why the push has ended, by the server's report; null if it has not. */
export function ending(push: PushInfo): Failure | null {
  const over = push.status === "FAILED" || push.status === "ENDED";
  return over ? (push.reason === "" ? new Failure("push_gone", push.info) : pushFailure(push.reason, push.info)) : null;
}
