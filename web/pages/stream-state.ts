import type { Failure } from "./failure.ts";

/** The phases of the stream to this server. */
export type StreamPhase =
  | "idle" // nothing is sent
  | "opening" // camera and microphone are being opened
  | "publishing" // the stream is being published to this server
  | "sending" // the server has the stream and pushes it
  | "stopping"; // the stream is being ended

export interface StreamState {
  phase: StreamPhase;
  /** The server has not answered the last request. */
  silent: boolean;
  /** The server wants somebody to sign in. It is not asked again before that. */
  locked: boolean;
  /** Why the last stream ended; null if it was stopped here, or if the destinations say why. */
  failure: Failure | null;
}

export type StreamStep =
  | { type: "start" }
  | { type: "opened" }
  | { type: "published" }
  | { type: "answer"; silent: boolean; locked: boolean }
  | { type: "stop" }
  | { type: "ended"; failure: Failure | null };

export const initialStream: StreamState = { phase: "idle", silent: false, locked: false, failure: null };

/** The steps that each phase allows, and the phase that follows. Other steps change nothing. */
const next: Record<StreamPhase, Partial<Record<StreamStep["type"], StreamPhase>>> = {
  idle: { start: "opening", ended: "idle" },
  opening: { opened: "publishing", stop: "stopping", ended: "idle" },
  publishing: { published: "sending", stop: "stopping", ended: "idle" },
  sending: { answer: "sending", stop: "stopping", ended: "idle" },
  stopping: { ended: "idle" },
};

export function reduceStream(state: StreamState, step: StreamStep): StreamState {
  const phase = next[state.phase][step.type];
  if (phase === undefined) {
    return state;
  }
  switch (step.type) {
    case "answer": {
      const { locked, silent } = step;
      return silent === state.silent && locked === state.locked ? state : { ...state, silent, locked };
    }
    case "ended": return { phase, silent: false, locked: false, failure: step.failure };
    default: return { phase, silent: false, locked: false, failure: null };
  }
}
