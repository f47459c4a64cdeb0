// The life of a call: a table of moves and a pure function, without browser and server. Call does the work of each phase.

import type { CallStatus } from "./call-status.ts";
import { SdkError } from "./errors.ts";

/** Where a call is in its life. */
export type CallPhase =
  | "new" // nobody has called or answered; an incoming call rings
  | "opening" // camera and microphone are opened; the server does not have our call or answer yet
  | "asked" // the server has our call or answer
  | "up" // the other side has answered
  | "closing" // the page has hung up, and the server was told
  | "over";

export interface CallState {
  _phase: CallPhase;
  /** The status that the page sees. */
  status: CallStatus;
  /** Why the call is over; null before. */
  error: SdkError | null;
}

export type CallStep =
  | { type: "begin" } // the page calls or answers
  | { type: "sent" } // the server was sent our call or answer
  | { type: "told"; status: CallStatus } // the server reports a status
  | { type: "fail"; error: SdkError } // the browser, or the end of the session, has ended the call
  | { type: "hangup" } // the page hangs up, and the server was told
  | { type: "drop" } // the page hangs up, and the server does not know the call
  | { type: "due" }; // the server did not confirm the end in time

export const newCall: CallState = { _phase: "new", status: "NEW", error: null };

/** The statuses after which a call is over, with the reason for the page. */
const ends: { [status in CallStatus]?: () => SdkError } = {
  FINISH: () => new SdkError("terminated"),
  BUSY: () => new SdkError("busy"),
  FAILED: () => new SdkError("failed"),
};

/** Whether a status is the last one. */
export function isFinal(status: string): boolean {
  return status in ends;
}

/** Takes a step. It returns the same state if the step is not allowed. */
export function reduceCall(state: CallState, step: CallStep): CallState {
  const { _phase: phase, status } = state;
  const over = (last: CallStatus, error: SdkError): CallState => ({ _phase: "over", status: last, error });
  if (phase === "over") {
    return state;
  }
  switch (step.type) {
    case "begin":
      return phase === "new" ? { _phase: "opening", status: "PENDING", error: null } : state;
    case "sent":
      return phase === "opening" ? { ...state, _phase: "asked" } : state;
    case "fail":
      return over("FAILED", step.error);
    case "drop":
      return over("FAILED", new SdkError("stopped"));
    case "hangup":
      return phase === "closing" ? state : { ...state, _phase: "closing" };
    case "due":
      return phase === "closing" ? over("FINISH", new SdkError("stopped")) : state;
    case "told":
      break;
  }
  const end = ends[step.status];
  if (end) {
    return over(step.status, phase === "closing" ? new SdkError("stopped") : end());
  }
  if (phase === "closing") {
    return state;
  }
  if (phase === "opening") { // it still rings here while camera and microphone are opened
    return state;
  }
  const up = step.status === "ESTABLISHED" || step.status === "HOLD";
  const next: CallPhase = phase === "new" || !up ? phase : "up";
  return step.status === status && next === phase ? state : { _phase: next, status: step.status, error: null };
}
