// The constants of the Flashphoner Web SDK, under the same names, so that pages of that SDK need no change. A constant of our own says so.

/** Makes constants whose values are their names. In the builds, both words would take 50 bytes more. */
function named<T extends object>(names: T): { readonly [name in keyof T]: name } {
  return Object.fromEntries(Object.keys(names).map((name) => [name, name])) as { readonly [name in keyof T]: name };
}

/** The statuses of a session. `session.on` reports each change. */
export const SESSION_STATUS = named({
  /** The session is new and connects. */
  PENDING: 0,
  /** The socket is open. The server has not answered yet. */
  CONNECTED: 0,
  /** The server has answered. Streams can be created now. */
  ESTABLISHED: 0,
  /** The socket was lost, and the session opens another one. Only with the option `reconnect`; not in the vendor's SDK. */
  RECONNECTING: 0,
  /** The session is over: the page or the server closed it. */
  DISCONNECTED: 0,
  /** The session is over: it could not connect, or the server fell silent. */
  FAILED: 0,
  /** Not a status: the server refused a request. */
  WARN: 0,
  /** Not a status: the answer to `startDebug` or `stopDebug`. */
  DEBUG: 0,
  /** Not a status: the server's application sent data. */
  APP_DATA: 0,
  /** Never reported: the promise of `sendData` has the answer. */
  SEND_DATA_STATUS: 0,
  /** The account for calls is registered. Only in the SDK with calls, as INCOMING_CALL. */
  REGISTERED: 0,
  /** Never reported, as in the vendor's SDK. */
  UNREGISTERED: 0,
  /** Not a status: somebody calls. */
  INCOMING_CALL: 0,
});

/** The values of SESSION_STATUS that are statuses. */
export type SessionStatus = Exclude<keyof typeof SESSION_STATUS, "WARN" | "DEBUG" | "APP_DATA" | UnusedStatus>;

type UnusedStatus = "SEND_DATA_STATUS" | "UNREGISTERED" | "INCOMING_CALL";

/** The statuses of a stream. `stream.on` reports each change. */
export const STREAM_STATUS = named({
  /** The stream is neither published nor played yet. */
  NEW: 0,
  /** The stream starts. */
  PENDING: 0,
  /** The stream is live: the server receives sound and pictures. */
  PUBLISHING: 0,
  /** The stream is live: sound and pictures come from the server. */
  PLAYING: 0,
  /** The stream was live and starts again. Only with the session's option `reconnect`; not in the vendor's SDK. */
  RESTORING: 0,
  /** The stream is over: a publisher was stopped. */
  UNPUBLISHED: 0,
  /** The stream is over: a player was stopped. */
  STOPPED: 0,
  /** The stream is over: `stream.error` says why. */
  FAILED: 0,
  /** Not a status. Only old servers send it; newer ones send the event of STREAM_EVENT_TYPE. */
  RESIZE: 0,
  /** Not a status. Only old servers send it; newer ones send the event of STREAM_EVENT_TYPE. */
  SNAPSHOT_COMPLETE: 0,
  /** Not a status. Only old servers send it; newer ones send the event of STREAM_EVENT_TYPE. */
  NOT_ENOUGH_BANDWIDTH: 0,
  /** Never reported: it belongs to other media providers of the vendor's SDK. */
  PAUSED: 0,
  /** Never reported: it belongs to other media providers of the vendor's SDK. */
  PLAYBACK_PROBLEM: 0,
});

/** The values of STREAM_STATUS that are statuses. */
export type StreamStatus =
  Exclude<keyof typeof STREAM_STATUS, "RESIZE" | "SNAPSHOT_COMPLETE" | "NOT_ENOUGH_BANDWIDTH" | "PAUSED" | "PLAYBACK_PROBLEM">;

/** The name under which `stream.on` reports a StreamEvent. */
export const STREAM_EVENT = "STREAM_EVENT";

/** The types of a StreamEvent. */
export const STREAM_EVENT_TYPE = {
  AUDIO_MUTED: "audioMuted",
  AUDIO_UNMUTED: "audioUnmuted",
  VIDEO_MUTED: "videoMuted",
  VIDEO_UNMUTED: "videoUnmuted",
  /** The publisher called `sendData`. */
  DATA: "data",
  SNAPSHOT_COMPLETED: "snapshotCompleted",
  SNAPSHOT_FAILED: "snapshotFailed",
  RESIZE: "resize",
  NOT_ENOUGH_BANDWIDTH: "notEnoughBandwidth",
  /** The browser plays without sound until the person clicks. Show a button that calls `unmuteRemoteAudio`. */
  UNMUTE_REQUIRED: "unmuteRequired",
  /** The push to the stream's `rtmpUrl` failed. The stream goes on. Not in the vendor's SDK. */
  PUSH_FAILED: "pushFailed",
} as const;

/** The server's words for the end of a stream. `stream.getInfo` returns them; `stream.error.reason` is easier to use. */
export const STREAM_STATUS_INFO = {
  FAILED_BY_ICE_ERROR: "Failed by ICE error",
  FAILED_BY_ICE_TIMEOUT: "Failed by ICE timeout",
  FAILED_BY_KEEP_ALIVE: "Failed by ICE keep alive",
  FAILED_BY_DTLS_FINGERPRINT_ERROR: "Failed by DTLS fingerprint error",
  FAILED_BY_DTLS_ERROR: "Failed by DTLS error",
  FAILED_BY_RTMP_WRITER_ERROR: "Failed by RTMP writer error",
  FAILED_BY_RTP_ACTIVITY: "Failed by RTP activity",
  STOPPED_BY_SESSION_DISCONNECT: "Stopped by session disconnect",
  STOPPED_BY_REST_TERMINATE: "Stopped by rest /terminate",
  STOPPED_BY_PUBLISHER_STOP: "Stopped by publisher stop",
  STOPPED_BY_USER: "Stopped by user",
  FAILED_BY_ERROR: "Failed by error",
  PUBLISH_STREAM_IS_NOT_READY: "Publish stream is not ready",
  STREAM_NOT_FOUND: "Stream not found",
  STREAM_NAME_ALREADY_IN_USE: "Stream name is already in use",
  MEDIASESSION_ID_NULL: "MediaSessionId is null",
  MEDIASESSION_ID_ALREADY_IN_USE: "MediaSessionId is already in use",
  SESSION_NOT_READY: "Session not ready",
  SESSION_DOES_NOT_EXIST: "Session does not exist",
  RTSP_STREAM_NOT_FOUND: "Rtsp stream not found",
  FAILED_TO_CONNECT_TO_RTSP_STREAM: "Failed to connect to rtsp stream",
  FILE_NOT_FOUND: "File not found",
  FILE_HAS_WRONG_FORMAT: "File has wrong format",
  NO_COMMON_CODECS: "No common codecs",
  TRANSCODING_REQUIRED_BUT_DISABLED: "Transcoding required, but disabled",
  RESTRICTED_ACCESS: "Restricted access",
  NO_AVAILABLE_TRANSCODERS: "No available transcoders",
} as const;

/** Words for errors that do not come from the server. */
export const ERROR_INFO = {
  /** `stream.getInfo` returns it when the error comes from the browser. `stream.getErrorInfo` then returns the browser's words. */
  LOCAL_ERROR: "Local error",
} as const;

/** Which devices `getMediaDevices` lists. */
export const MEDIA_DEVICE_KIND = { INPUT: "input", OUTPUT: "output", ALL: "all" } as const;

/** The transport of sound and pictures, for the stream option `transport`. */
export const TRANSPORT_TYPE = { UDP: "UDP", TCP: "TCP" } as const;

/** The quality of a stream's connection. `stream.on(CONNECTION_QUALITY.UPDATE, …)` reports it each second. */
export const CONNECTION_QUALITY = named({
  PERFECT: 0,
  GOOD: 0,
  BAD: 0,
  UNKNOWN: 0,
  /** The name of the event. */
  UPDATE: 0,
});

/** A grade of CONNECTION_QUALITY. */
export type ConnectionQuality = "PERFECT" | "GOOD" | "BAD";

/** The kind of picture. It tells the browser whether to keep motion or detail when there is little bandwidth. */
export const CONTENT_HINT_TYPE = { MOTION: "motion", DETAIL: "detail", TEXT: "text" } as const;
