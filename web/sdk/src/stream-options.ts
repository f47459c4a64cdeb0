// The options and events of a stream. There are only types here.

import type { ConnectionQuality, STREAM_STATUS } from "./constants.ts";
import type { Constraints } from "./media.ts";
import type { Stream } from "./stream.ts";

/** The options of `session.createStream`. */
export interface StreamOptions {
  /** The name of the stream on the server. */
  name: string;
  /** Where the stream is shown: an element into which the SDK puts a video, or a video element of the page. A publisher needs none. */
  display?: HTMLElement | null;
  /** The media to publish or play; by default camera and microphone, with a small picture. */
  constraints?: Constraints;
  /** The server pushes the published stream to this address, under its name with `rtmp_` before it. */
  rtmpUrl?: string;
  /** Camera and microphone stay open and visible when the stream ends. */
  cacheLocalResources?: boolean;
  /** Any data for the server's application. With `token` it must be an object. */
  custom?: unknown;
  /** A token or a key for this stream only, in place of that of the session. The server gets it as `custom.token`. */
  token?: string;
  /** The transport of sound and pictures; UDP by default. */
  transport?: "UDP" | "TCP";
  /** Codecs that must not be used: a list, or names separated by commas. */
  stripCodecs?: string | string[] | null;
  /** The kind of picture, one of CONTENT_HINT_TYPE; "motion" by default. */
  videoContentHint?: string;
  /** Sends the rotation of a phone beside the pictures, which the browser then does not rotate itself. */
  cvoExtension?: boolean;
  /** Seconds by which a player delays, so that fewer packets come too late. */
  playoutDelay?: number;
  /** With false, the stream plays without sound until `unmuteRemoteAudio`. Otherwise it does so only if the browser demands it. */
  unmutePlayOnStart?: boolean;
  /** Shows the browser's own controls in the video. */
  useControls?: boolean;
  /** A video element of the page to play in. A video element as `display` does the same. */
  remoteVideo?: HTMLVideoElement;
  /** The width to play, if the server can scale pictures. */
  playWidth?: number;
  /** The height to play, if the server can scale pictures. */
  playHeight?: number;
  /** With false, the stream is played without sound. `constraints.audio` overrides it. */
  receiveAudio?: boolean;
  /** With false, the stream is played without pictures. `constraints.video` overrides it. */
  receiveVideo?: boolean;
  /** An option of the vendor's SDK. It is not supported here. */
  record?: boolean;
  /** An option of the vendor's SDK. It is always WebRTC here. */
  mediaProvider?: string | undefined;
  /** An option of the vendor's SDK. It has no effect here. */
  mediaConnectionConstraints?: unknown;
  /** An option of the vendor's SDK. It has no effect here. */
  flashShowFullScreenButton?: boolean;
  /** An option of the vendor's SDK. It has no effect here. */
  useCanvasMediaStream?: boolean;
  /** An option of the vendor's SDK. It has no effect here. */
  disableConstraintsNormalization?: boolean;
  /** An option of the vendor's SDK. It has no effect here. */
  logger?: unknown;
  /** Can change the server's SDP answer before the browser gets it. */
  sdpHook?: (sdp: { sdpString: string }) => string;
}

/** The same as StreamOptions, under the name of the vendor's SDK. */
export type CreateStreamOptions = StreamOptions;

/** An event of a stream. The type is one of STREAM_EVENT_TYPE. */
export interface StreamEvent {
  mediaSessionId: string;
  type: string;
  /** The details, which depend on the type. For `data`, the object that the publisher sent. */
  payload?: any;
}

/** The events of `stream.on`, with the arguments of their listeners. */
export type StreamEvents = { [S in keyof typeof STREAM_STATUS]: [stream: Stream] } & {
  STREAM_EVENT: [event: StreamEvent];
  /** The smoothed rates are in bit/s: `rate` as the browser counts, `serverRate` as the server counts. */
  UPDATE: [quality: ConnectionQuality, rate: number, serverRate: number];
};

/** An option of all methods that take a while. */
export interface Abortable {
  /** When the signal aborts, the method gives up. The promise then rejects with the signal's reason. */
  signal?: AbortSignal | undefined;
}

/** Whether the publisher has muted sound or pictures. */
export interface MuteState {
  muted: boolean;
}
