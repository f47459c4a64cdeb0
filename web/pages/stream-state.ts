import type { Failure } from "./failure.ts";

/** Where the stream to this server is in its life. */
export type StreamPhase =
  | "idle" // nothing is sent
  | "opening" // waits for camera and microphone
  | "publishing" // brings the stream to this server
  | "sending" // the server has it, and sends it on
  | "stopping"; // goodbyes are said

export interface StreamState {
  phase: StreamPhase;
  /** The server has not answered the last question. */
  silent: boolean;
  /** Why the last stream ended, unless it was stopped here or its destinations say why. */
  failure: Failure | null;
}

export type StreamStep =
  | { type: "start" }
  | { type: "opened" }
  | { type: "published" }
  | { type: "answer"; silent: boolean }
  | { type: "stop" }
  | { type: "ended"; failure: Failure | null };

export const initialStream: StreamState = { phase: "idle", silent: false, failure: null };

/** Steps that a phase does not list do not happen in it; they change nothing. */
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
    case "answer": return step.silent === state.silent ? state : { ...state, silent: step.silent };
    case "ended": return { phase, silent: false, failure: step.failure };
    default: return { phase, silent: false, failure: null };
  }
}
