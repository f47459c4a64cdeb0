// What a page gives to a stream and hears from it: types only.

import type { ConnectionQuality, STREAM_STATUS } from "./constants.ts";
import type { Constraints } from "./media.ts";
import type { Stream } from "./stream.ts";

/** What a stream is to be. */
export interface StreamOptions {
  /** What it is called on the server. */
  name: string;
  /** Where it is shown: an element that a video is put into, or a video of the page. A publisher needs none. */
  display?: HTMLElement | null;
  /** What is published or played; camera and microphone, in a small picture, if absent. */
  constraints?: Constraints;
  /** The server pushes the published stream to this address, under the name `rtmp_` and its own. */
  rtmpUrl?: string;
  /** Camera and microphone stay open, and shown, when the stream ends. */
  cacheLocalResources?: boolean;
  /** Anything that the server's application is to be told. */
  custom?: unknown;
  /** What carries sound and pictures; UDP if absent. */
  transport?: "UDP" | "TCP";
  /** Codecs not to use: a list, or names with commas between. */
  stripCodecs?: string | string[] | null;
  /** What the picture shows; "motion" if absent. */
  videoContentHint?: string;
  /** Tells the server how a phone is held, instead of turning pictures. */
  cvoExtension?: boolean;
  /** Seconds that a player waits on purpose, so that little is lost. */
  playoutDelay?: number;
  /** false plays without sound until `unmuteRemoteAudio`; else so only where the browser insists. */
  unmutePlayOnStart?: boolean;
  /** Shows the browser's own controls. */
  useControls?: boolean;
  /** A video of the page to play in; the same as a video in `display`. */
  remoteVideo?: HTMLVideoElement;
  /** Width to play with, where the server makes other sizes. */
  playWidth?: number;
  /** Height to play with, where the server makes other sizes. */
  playHeight?: number;
  /** false plays without sound; `constraints.audio` says it as well. */
  receiveAudio?: boolean;
  /** false plays without a picture; `constraints.video` says it as well. */
  receiveVideo?: boolean;
  /** Of the vendor's SDK: not supported here. */
  record?: boolean;
  /** Of the vendor's SDK: always WebRTC here. */
  mediaProvider?: string | undefined;
  /** Of the vendor's SDK: taken, and passed over. */
  mediaConnectionConstraints?: unknown;
  /** Of the vendor's SDK: taken, and passed over. */
  flashShowFullScreenButton?: boolean;
  /** Of the vendor's SDK: taken, and passed over. */
  useCanvasMediaStream?: boolean;
  /** Of the vendor's SDK: taken, and passed over. */
  disableConstraintsNormalization?: boolean;
  /** Of the vendor's SDK: taken, and passed over. */
  logger?: unknown;
  /** May change the server's answer before it is used. */
  sdpHook?: (sdp: { sdpString: string }) => string;
}

/** The same, under the vendor's name. */
export type CreateStreamOptions = StreamOptions;

/** Something that happened to a stream; its type is one of STREAM_EVENT_TYPE. */
export interface StreamEvent {
  mediaSessionId: string;
  type: string;
  /** What goes with the type; the publisher's object for `data`. */
  payload?: any;
}

/** What `stream.on` tells of, and with what. */
export type StreamEvents = { [S in keyof typeof STREAM_STATUS]: [stream: Stream] } & {
  STREAM_EVENT: [event: StreamEvent];
  /** Rates in bit/s, smoothed, as this side and as the server sees them. */
  UPDATE: [quality: ConnectionQuality, rate: number, serverRate: number];
};

/** For what takes a while. */
export interface Abortable {
  /** Gives up when it aborts; the promise then rejects with the signal's reason. */
  signal?: AbortSignal | undefined;
}

/** Whether the publisher is muted. */
export interface MuteState {
  muted: boolean;
}
