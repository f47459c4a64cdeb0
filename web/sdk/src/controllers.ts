// The exports of `transponder-sdk/controllers`. The reference in docs/elements.md follows their order.
//
// This build loads the core and is no part of it. Modules that belong to it, or to the elements, use only what index.ts exports: each build has
// shortened the other names in its own way.

export { Controller } from "./controller.ts";
export { PlayerController, type PlayerControllerOptions, type PlayerState, type PlayerStatus, type PublisherPresence } from "./player-controller.ts";
export { PublisherController, type PublisherControllerOptions, type PublisherState, type PublisherStatus } from "./publisher-controller.ts";
export { PushController, type PushControllerOptions, type PushControllerState } from "./push-controller.ts";
export { Presence } from "./presence.ts";
export { captureScreen, type CapturedScreen, type ScreenOptions, ScreenShare } from "./screen-share.ts";
