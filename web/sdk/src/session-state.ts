// The life of a session: a table of moves and a pure function, without browser and server. Session does the work of each phase.

import type { SessionStatus } from "./constants.ts";
import { SdkError } from "./errors.ts";

/** Where a session is in its life. */
export type SessionPhase =
  | "new"
  | "connecting" // the first socket opens
  | "connected" // the first socket is open, and the server has our request
  | "established" // the server has answered; streams can be created
  | "waiting" // the socket was lost; another one is opened after waitMs
  | "reconnecting" // another socket opens, or the server has not answered on it yet
  | "closing" // the page has ended the session, and the socket closes
  | "over";

export interface SessionState {
  _phase: SessionPhase;
  /** The status that the page sees. */
  status: SessionStatus;
  /** Why the socket was lost, or why the session is over. */
  error: SdkError | null;
  /** The step "due" follows after this time; null if it does not follow. */
  _waitMs: number | null;
}

export type SessionStep =
  | { type: "connect" }
  | { type: "opened" } // the socket is open
  | { type: "established" } // the server has answered
  | { type: "retry"; error: SdkError; _waitMs: number } // the socket was lost, and there is another attempt
  | { type: "end"; error: SdkError } // the socket was lost, and there is no other attempt
  | { type: "due" } // the time waitMs is over
  | { type: "online" } // the browser has a network again
  | { type: "close" }; // the page ends the session

/** Where each step leads. A step that a phase does not list changes nothing. */
const moves: Record<SessionPhase, { [type in SessionStep["type"]]?: SessionPhase }> = {
  new: { connect: "connecting", close: "over" },
  connecting: { opened: "connected", end: "over", close: "closing" },
  connected: { established: "established", end: "over", close: "closing" },
  established: { established: "established", retry: "waiting", end: "over", close: "closing" },
  waiting: { due: "reconnecting", online: "reconnecting", close: "over" },
  reconnecting: { established: "established", retry: "waiting", end: "over", close: "over" },
  closing: { due: "over", end: "over" },
  over: {},
};

/** The statuses of phases. A phase that is not listed keeps the status before. */
const statuses: { [phase in SessionPhase]?: SessionStatus } = {
  connected: "CONNECTED", established: "ESTABLISHED", waiting: "RECONNECTING",
};

/** How long the server may take to close the socket. After that the session counts as closed. */
const closeTimeoutMs = 3000;

export const newSession: SessionState = { _phase: "new", status: "PENDING", error: null, _waitMs: null };

export function reduceSession(old: SessionState, { type, ...facts }: SessionStep): SessionState {
  const phase = moves[old._phase][type];
  if (!phase) {
    return old;
  }
  const state = { ...old, _waitMs: phase === "closing" ? closeTimeoutMs : null, status: statuses[phase] ?? old.status, ...facts, _phase: phase };
  if (phase === "over") {
    const error = type === "end" && state.error || new SdkError("disconnected");
    return { ...state, error, status: old._phase === "closing" || error.reason === "disconnected" ? "DISCONNECTED" : "FAILED" };
  }
  return state;
}

/** Whether a session that loses its socket now should open another. */
export function isRestorable({ _phase: phase }: SessionState): boolean {
  return "retry" in moves[phase];
}
