import { sleep } from "../sdk/src/backoff.ts";
import { adapt, open, stop, type Choice, type Kind, type Quality } from "./devices.ts";
import { Failure } from "./failure.ts";

export interface CaptureListener {
  /** The tracks are others now; null while nothing was ever open. */
  changed: (stream: MediaStream | null) => void;
  /** A new track is about to take the place of the open one, which is closed once this has resolved. */
  use: (track: MediaStreamTrack) => Promise<void>;
  /** A device went away by itself. */
  lost: (track: MediaStreamTrack) => void;
}

/** A device that was just closed may need a moment before it can be opened again. */
const returnPausesMs = [0, 300, 1000];

/**
 * The camera and microphone in use. A new device is open before the one of its kind is closed, and the other kind is not
 * touched. One choice follows another; whoever opens the next one waits for the last.
 */
export class Capture {
  private media: MediaStream | null = null;
  private quality: Quality | null = null;
  private muted = false;
  private queue: Promise<unknown> = Promise.resolve();

  constructor(private readonly listener: CaptureListener) {}

  /** The same stream for good, once something was open; its tracks change. */
  get stream(): MediaStream | null {
    return this.media;
  }

  /** Opens what is chosen and not open yet. When that fails, what is open stays open. */
  open(choice: Choice): Promise<MediaStream> {
    const opened = this.queue.then(() => this.bring(choice));
    this.queue = opened.catch(() => undefined);
    return opened;
  }

  /** Silences the microphone, and each that follows. */
  mute(muted: boolean): void {
    this.muted = muted;
    for (const track of this.media?.getAudioTracks() ?? []) {
      track.enabled = !muted;
    }
  }

  private async bring(choice: Choice): Promise<MediaStream> {
    const kinds: Kind[] = choice.sound ? ["video", "audio"] : ["video"];
    const failures: unknown[] = [];
    if (kinds.some((kind) => this.live(kind))) {
      for (const kind of kinds) {
        await this.bringOne(kind, choice).catch((error: unknown) => failures.push(error));
      }
    } else {
      for (const track of await open(choice, kinds)) { // together: the browser asks the person once
        await this.take(track);
      }
      this.quality = choice.quality;
    }
    if (failures.length > 0) {
      throw failures[0];
    }
    if (!choice.sound) {
      this.drop("audio");
    }
    return this.media ??= new MediaStream();
  }

  private async bringOne(kind: Kind, choice: Choice): Promise<void> {
    const old = this.live(kind);
    const id = kind === "video" ? choice.camera : choice.microphone;
    if (old && (id === "" || id === old.getSettings().deviceId)) {
      if (kind === "video" && this.quality !== choice.quality) {
        await adapt(old, choice.quality);
        this.quality = choice.quality;
      }
      return;
    }
    await this.take(await this.openInPlaceOf(old, kind, choice));
    if (kind === "video") {
      this.quality = choice.quality;
    }
  }

  private async openInPlaceOf(old: MediaStreamTrack | null, kind: Kind, choice: Choice): Promise<MediaStreamTrack> {
    try {
      return await openOne(kind, choice);
    } catch (error) {
      if (!old || !(error instanceof Failure && error.reason === "device_busy")) {
        throw error;
      }
    }
    // Phones open one camera at a time, and two cameras may share a USB port that carries one.
    const id = old.getSettings().deviceId ?? "";
    old.stop();
    try {
      return await openOne(kind, choice);
    } catch (error) {
      await this.goBack(kind, { ...choice, camera: id, microphone: id, quality: this.quality ?? choice.quality });
      throw error;
    }
  }

  /** Opens a device again that was closed for another, in vain. */
  private async goBack(kind: Kind, before: Choice): Promise<void> {
    for (const pause of returnPausesMs) {
      await sleep(pause);
      const track = await openOne(kind, before).catch(() => null);
      if (track) {
        await this.take(track);
        return;
      }
    }
    this.listener.changed(this.media);
  }

  /** Puts a new track in the place of the one of its kind. */
  private async take(track: MediaStreamTrack): Promise<void> {
    if (track.kind === "audio") {
      track.enabled = !this.muted;
    }
    track.addEventListener("ended", () => this.listener.lost(track)); // not by our own stop()
    try {
      await this.listener.use(track);
    } catch (error) {
      track.stop();
      throw error;
    }
    this.media ??= new MediaStream();
    this.drop(track.kind as Kind);
    this.media.addTrack(track);
    this.listener.changed(this.media);
  }

  private drop(kind: Kind): void {
    const old = this.media?.getTracks().filter((track) => track.kind === kind) ?? [];
    old.forEach((track) => this.media?.removeTrack(track));
    stop(old);
    if (old.length > 0) {
      this.listener.changed(this.media);
    }
  }

  private live(kind: Kind): MediaStreamTrack | null {
    return this.media?.getTracks().find((track) => track.kind === kind && track.readyState === "live") ?? null;
  }
}

async function openOne(kind: Kind, choice: Choice): Promise<MediaStreamTrack> {
  const [track] = await open(choice, [kind]);
  if (!track) {
    throw new Failure("device_failed", "the browser gave no track");
  }
  return track;
}
