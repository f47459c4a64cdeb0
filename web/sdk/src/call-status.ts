// The statuses of calls, under the names of the Flashphoner Web SDK.

/** The statuses of a call. `call.on` reports each change. */
export const CALL_STATUS = {
  /** The call is new: nobody has called or answered yet. */
  NEW: "NEW",
  /** Camera and microphone are opened, or the server is asked. */
  PENDING: "PENDING",
  /** The server has the call and looks for the other side. */
  TRYING: "TRYING",
  /** It rings on the other side, or here for an incoming call. */
  RING: "RING",
  /** It rings on the other side, and the other side already sends sound. */
  RING_MEDIA: "RING_MEDIA",
  /** The other side already sends sound or pictures, such as an announcement. */
  SESSION_PROGRESS: "SESSION_PROGRESS",
  /** Both sides hear each other. */
  ESTABLISHED: "ESTABLISHED",
  /** One side holds the call. */
  HOLD: "HOLD",
  /** The call is over. */
  FINISH: "FINISH",
  /** The call is over: the other side is busy or has declined. */
  BUSY: "BUSY",
  /** The call is over: `call.error` says why. */
  FAILED: "FAILED",
} as const;

/** A value of CALL_STATUS. */
export type CallStatus = keyof typeof CALL_STATUS;
