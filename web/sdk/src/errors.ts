// Everything that can go wrong, as a closed list.

import { STREAM_STATUS_INFO as info } from "./constants.ts";

/** All reasons that an SdkError can have. */
export const reasons = [
  // Use of this SDK.
  "invalid_option", "invalid_state",
  // The socket.
  "connect_failed", "connect_timeout", "disconnected", "silent",
  // Camera, microphone, browser.
  "insecure_origin", "unsupported_browser", "permission_denied", "no_device", "device_busy", "device_failed",
  // Streams.
  "name_in_use", "stream_not_found", "not_ready", "publisher_stopped", "no_common_codecs", "transcoding_disabled",
  "no_transcoder", "restricted", "ice_failed", "media_lost", "push_failed", "terminated", "stopped", "failed",
  "snapshot_failed", "data_refused",
  // REST.
  "unreachable", "bad_request", "unauthorized", "not_found", "conflict", "unsupported", "busy", "server_error",
] as const;

/** Why something came to nothing; docs/sdk.md says what to do about each. */
export type Reason = (typeof reasons)[number];

/** What every promise of this SDK rejects with, but for an AbortSignal's own reason. */
export class SdkError extends Error {
  override readonly name = "SdkError";

  /** @internal */
  constructor(
    /** What went wrong, of the closed list. */
    readonly reason: Reason,
    /** The server's or the browser's own words; may be empty. */
    readonly info = "",
    options?: ErrorOptions,
  ) {
    super(info ? `${reason}: ${info}` : reason, options);
  }

  /** The same as `info`: pages of the vendor's SDK ask for it when `available()` rejects. */
  getInfo(): string {
    return this.info;
  }
}

const byInfo: Record<string, Reason> = {
  [info.FAILED_BY_ICE_ERROR]: "ice_failed",
  [info.FAILED_BY_ICE_TIMEOUT]: "ice_failed",
  [info.FAILED_BY_KEEP_ALIVE]: "media_lost",
  [info.FAILED_BY_DTLS_FINGERPRINT_ERROR]: "ice_failed",
  [info.FAILED_BY_DTLS_ERROR]: "ice_failed",
  [info.FAILED_BY_RTMP_WRITER_ERROR]: "push_failed",
  [info.FAILED_BY_RTP_ACTIVITY]: "media_lost",
  [info.STOPPED_BY_SESSION_DISCONNECT]: "disconnected",
  [info.STOPPED_BY_REST_TERMINATE]: "terminated",
  [info.STOPPED_BY_PUBLISHER_STOP]: "publisher_stopped",
  [info.STOPPED_BY_USER]: "stopped",
  [info.PUBLISH_STREAM_IS_NOT_READY]: "not_ready",
  [info.STREAM_NOT_FOUND]: "stream_not_found",
  [info.SESSION_DOES_NOT_EXIST]: "stream_not_found",
  [info.SESSION_NOT_READY]: "not_ready",
  [info.RTSP_STREAM_NOT_FOUND]: "stream_not_found",
  [info.FILE_NOT_FOUND]: "stream_not_found",
  [info.STREAM_NAME_ALREADY_IN_USE]: "name_in_use",
  [info.NO_COMMON_CODECS]: "no_common_codecs",
  [info.TRANSCODING_REQUIRED_BUT_DISABLED]: "transcoding_disabled",
  [info.NO_AVAILABLE_TRANSCODERS]: "no_transcoder",
  [info.RESTRICTED_ACCESS]: "restricted",
};

/** The error that the server's words for the end of a stream stand for. */
export function streamError(words: string): SdkError {
  return new SdkError(byInfo[words] ?? "failed", words);
}

const byDomName: Record<string, Reason> = {
  NotAllowedError: "permission_denied",
  SecurityError: "permission_denied",
  NotFoundError: "no_device",
  OverconstrainedError: "no_device",
  NotReadableError: "device_busy",
  AbortError: "device_busy",
};

/** The error that a browser's refusal of camera or microphone stands for. */
export function deviceError(error: unknown): SdkError {
  if (error instanceof SdkError) {
    return error;
  }
  const { name, message } = error as Error;
  return new SdkError(byDomName[name] ?? "device_failed", message, { cause: error });
}

/** Keeps a promise that nobody may have asked for from being reported when it rejects. */
export function quiet<P extends Promise<unknown>>(promise: P): P {
  promise.catch(() => undefined);
  return promise;
}

/** A promise and what settles it. */
export interface Deferred<T> {
  promise: Promise<T>;
  resolve: (value: T) => void;
  reject: (reason: unknown) => void;
}

export function deferred<T>(): Deferred<T> {
  const d = {} as Deferred<T>;
  d.promise = quiet(new Promise<T>((resolve, reject) => Object.assign(d, { resolve, reject })));
  return d;
}

/** Makes a promise reject when the signal aborts, whatever becomes of its work. */
export function abortable<T>(d: Deferred<T>, signal: AbortSignal | undefined, undo: () => void): Promise<T> {
  const abort = (): void => {
    d.reject(signal?.reason);
    undo();
  };
  if (signal?.aborted) {
    abort();
  } else if (signal) {
    const forget = (): void => signal.removeEventListener("abort", abort);
    signal.addEventListener("abort", abort);
    d.promise.then(forget, forget);
  }
  return d.promise;
}
