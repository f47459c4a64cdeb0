// Everything that can go wrong, as a closed list.

import { STREAM_STATUS_INFO as info } from "./constants.ts";

/** All reasons of an SdkError, each with a message for people: what happened, and what they can do. */
export const reasons = {
  // Use of this SDK.
  invalid_option: "An option cannot be used.",
  invalid_state: "Not possible now.",
  // The socket.
  connect_failed: "The server cannot be reached. Check its address and the network.",
  connect_timeout: "The server does not answer. Check its address and the network.",
  disconnected: "The connection to the server was lost.",
  silent: "The server has fallen silent. Check the network.",
  // Camera, microphone, browser.
  insecure_origin: "Browsers give the camera only to secure pages. Open this one by https.",
  unsupported_browser: "This browser cannot do that. Use a current one.",
  permission_denied: "The browser may not use camera or microphone. Allow it for this page, then try again.",
  no_device: "There is no such camera or microphone. Pick another.",
  device_busy: "Camera or microphone could not be opened. Close what uses it, or pick another.",
  device_failed: "Camera or microphone could not be opened. Pick another.",
  // Streams.
  name_in_use: "Somebody already publishes under this name. Choose another.",
  stream_not_found: "Nobody publishes under this name. Check it, or wait.",
  not_ready: "The publisher is not connected yet. Try again in a moment.",
  publisher_stopped: "The publisher has stopped, or lost the connection.",
  no_common_codecs: "Browser and server have no format in common. Use another browser.",
  transcoding_disabled: "This server does not transcode.",
  no_transcoder: "The server is full. Try again later.",
  restricted: "The server does not allow that.",
  ice_failed: "Sound and pictures do not get through. A firewall probably blocks UDP.",
  media_lost: "Sound and pictures no longer get through. Check the network.",
  push_failed: "The push failed. Check the RTMP address.",
  terminated: "The other side ended it.",
  stopped: "It was stopped.",
  failed: "It failed. The server's log says more.",
  snapshot_failed: "No picture could be taken of the stream.",
  data_refused: "The application did not take the data.",
  // REST.
  unreachable: "The server cannot be reached. Check its address and the network.",
  bad_request: "The server cannot use what was asked.",
  unauthorized: "Give a token, or a name and a password.",
  not_found: "There is no such stream or push.",
  conflict: "The stream already goes to this address.",
  unsupported: "This server cannot do that.",
  busy: "Busy. Try again later.",
  server_error: "It failed. The server's log says why.",
} as const;

/** The reason of a failure. */
export type Reason = keyof typeof reasons;

/** The error with which every promise of this SDK rejects, except after an AbortSignal. The message is for people. */
export class SdkError extends Error {
  override readonly name = "SdkError";

  /** The reason, from the closed list. */
  readonly reason: Reason;

  /** The server's or the browser's own words; may be empty. */
  readonly info: string;

  /** @internal */
  constructor(reason: Reason, info = "", options?: ErrorOptions) {
    super(reasons[reason] + (byInfo[info] || !info ? "" : ` (${info})`), options);
    this.reason = reason;
    this.info = info;
  }

  /** The same as `info`. Pages of the vendor's SDK call it when `available()` rejects. */
  getInfo(): string {
    return this.info;
  }
}

/** The reasons for the server's words, in the order of STREAM_STATUS_INFO: names in place of the order would take 50 bytes more. */
const inOrder: (Reason | 0)[] = [
  "ice_failed", // FAILED_BY_ICE_ERROR
  "ice_failed", // FAILED_BY_ICE_TIMEOUT
  "media_lost", // FAILED_BY_KEEP_ALIVE
  "ice_failed", // FAILED_BY_DTLS_FINGERPRINT_ERROR
  "ice_failed", // FAILED_BY_DTLS_ERROR
  "push_failed", // FAILED_BY_RTMP_WRITER_ERROR
  "media_lost", // FAILED_BY_RTP_ACTIVITY
  "disconnected", // STOPPED_BY_SESSION_DISCONNECT
  "terminated", // STOPPED_BY_REST_TERMINATE
  "publisher_stopped", // STOPPED_BY_PUBLISHER_STOP
  "stopped", // STOPPED_BY_USER
  0, // FAILED_BY_ERROR
  "not_ready", // PUBLISH_STREAM_IS_NOT_READY
  "stream_not_found", // STREAM_NOT_FOUND
  "name_in_use", // STREAM_NAME_ALREADY_IN_USE
  0, // MEDIASESSION_ID_NULL
  0, // MEDIASESSION_ID_ALREADY_IN_USE
  "not_ready", // SESSION_NOT_READY
  "stream_not_found", // SESSION_DOES_NOT_EXIST
  "stream_not_found", // RTSP_STREAM_NOT_FOUND
  0, // FAILED_TO_CONNECT_TO_RTSP_STREAM
  "stream_not_found", // FILE_NOT_FOUND
  0, // FILE_HAS_WRONG_FORMAT
  "no_common_codecs", // NO_COMMON_CODECS
  "transcoding_disabled", // TRANSCODING_REQUIRED_BUT_DISABLED
  "restricted", // RESTRICTED_ACCESS
  "no_transcoder", // NO_AVAILABLE_TRANSCODERS
];

const byInfo: Record<string, Reason | 0 | undefined> = Object.fromEntries(Object.values(info).map((words, i) => [words, inOrder[i]]));

/** The error for the server's words about the end of a stream. why are words that the server adds. */
export function streamError(words: string, why = words): SdkError {
  return new SdkError(byInfo[words] || "failed", why);
}

const byDomName: Record<string, Reason> = {
  NotAllowedError: "permission_denied",
  SecurityError: "permission_denied",
  NotFoundError: "no_device",
  OverconstrainedError: "no_device",
  NotReadableError: "device_busy",
  AbortError: "device_busy",
};

/** The error for a browser's refusal of camera or microphone. */
export function deviceError(error: unknown): SdkError {
  if (error instanceof SdkError) {
    return error;
  }
  return new SdkError(byDomName[(error as Error).name] ?? "device_failed", (error as Error).message, { cause: error });
}

/** Warns in the browser's console that a part of the vendor's SDK does nothing here. */
export function notHere(what: string): void {
  console.warn(`Flashphoner: ${what} is not supported here and does nothing.`);
}

/** Keeps browsers from reporting the rejection of a promise that perhaps nobody waits for. */
export function quiet<P extends Promise<unknown>>(promise: P): P {
  promise.catch(() => undefined);
  return promise;
}

/** A promise, and the functions that settle it. */
export interface Deferred<T> {
  _promise: Promise<T>;
  _resolve: (value: T) => void;
  _reject: (reason: unknown) => void;
}

export function deferred<T>(): Deferred<T> {
  const d = {} as Deferred<T>;
  d._promise = quiet(new Promise<T>((resolve, reject) => Object.assign(d, { _resolve: resolve, _reject: reject })));
  return d;
}

/** Makes the promise reject when the signal aborts. Then undo ends the work behind the promise. */
export function abortable<T>(d: Deferred<T>, signal: AbortSignal | undefined, undo: () => void): Promise<T> {
  const abort = (): void => {
    d._reject(signal?.reason);
    undo();
  };
  if (signal?.aborted) {
    abort();
  } else if (signal) {
    signal.addEventListener("abort", abort);
    quiet(d._promise.finally(() => signal.removeEventListener("abort", abort)));
  }
  return d._promise;
}
