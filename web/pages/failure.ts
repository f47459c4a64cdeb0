// Everything that can keep a broadcast from being live, as a closed list. The words for each reason are in words.ts.

import { type Reason as SdkReason, SdkError } from "../sdk/src/errors.ts";

/** The reasons of the SDK that can occur on these pages, in its modules or with the same cause in WHIP. */
export const sdkReasons = [
  "insecure_origin", "unsupported_browser", "permission_denied", "no_device", "device_busy", "device_failed",
  "name_in_use", "no_common_codecs", "ice_failed", "disconnected", "push_failed",
  "bad_request", "unauthorized", "not_found", "conflict", "unsupported", "busy", "server_error",
] as const satisfies readonly SdkReason[];

/** Reasons that only these pages have. */
export const pageReasons = [
  "server_gone", // the SDK says "unreachable", but in pushReasons that is about the destination
  "forbidden", "too_many_tries", // the SDK tells them with "unauthorized" and "busy"
  "offer_refused", "token_needed", "takeover_refused", "publish_ended", "push_gone", "sound_missing", "sound_refused",
  "digits_refused", "call_unanswered",
  "disk_full", "disk_slow", "recording_failed",
  "screen_refused", "screen_failed", "mixer_failed", "image_unreadable", "file_unplayable",
  "piece_missing",
] as const;

/** The reasons that the server gives for a push; the list is part of its REST API. */
export const pushReasons = [
  "dns", "tcp_refused", "unreachable", "timeout", "tls", "tls_verify", "rtmp_handshake", "rtmp_protocol",
  "auth_rejected", "bad_app", "key_in_use", "key_rejected", "peer_closed", "peer_stalled",
  "peer_slow", "address_down", "target_forbidden", "source_lost", "source_no_media", "source_no_keyframe",
  "source_no_video", "source_no_audio", "source_unusable", "source_b_frames", "codec_unsupported",
  "transcoder_failed", "transcoder_slow", "no_capacity", "terminated", "shutdown",
  "restarted", "node_lost", "moved", "resume_expired", "internal",
] as const;

export type PageReason = (typeof sdkReasons)[number] | (typeof pageReasons)[number];
export type Reason = PageReason | (typeof pushReasons)[number];

export class Failure extends Error {
  override readonly name = "Failure";

  /** detail: the words of the server or the browser; may be empty. */
  constructor(readonly reason: Reason, readonly detail = "") {
    super(detail ? `${reason}: ${detail}` : reason);
  }
}

/** The failure of a push that has ended. A reason that this page does not know becomes push_failed. */
export function pushFailure(reason: string, detail: string): Failure {
  const known = pushReasons.find((r) => r === reason);
  return new Failure(known ?? "push_failed", detail || reason);
}

/** Turns any error into a Failure. An error of an unknown kind gets the reason `otherwise`. */
export function asFailure(error: unknown, otherwise: PageReason = "server_error"): Failure {
  if (error instanceof Failure) {
    return error;
  }
  if (!(error instanceof SdkError)) {
    return new Failure(otherwise, message(error));
  }
  const reason = pageReason(error.reason);
  const told = reason === "permission_denied" || reason === "no_device"; // the browser's words would only repeat ours
  return new Failure(reason, told ? "" : error.info);
}

/** Translates a reason of the SDK. */
export function pageReason(reason: SdkReason): PageReason {
  return reason === "unreachable" ? "server_gone" : (sdkReasons.find((r) => r === reason) ?? "server_error");
}

export function message(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
