// The names of the Flashphoner Web SDK, so that its pages need no change, and a few of our own, which say so.

/** What a session can be; `on` tells of each. */
export const SESSION_STATUS = {
  /** Made, not yet connected. */
  PENDING: "PENDING",
  /** The socket is open; the server has not answered yet. */
  CONNECTED: "CONNECTED",
  /** Streams can be made now. */
  ESTABLISHED: "ESTABLISHED",
  /** The socket was lost and is being opened anew. Not in the vendor's SDK; only with the option `reconnect`. */
  RECONNECTING: "RECONNECTING",
  /** Over: closed by either side. */
  DISCONNECTED: "DISCONNECTED",
  /** Over: it could not be opened, or the server fell silent. */
  FAILED: "FAILED",
  /** No status: the server warns of a request that came to nothing. */
  WARN: "WARN",
  /** No status: an answer to `startDebug` or `stopDebug`. */
  DEBUG: "DEBUG",
  /** No status: the server's application sent data. */
  APP_DATA: "APP_DATA",
  /** Never told: `sendData` answers by its promise. */
  SEND_DATA_STATUS: "SEND_DATA_STATUS",
  /** Never told: there are no calls. */
  REGISTERED: "REGISTERED",
  /** Never told: there are no calls. */
  UNREGISTERED: "UNREGISTERED",
  /** Never told: there are no calls. */
  INCOMING_CALL: "INCOMING_CALL",
} as const;

/** A value of SESSION_STATUS that is a status. */
export type SessionStatus = Exclude<keyof typeof SESSION_STATUS, "WARN" | "DEBUG" | "APP_DATA" | UnusedStatus>;

type UnusedStatus = "SEND_DATA_STATUS" | "REGISTERED" | "UNREGISTERED" | "INCOMING_CALL";

/** What a stream can be; `on` tells of each. */
export const STREAM_STATUS = {
  /** Made, neither published nor played yet. */
  NEW: "NEW",
  /** Being opened. */
  PENDING: "PENDING",
  /** Live: the server gets sound and pictures. */
  PUBLISHING: "PUBLISHING",
  /** Live: sound and pictures come from the server. */
  PLAYING: "PLAYING",
  /** Was live and is being opened anew. Not in the vendor's SDK; only with the session's option `reconnect`. */
  RESTORING: "RESTORING",
  /** Over: a publisher was stopped. */
  UNPUBLISHED: "UNPUBLISHED",
  /** Over: a player was stopped. */
  STOPPED: "STOPPED",
  /** Over: `stream.error` says why. */
  FAILED: "FAILED",
  /** No status, and only from old servers: now an event, see STREAM_EVENT_TYPE. */
  RESIZE: "RESIZE",
  /** No status, and only from old servers: now an event, see STREAM_EVENT_TYPE. */
  SNAPSHOT_COMPLETE: "SNAPSHOT_COMPLETE",
  /** No status, and only from old servers: now an event, see STREAM_EVENT_TYPE. */
  NOT_ENOUGH_BANDWIDTH: "NOT_ENOUGH_BANDWIDTH",
  /** Never told: of the vendor's other media providers. */
  PAUSED: "PAUSED",
  /** Never told: of the vendor's other media providers. */
  PLAYBACK_PROBLEM: "PLAYBACK_PROBLEM",
} as const;

/** A value of STREAM_STATUS that is a status. */
export type StreamStatus =
  Exclude<keyof typeof STREAM_STATUS, "RESIZE" | "SNAPSHOT_COMPLETE" | "NOT_ENOUGH_BANDWIDTH" | "PAUSED" | "PLAYBACK_PROBLEM">;

/** The name by which `stream.on` tells of a StreamEvent. */
export const STREAM_EVENT = "STREAM_EVENT";

/** The types of a StreamEvent. */
export const STREAM_EVENT_TYPE = {
  AUDIO_MUTED: "audioMuted",
  AUDIO_UNMUTED: "audioUnmuted",
  VIDEO_MUTED: "videoMuted",
  VIDEO_UNMUTED: "videoUnmuted",
  /** What the publisher sent by `sendData`. */
  DATA: "data",
  SNAPSHOT_COMPLETED: "snapshotCompleted",
  SNAPSHOT_FAILED: "snapshotFailed",
  RESIZE: "resize",
  NOT_ENOUGH_BANDWIDTH: "notEnoughBandwidth",
  /** The browser plays without sound until somebody clicks: show a button that calls `unmuteRemoteAudio`. */
  UNMUTE_REQUIRED: "unmuteRequired",
  /** The push to the stream's `rtmpUrl` failed; the stream goes on. Not in the vendor's SDK. */
  PUSH_FAILED: "pushFailed",
} as const;

/** The server's words for the end of a stream, which `stream.getInfo` gives; `stream.error.reason` is easier to use. */
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

/** Words of this side. */
export const ERROR_INFO = {
  /** What `stream.getInfo` gives when the browser is the reason; `stream.getErrorInfo` then gives its words. */
  LOCAL_ERROR: "Local error",
} as const;

/** Which devices `getMediaDevices` lists. */
export const MEDIA_DEVICE_KIND = { INPUT: "input", OUTPUT: "output", ALL: "all" } as const;

/** What carries sound and pictures: the stream option `transport`. */
export const TRANSPORT_TYPE = { UDP: "UDP", TCP: "TCP" } as const;

/** How well a stream gets through; `stream.on(CONNECTION_QUALITY.UPDATE, …)` tells of it each second. */
export const CONNECTION_QUALITY = {
  PERFECT: "PERFECT",
  GOOD: "GOOD",
  BAD: "BAD",
  UNKNOWN: "UNKNOWN",
  /** The name of the event. */
  UPDATE: "UPDATE",
} as const;

/** A grade of CONNECTION_QUALITY. */
export type ConnectionQuality = "PERFECT" | "GOOD" | "BAD";

/** What a picture shows, so that the browser knows what to keep when there is little bandwidth. */
export const CONTENT_HINT_TYPE = { MOTION: "motion", DETAIL: "detail", TEXT: "text" } as const;
