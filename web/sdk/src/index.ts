// The exports of the package. The reference in docs/sdk.md follows their order.

export { Flashphoner as default, Flashphoner, type InitOptions } from "./flashphoner.ts";
export * from "./functions.ts";
export { Session } from "./session.ts";
export type { SessionEvents, SessionOptions } from "./session-options.ts";
export type { Abortable, CreateStreamOptions, MuteState } from "./stream-options.ts";
export { Stream } from "./stream.ts";
export type { StreamEvent, StreamEvents, StreamOptions } from "./stream-options.ts";
export type { AudioConstraints, Constraints, MediaDevice, MediaDeviceList, VideoConstraints } from "./media.ts";
export type { StreamStats, TrackStats } from "./stats.ts";
export type { VideoSettings } from "./attempt.ts";
export type { Backoff } from "./backoff.ts";
export { type PushAddress, type PushInfo, Push, type PushOptions, type PushRequest, type PushState, type PushStatus, RestApi, type RestOptions,
  type RestorePolicy, type StreamDescription } from "./rest.ts";
export { type Reason, reasons, SdkError } from "./errors.ts";
export * from "./constants.ts";
