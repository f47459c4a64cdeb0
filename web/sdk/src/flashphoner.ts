import type * as all from "./constants.ts";
import { CONNECTION_QUALITY, CONTENT_HINT_TYPE, ERROR_INFO, MEDIA_DEVICE_KIND, SESSION_STATUS, STREAM_EVENT, STREAM_EVENT_TYPE, STREAM_STATUS,
  STREAM_STATUS_INFO, TRANSPORT_TYPE } from "./constants.ts";
import { quiet, SdkError } from "./errors.ts";
import { Browser } from "./browser.ts";
import { type Constraints, listDevices, LocalMedia, type MediaDeviceList, setDefaultConstraints } from "./media.ts";
import { getSessions, Session } from "./session.ts";
import type { SessionOptions } from "./session-options.ts";

/** For all of the page. */
export interface InitOptions {
  /** What is published where a stream does not say; 320 x 240 and sound if absent. */
  constraints?: Constraints;
  /** Flash, other media providers and logging are of the vendor's SDK: taken, and passed over. */
  [vendors: string]: unknown;
}

// Listed, because esbuild's object for `import *` makes the bundle larger. tsc refuses the list when it is not complete.
const constants: typeof all = { CONNECTION_QUALITY, CONTENT_HINT_TYPE, ERROR_INFO, MEDIA_DEVICE_KIND, SESSION_STATUS, STREAM_EVENT,
  STREAM_EVENT_TYPE, STREAM_STATUS, STREAM_STATUS_INFO, TRANSPORT_TYPE };

/** Where everything begins; the same as the vendor's global object. */
export const Flashphoner = {
  /** Need not be called; rejects with `unsupported_browser` where there is no WebRTC. */
  init(options: InitOptions = {}): Promise<void> {
    if (options.constraints) {
      setDefaultConstraints(options.constraints);
    }
    return typeof RTCPeerConnection === "function" ? Promise.resolve()
      : quiet(Promise.reject(new SdkError("unsupported_browser", "no RTCPeerConnection")));
  },

  /** Connects to a server; `session.connected` tells when that is done. */
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

  /** What streams are carried by: WebRTC, always. */
  getMediaProviders(): string[] {
    return ["WebRTC"];
  },

  /** Lists devices; with labels, the browser may ask the person first, for those of asked. kind is of MEDIA_DEVICE_KIND. */
  getMediaDevices(_provider?: string | null, labels?: boolean, kind?: string, asked?: Constraints): Promise<MediaDeviceList> {
    return listDevices(labels, kind, asked);
  },

  /** The same with labels: for pages of the vendor's SDK. */
  getMobileDevices(_provider?: string | null, kind?: string, asked?: Constraints): Promise<MediaDeviceList> {
    return listDevices(true, kind, asked);
  },

  /** Opens camera and microphone and shows them, before anything is published; a stream with this display then takes them. */
  async getMediaAccess(constraints: Constraints | null | undefined, display: HTMLElement, ..._vendors: unknown[]): Promise<HTMLElement> {
    await LocalMedia.open(constraints ?? undefined, display);
    return display;
  },

  /** Closes what is open in a display; false if nothing was, or if a stream sends it. */
  releaseLocalMedia(display: HTMLElement, _provider?: string): boolean {
    const media = LocalMedia.of(display);
    if (!media || media.inUse) {
      return false;
    }
    media.release();
    return true;
  },

  /** Does nothing, as nothing is needed: for pages of the vendor's SDK. */
  playFirstSound(_noise?: boolean): void {},

  /** Does nothing, as nothing is needed: for pages of the vendor's SDK. */
  playFirstVideo(..._vendors: unknown[]): Promise<void> {
    return Promise.resolve();
  },

  /** The console: for pages of the vendor's SDK. */
  getLogger(): Console {
    return console;
  },

  /** false: for pages of the vendor's SDK. */
  isUsingTemasys(): boolean {
    return false;
  },

  /** true: browsers need no extension. For pages of the vendor's SDK. */
  firefoxScreenSharingExtensionInstalled: true,

  /** All constants, which this module exports as well. */
  constants,

  /** Guesses what browser this is, for pages of the vendor's SDK. */
  Browser,
};
