import type * as all from "./constants.ts";
import { CONNECTION_QUALITY, CONTENT_HINT_TYPE, ERROR_INFO, MEDIA_DEVICE_KIND, SESSION_STATUS, STREAM_EVENT, STREAM_EVENT_TYPE, STREAM_STATUS,
  STREAM_STATUS_INFO, TRANSPORT_TYPE } from "./constants.ts";
import { quiet, SdkError } from "./errors.ts";
import { Browser } from "./browser.ts";
import { type Constraints, listDevices, LocalMedia, type MediaDeviceList, setDefaultConstraints } from "./media.ts";
import { getSessions, Session } from "./session.ts";
import type { SessionOptions } from "./session-options.ts";

/** The options of `Flashphoner.init`, which hold for the whole page. */
export interface InitOptions {
  /** The constraints of streams that have none; by default sound and a picture of 320 by 240. */
  constraints?: Constraints;
  /** Options of the vendor's SDK for Flash, other media providers and logging. They have no effect here. */
  [vendors: string]: unknown;
}

// A list, because esbuild makes a larger bundle of `import *`. tsc refuses a list that is not complete.
const constants: typeof all = { CONNECTION_QUALITY, CONTENT_HINT_TYPE, ERROR_INFO, MEDIA_DEVICE_KIND, SESSION_STATUS, STREAM_EVENT,
  STREAM_EVENT_TYPE, STREAM_STATUS, STREAM_STATUS_INFO, TRANSPORT_TYPE };

/** The entry of the SDK. It has the members of the vendor's global object. */
export const Flashphoner = {
  /** Sets options for the page. The call is optional. It rejects with `unsupported_browser` if the browser has no WebRTC. */
  init(options: InitOptions = {}): Promise<void> {
    if (options.constraints) {
      setDefaultConstraints(options.constraints);
    }
    return typeof RTCPeerConnection === "function" ? Promise.resolve()
      : quiet(Promise.reject(new SdkError("unsupported_browser", "the browser has no RTCPeerConnection")));
  },

  /** Connects to a server. `session.connected` resolves when the session is established. */
  createSession(options: SessionOptions): Session {
    if (!options?.urlServer) {
      throw new TypeError("options.urlServer must be provided");
    }
    return new Session(options);
  },

  /** All sessions that are not over, the oldest first. */
  getSessions,

  /** The session with this id, if it is not over. */
  getSession(id: string): Session | undefined {
    return getSessions().find((session) => session.id() === id);
  },

  /** The media providers: only WebRTC. */
  getMediaProviders(): string[] {
    return ["WebRTC"];
  },

  /** Lists devices of a kind, one of MEDIA_DEVICE_KIND. With labels, the browser may first ask for permission, for the devices in asked. */
  getMediaDevices(_provider?: string | null, labels?: boolean, kind?: string, asked?: Constraints): Promise<MediaDeviceList> {
    return listDevices(labels, kind, asked);
  },

  /** Lists devices with labels, for pages of the vendor's SDK. */
  getMobileDevices(_provider?: string | null, kind?: string, asked?: Constraints): Promise<MediaDeviceList> {
    return listDevices(true, kind, asked);
  },

  /** Opens camera and microphone and shows them before anything is published. A stream with the same display then uses them. */
  async getMediaAccess(constraints: Constraints | null | undefined, display: HTMLElement, ..._vendors: unknown[]): Promise<HTMLElement> {
    await LocalMedia.open(constraints ?? undefined, display);
    return display;
  },

  /** Closes the devices that are open in a display. Returns false if none are open, or if a stream sends them. */
  releaseLocalMedia(display: HTMLElement, _provider?: string): boolean {
    const media = LocalMedia.of(display);
    if (!media || media._inUse) {
      return false;
    }
    media._release();
    return true;
  },

  /** Does nothing; it is there for pages of the vendor's SDK. */
  playFirstSound(_noise?: boolean): void {},

  /** Does nothing; it is there for pages of the vendor's SDK. */
  playFirstVideo(..._vendors: unknown[]): Promise<void> {
    return Promise.resolve();
  },

  /** Returns the console, for pages of the vendor's SDK. */
  getLogger(): Console {
    return console;
  },

  /** Returns false, for pages of the vendor's SDK. */
  isUsingTemasys(): boolean {
    return false;
  },

  /** True, for pages of the vendor's SDK: browsers need no extension to share the screen. */
  firefoxScreenSharingExtensionInstalled: true,

  /** All constants. The module exports each of them as well. */
  constants,

  /** Guesses the browser, for pages of the vendor's SDK. */
  Browser,
};
