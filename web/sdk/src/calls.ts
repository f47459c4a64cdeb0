// The exports of the package with calls: those of index.ts, and these. The reference in docs/sdk.md follows their order.

import { CALL_STATUS } from "./call-status.ts";
import { CallSession } from "./call-session.ts";
import { Flashphoner as withoutCalls } from "./flashphoner.ts";
import type { SessionOptions } from "./session-options.ts";

export * from "./index.ts";

/** Connects to a server, for streams and calls. */
export function createSession(options: SessionOptions): CallSession {
  if (!options?.urlServer) {
    throw new TypeError("options.urlServer must be provided");
  }
  return new CallSession(options);
}

export const constants = { ...withoutCalls.constants, CALL_STATUS };

/** The entry of the SDK with calls. */
export const Flashphoner = { ...withoutCalls, createSession, constants };

export default Flashphoner;

export { CallSession } from "./call-session.ts";
export { Call } from "./call.ts";
export type { AnswerOptions, CallEvents, CallOptions, CallSessionEvents, SipOptions, TalkOptions, Transfer } from "./call-options.ts";
export * from "./call-status.ts";
