import { sleep } from "./backoff.ts";
import { MEDIA_DEVICE_KIND } from "./constants.ts";
import { deviceError, SdkError } from "./errors.ts";

/** The constraints of sound: those of getUserMedia, and these. */
export interface AudioConstraints extends MediaTrackConstraints {
  /** bit/s. For pictures it is kbit/s, as in the vendor's SDK. */
  bitrate?: number;
  stereo?: boolean;
  /** Forward error correction. */
  fec?: boolean;
  /** The id of the loudspeaker for a played stream. */
  outputId?: string;
}

/** The constraints of pictures: those of getUserMedia, and these. */
export interface VideoConstraints extends MediaTrackConstraints {
  /** "screen" asks for a screen or a window instead of a camera. */
  type?: "camera" | "screen";
  /** kbit/s; for a published stream. */
  minBitrate?: number;
  /** kbit/s; for a published stream. */
  maxBitrate?: number;
  /** kbit/s; for a played stream. */
  bitrate?: number;
  /** 1 to 100; for a played stream. */
  quality?: number;
}

/** The media to publish or play. A plain number is a wish, which the browser may miss. `{exact: 1280}` is a demand. */
export interface Constraints {
  audio?: boolean | AudioConstraints;
  video?: boolean | VideoConstraints;
  /** The stream to publish instead of camera and microphone. */
  customStream?: MediaStream;
}

/** A camera, microphone or loudspeaker. */
export interface MediaDevice {
  id: string;
  /** Empty until the browser allows the page to use devices. */
  label: string;
  type: "camera" | "mic" | "speaker";
}

/** The result of `getMediaDevices`. */
export interface MediaDeviceList {
  audio: MediaDevice[];
  video: MediaDevice[];
}

/** The constraints of sound or pictures as an object; an empty one if the page only says true or false. */
export function details<T>(wish: boolean | T | undefined): Partial<T> {
  return typeof wish === "object" ? wish as Partial<T> : {};
}

const defaults = { constraints: { audio: true, video: { width: 320, height: 240 } } as Constraints };

/** Sets the constraints of a stream that has none. Until then they are the vendor's, with a small picture. */
export function setDefaultConstraints(constraints: Constraints): void {
  defaults.constraints = constraints;
}

/** An open camera and microphone, and the element that shows them. Several streams may send the same. */
export class LocalMedia {
  private _users = 0;
  private readonly _borrowed: MediaStreamTrack[]; // tracks of the page, which only the page stops

  private constructor(
    readonly _stream: MediaStream,
    readonly video: HTMLVideoElement | null,
    private readonly _display: HTMLElement | null,
    private readonly _constraints: Constraints,
    private readonly _key: string,
  ) {
    this._borrowed = _constraints.customStream?.getTracks() ?? [];
  }

  /** Opens the media for a display, in place of those that are open there. If the open ones have the same constraints, it returns them. */
  static async open(wanted: Constraints | undefined, display: HTMLElement | null, controls = false): Promise<LocalMedia> {
    const constraints = wanted && Object.keys(wanted).length > 0 ? wanted : defaults.constraints;
    const key = JSON.stringify(constraints);
    const open = display && shown.get(display);
    if (open && open._key === key && !constraints.customStream && open._usable) {
      return open;
    }
    const unused = open && !open._inUse ? open : undefined;
    const stream = constraints.customStream ?? await openInPlaceOf(unused?._own ?? [], () => capture(constraints),
      () => LocalMedia.open(open?._constraints, display, controls));
    open?._hide();
    unused?._release();
    const video = display && elementIn(display, controls);
    if (video) {
      video.muted = true;
      video.srcObject = stream;
      video.play().catch(() => undefined); // autoplay starts it later
    }
    const media = new LocalMedia(stream, video, display, constraints, key);
    if (display) {
      shown.set(display, media);
    }
    return media;
  }

  /** The media that is open in a display. */
  static of(display: HTMLElement): LocalMedia | undefined {
    return shown.get(display);
  }

  get _usable(): boolean {
    return this._stream.getTracks().every(isLive);
  }

  get _inUse(): boolean {
    return this._users > 0;
  }

  /** Replaces the track of the same kind, and stops the old one unless keep is set. */
  _replace(track: MediaStreamTrack, keep = false): void {
    const old = this._stream.getTracks().find(({ kind }) => kind === track.kind);
    if (old) {
      track.enabled = old.enabled;
      this._stream.removeTrack(old);
      keep || this._borrowed.includes(old) || old.stop();
    }
    this._stream.addTrack(track);
  }

  /** Counts one more stream that sends the media. */
  _use(): void {
    this._users++;
  }

  /** Counts one stream less. The last one closes the devices; with keep, they stay open for the next stream in the display. */
  _leave(keep: boolean): void {
    if (--this._users === 0 && !(keep && this._display)) {
      this._release();
    }
  }

  /** Closes the devices and removes the picture from the page. */
  _release(): void {
    this._own.forEach((track) => track.stop());
    this._hide();
  }

  private get _own(): MediaStreamTrack[] {
    return this._stream.getTracks().filter((track) => !this._borrowed.includes(track));
  }

  /** Removes the picture from the page, unless the display shows another one now. */
  private _hide(): void {
    if (this._display && shown.get(this._display) === this) {
      shown.delete(this._display);
      removeFrom(this._display, this.video);
    }
  }
}

const shown = new WeakMap<HTMLElement, LocalMedia>();

/** Returns the display if it is a video element, otherwise a new video element in it. */
export function elementIn(display: HTMLElement, controls: boolean): HTMLVideoElement {
  const video = display instanceof HTMLVideoElement ? display : display.appendChild(document.createElement("video"));
  video.playsInline = true;
  video.autoplay = true;
  video.controls ||= controls;
  return video;
}

export function removeFrom(display: HTMLElement, video: HTMLVideoElement | null): void {
  if (video) {
    video.srcObject = null;
    if (video !== display) {
      video.remove();
    }
  }
}

/** Opens camera and microphone, or a screen. */
export async function capture(constraints: Constraints): Promise<MediaStream> {
  const devices = mediaDevices();
  const { audio = false, video = false } = constraints;
  try {
    if (typeof video === "object" && video.type === "screen") {
      return await devices.getDisplayMedia({ video: plain(video), audio: plain(audio) });
    }
    return await devices.getUserMedia({ video: plain(video), audio: plain(audio) });
  } catch (error) {
    throw deviceError(error);
  }
}

export function mediaDevices(): MediaDevices {
  const devices = globalThis.navigator?.mediaDevices;
  if (!devices) {
    throw new SdkError(globalThis.isSecureContext === false ? "insecure_origin" : "unsupported_browser");
  }
  return devices;
}

/** Leaves only the constraints that the browser knows. */
function plain(wishes: boolean | AudioConstraints | VideoConstraints): boolean | MediaTrackConstraints {
  if (typeof wishes !== "object") {
    return wishes;
  }
  const { type, bitrate, minBitrate, maxBitrate, quality, stereo, fec, outputId, ...browsers } = wishes as AudioConstraints & VideoConstraints;
  return browsers;
}

/** Opens one camera or microphone: the one with this id, or any if id is undefined. */
export async function openDevice(
  kind: "audio" | "video", wishes: boolean | VideoConstraints | AudioConstraints | undefined, id?: string,
): Promise<MediaStreamTrack> {
  const constraints = { ...(plain(details(wishes)) as object), ...(id && { deviceId: { exact: id } }) };
  const [track] = (await capture({ [kind]: constraints })).getTracks();
  return track as MediaStreamTrack;
}

/** Returns the id of the camera or microphone that follows the one in use. */
export async function nextDevice(kind: "audio" | "video", used: string | undefined): Promise<string> {
  const all = (await mediaDevices().enumerateDevices()).filter((device) => device.kind === `${kind}input`);
  const id = all[(all.findIndex(({ deviceId }) => deviceId === used) + 1) % all.length]?.deviceId;
  if (!id || id === used) {
    throw new SdkError("no_device", "there is no other device of this kind");
  }
  return id;
}

/** The pauses before each attempt to open a device again: it may need a moment after it was closed. */
const returnPausesMs = [0, 300, 1000];

/**
 * Opens devices in place of old ones, which the caller stops afterwards. If the new ones are busy, as on phones where only one camera
 * can be open, the old ones are stopped first. If the new ones still cannot be opened, goBack opens the old ones again.
 */
export async function openInPlaceOf<T>(old: MediaStreamTrack[], open: () => Promise<T>, goBack: () => Promise<unknown>): Promise<T> {
  try {
    return await open();
  } catch (error) {
    if (deviceError(error).reason !== "device_busy" || !old.some(isLive)) {
      throw error;
    }
  }
  old.forEach((track) => track.stop());
  try {
    return await open();
  } catch (error) {
    for (const pause of returnPausesMs) {
      await sleep(pause);
      if (await goBack().then(() => true, () => false)) {
        break;
      }
    }
    throw error;
  }
}

export function isLive({ readyState }: MediaStreamTrack): boolean {
  return readyState === "live";
}

/** Lists devices. With labels, the browser may first ask for permission, for the kinds that the constraints name. */
export async function listDevices(labels = false, kind: string = MEDIA_DEVICE_KIND.INPUT,
  { audio = true, video = true }: Pick<Constraints, "audio" | "video"> = {}): Promise<MediaDeviceList> {
  const devices = mediaDevices();
  let found = await devices.enumerateDevices();
  if (labels && found.some(({ label }) => label === "")) {
    const has = (type: string): boolean => found.some((device) => device.kind === `${type}input`);
    const stream = await capture({ audio: !!audio && has("audio"), video: !!video && has("video") });
    found = await devices.enumerateDevices();
    stream.getTracks().forEach((track) => track.stop());
  }
  const types = { videoinput: "camera", audioinput: "mic", audiooutput: "speaker" } as const;
  const list: MediaDeviceList = { audio: [], video: [] };
  for (const device of found) {
    if (kind === MEDIA_DEVICE_KIND.ALL || device.kind.endsWith(kind)) {
      list[device.kind === "videoinput" ? "video" : "audio"].push({
        id: device.deviceId, label: device.label, type: types[device.kind],
      });
    }
  }
  return list;
}
