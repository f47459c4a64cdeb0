// Everything that can keep a broadcast from being live, as a closed list. The words for each are in words.ts.

/** Reasons that the server gives for a push; the list of its REST API. */
export const pushReasons = [
  "dns", "tcp_refused", "unreachable", "timeout", "tls", "tls_verify", "rtmp_handshake", "rtmp_protocol",
  "auth_rejected", "bad_app", "key_in_use", "key_rejected", "peer_closed", "peer_stalled",
  "peer_slow", "target_forbidden", "source_lost", "source_no_media", "source_no_keyframe",
  "source_no_video", "source_no_audio", "source_unusable", "source_b_frames", "codec_unsupported",
  "transcoder_failed", "transcoder_slow", "no_capacity", "terminated", "shutdown", "internal",
] as const;

/** Reasons that this page finds itself. */
export const pageReasons = [
  // Before anything is sent.
  "insecure_origin", "unsupported_browser", "permission_denied", "no_camera", "device_busy", "device_failed",
  // Getting the stream to the server.
  "name_taken", "offer_refused", "no_common_codec", "unauthorized", "login_needed", "server_busy", "server_error", "server_gone",
  "media_timeout", "connection_lost", "publish_ended",
  // Asking for the push, and watching it.
  "bad_request", "stream_missing", "already_pushed", "unsupported_request", "push_gone", "push_failed",
  "sound_missing", "sound_refused",
] as const;

export type PushReason = (typeof pushReasons)[number];
export type PageReason = (typeof pageReasons)[number];
export type Reason = PushReason | PageReason;

export class Failure extends Error {
  override readonly name = "Failure";

  /** detail is what the server or the browser said; it may be empty. */
  constructor(readonly reason: Reason, readonly detail = "") {
    super(detail ? `${reason}: ${detail}` : reason);
  }
}

/** The failure of a push that ended; a reason that this page does not know becomes push_failed. */
export function pushFailure(reason: string, detail: string): Failure {
  const known = pushReasons.find((r) => r === reason);
  return new Failure(known ?? "push_failed", detail || reason);
}
