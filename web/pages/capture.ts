import { isLive, openInPlaceOf } from "../sdk/src/media.ts";
import { sameProcessing, type Processing } from "./microphone.ts";
import { adapt, open, openOne, type Choice, type Kind, type Quality } from "./devices.ts";

export interface CaptureListener {
  /** The tracks have changed. */
  changed: () => void;
  /** A new track, or none, is about to replace the open one of its kind, which is closed when the promise has resolved. */
  use: (kind: Kind, track: MediaStreamTrack | null) => Promise<void>;
  /** A device has gone, such as one that was unplugged. */
  lost: (track: MediaStreamTrack) => void;
}

/**
 * The camera and microphone in use. A new device is opened before the old one of the same kind is closed; the other kind is not
 * touched. Calls of open run one after another.
 */
export class Capture {
  private media: MediaStream | null = null;
  private quality: Quality | null = null;
  /** Of the open microphone. */
  processing: Processing | null = null;
  private muted = false;
  private queue: Promise<unknown> = Promise.resolve();

  constructor(private readonly listener: CaptureListener) {}

  /** The open stream; null before the first device is open. It stays the same object, its tracks change. */
  get stream(): MediaStream | null {
    return this.media;
  }

  /** Opens the chosen devices that are not open yet. If that fails, the devices that are open stay open. */
  open(choice: Choice): Promise<MediaStream> {
    const opened = this.queue.then(() => this.bring(choice));
    this.queue = opened.catch(() => undefined);
    return opened;
  }

  /** Mutes the microphone, and every other one that is opened later. */
  mute(muted: boolean): void {
    this.muted = muted;
    for (const track of this.media?.getAudioTracks() ?? []) {
      track.enabled = !muted;
    }
  }

  private async bring(choice: Choice): Promise<MediaStream> {
    const all: [Kind, boolean][] = [["video", choice.picture], ["audio", choice.sound]];
    const kinds = all.filter(([, wanted]) => wanted).map(([kind]) => kind);
    const failures: unknown[] = [];
    if (kinds.length === 0 || kinds.some((kind) => this.live(kind))) {
      for (const kind of kinds) {
        await this.bringOne(kind, choice).catch((error: unknown) => failures.push(error));
      }
    } else {
      for (const track of await open(choice, kinds)) { // both together, so that the browser asks only once
        await this.take(track);
      }
      this.quality = choice.quality;
      this.processing = choice.processing;
    }
    for (const [kind, wanted] of all) {
      if (!wanted) {
        await this.listener.use(kind, null);
        this.drop(kind);
      }
    }
    if (failures.length > 0) {
      throw failures[0];
    }
    return this.media ??= new MediaStream();
  }

  private async bringOne(kind: Kind, choice: Choice): Promise<void> {
    const old = this.live(kind);
    const id = kind === "video" ? choice.camera : choice.microphone;
    const asBefore = kind === "video" || this.processing === null || sameProcessing(this.processing, choice.processing);
    if (old && asBefore && isChosen(old, id, kind === "video" ? choice.facing : "")) {
      if (kind === "video" && this.quality !== choice.quality) {
        await adapt(old, choice.quality);
        this.quality = choice.quality;
      }
      return;
    }
    const used = old?.getSettings().deviceId ?? "";
    const before: Choice = { ...choice, camera: used, facing: "", microphone: used, quality: this.quality ?? choice.quality, processing: this.processing ?? choice.processing };
    const goBack = async (): Promise<void> => this.take(await openOne(before, kind));
    try {
      await this.take(await openInPlaceOf(old ? [old] : [], () => openOne(choice, kind), goBack));
    } catch (error) {
      this.listener.changed(); // the old device may be closed, and could not be opened again
      throw error;
    }
    if (kind === "video") {
      this.quality = choice.quality;
    } else {
      this.processing = choice.processing;
    }
  }

  /** Replaces the track of the same kind. */
  private async take(track: MediaStreamTrack): Promise<void> {
    if (track.kind === "audio") {
      track.enabled = !this.muted;
    }
    track.addEventListener("ended", () => this.listener.lost(track)); // our own stop() does not fire this event
    try {
      await this.listener.use(track.kind as Kind, track);
    } catch (error) {
      track.stop();
      throw error;
    }
    this.media ??= new MediaStream();
    this.drop(track.kind as Kind);
    this.media.addTrack(track);
    this.listener.changed();
  }

  private drop(kind: Kind): void {
    const old = this.media?.getTracks().filter((track) => track.kind === kind) ?? [];
    old.forEach((track) => this.media?.removeTrack(track));
    old.forEach((track) => track.stop());
    if (old.length > 0) {
      this.listener.changed();
    }
  }

  private live(kind: Kind): MediaStreamTrack | null {
    return this.media?.getTracks().find((track) => track.kind === kind && isLive(track)) ?? null;
  }
}

/** Whether an open device is the wanted one. */
function isChosen(open: MediaStreamTrack, id: string, facing: string): boolean {
  const { deviceId, facingMode } = open.getSettings();
  return facing !== "" ? facingMode === facing : id === "" || id === deviceId;
}
