import type { Failure } from "./failure.ts";

/** The phases of the stream to this server. */
export type StreamPhase =
  | "idle" // nothing is sent
  | "opening" // camera and microphone are being opened
  | "publishing" // the stream is being published to this server
  | "sending" // the server has the stream and pushes it
  | "returning" // the server or the network is away, and the stream is brought back
  | "waiting" // nothing is sent, but the destinations wait for the stream: the page was left, or the stream could not come back
  | "stopping"; // the stream is being ended

export interface StreamState {
  phase: StreamPhase;
  /** The server has not answered the last request. */
  silent: boolean;
  /** The server wants somebody to sign in. It is not asked again before that. */
  locked: boolean;
  /** Why the last stream ended, or does not come back; null if it was stopped here, or if the destinations say why. */
  failure: Failure | null;
  /** Why the stream is returning. */
  away: Failure | null;
  /** The stream that is waited for comes from another device. */
  elsewhere: boolean;
}

export type StreamStep =
  | { type: "start" }
  | { type: "opened" }
  | { type: "published" }
  | { type: "answer"; silent: boolean; locked: boolean; elsewhere?: boolean }
  | { type: "away"; why: Failure }
  | { type: "back" }
  | { type: "wait"; failure: Failure | null; elsewhere: boolean }
  | { type: "stop" }
  | { type: "ended"; failure: Failure | null };

export const initialStream: StreamState = { phase: "idle", silent: false, locked: false, failure: null, away: null, elsewhere: false };

/** The steps that each phase allows, and the phase that follows. Other steps change nothing. */
const next: Record<StreamPhase, Partial<Record<StreamStep["type"], StreamPhase>>> = {
  idle: { start: "opening", wait: "waiting", ended: "idle" },
  opening: { opened: "publishing", stop: "stopping", wait: "waiting", ended: "idle" },
  publishing: { published: "sending", stop: "stopping", wait: "waiting", ended: "idle" },
  sending: { answer: "sending", away: "returning", stop: "stopping", wait: "waiting", ended: "idle" },
  returning: { answer: "returning", away: "returning", back: "sending", stop: "stopping", wait: "waiting", ended: "idle" },
  waiting: { answer: "waiting", start: "opening", stop: "stopping", ended: "idle" },
  stopping: { ended: "idle" },
};

export function reduceStream(state: StreamState, step: StreamStep): StreamState {
  const phase = next[state.phase][step.type];
  if (phase === undefined) {
    return state;
  }
  switch (step.type) {
    case "answer": {
      const { elsewhere = state.elsewhere, locked, silent } = step;
      return silent === state.silent && locked === state.locked && elsewhere === state.elsewhere ? state : { ...state, silent, locked, elsewhere };
    }
    case "away": return { ...state, phase, away: step.why };
    case "back": return { ...state, phase, away: null };
    case "wait": return { ...initialStream, phase, failure: step.failure, elsewhere: step.elsewhere };
    case "ended": return { ...initialStream, phase, failure: step.failure };
    default: return { ...initialStream, phase };
  }
}
