// The options and events of a call. There are only types here.

import type { Call } from "./call.ts";
import type { CALL_STATUS } from "./call-status.ts";
import type { SessionEvents } from "./session-options.ts";
import type { StreamOptions } from "./stream-options.ts";

/** The account of a session for calls, as the option `sipOptions`. Without a domain, the session calls other sessions of the server. */
export interface SipOptions {
  /** The name under which the session is called. */
  login?: string;
  /** The name for the password, if it is not the login. */
  authenticationName?: string;
  password?: string;
  /** The domain of the account. */
  domain?: string;
  /** The SIP server, if it is not the domain. */
  outboundProxy?: string;
  /** Another name for `outboundProxy`, from the vendor's SDK. */
  proxy?: string;
  port?: string | number;
  /** With false, the account is not registered: the session can call, and is not called. */
  registerRequired?: boolean;
}

type MediaOptions = Pick<StreamOptions,
  "cacheLocalResources" | "constraints" | "receiveAudio" | "receiveVideo" | "sdpHook" | "stripCodecs" | "useControls" | "videoContentHint">;

/**
 * The options of a call that both sides have. As in StreamOptions: `cacheLocalResources`, `constraints`, `receiveAudio`, `receiveVideo`, `sdpHook`,
 * `stripCodecs`, `useControls`, `videoContentHint`.
 */
export interface TalkOptions extends MediaOptions {
  /** Where the own picture is shown. */
  localVideoDisplay?: HTMLElement | null;
  /** Where the other side is shown. Its sound needs a display, too. */
  remoteVideoDisplay?: HTMLElement | null;
  /** Lines that the server adds to its SDP for the phone: `b=` and `a=` lines only. */
  sipSDP?: string[];
  /** An option of the vendor's SDK, which does not send it. It has no effect here either. */
  sipHeaders?: string[];
}

/** The options of `session.createCall`: those of TalkOptions, and these. */
export interface CallOptions extends TalkOptions {
  /** Whom to call: a number, a name, or a `sip:` address. */
  callee: string;
  /** The name that the other side sees; the login by default. */
  visibleName?: string;
  /** Any data for the server's application. */
  custom?: unknown;
  /** An option of the vendor's SDK. It is always WebRTC here. */
  mediaProvider?: string | undefined;
  /** An option of the vendor's SDK. It has no effect here. */
  logger?: unknown;
}

/** @internal The call object of notifyIncomingCall. */
export interface IncomingCall extends Partial<CallOptions> {
  callId: string;
  caller?: string;
}

/** What the other side's server says of a transfer. */
export interface Transfer {
  callId: string;
  /** "TRYING", "COMPLETED" or "FAILED". */
  status: string;
}

/** The options of `call.answer`: those of TalkOptions, and this. */
export interface AnswerOptions extends TalkOptions {
  /** When the signal aborts, the call is declined. */
  signal?: AbortSignal | undefined;
}

/** The events of `call.on`, with the arguments of their listeners. */
export type CallEvents = { [S in keyof typeof CALL_STATUS]: [call: Call] } & {
  /** The progress of `call.transfer`. Not in the vendor's SDK. */
  TRANSFER: [transfer: Transfer];
  /** The other side pressed these keys. Not in the vendor's SDK. */
  DTMF: [keys: string];
};

/** The events of `session.on` with calls. */
export type CallSessionEvents = Omit<SessionEvents, "INCOMING_CALL"> & { INCOMING_CALL: [call: Call] };
