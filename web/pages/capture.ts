import { Pauses } from "../sdk/src/backoff.ts";
import { isLive, openInPlaceOf } from "../sdk/src/media.ts";
import { sameProcessing, type Processing } from "./microphone.ts";
import { adapt, open, openOne, type Choice, type Kind, type Quality } from "./devices.ts";

export interface CaptureListener {
  /** The tracks have changed. */
  changed: () => void;
  /** A new track, or none, is about to replace the open one of its kind, which is closed when the promise has resolved. */
  use: (kind: Kind, track: MediaStreamTrack | null) => Promise<void>;
  /** A device has gone, such as one that was unplugged. */
  lost: () => void;
}

/** A device that has gone while it was in use. */
interface Loss {
  id: string;
  /** Before the next attempts to open it again. */
  pauses: Pauses;
  /** When the next one is due, as performance.now tells it. */
  dueAt: number;
}

/** The pauses between the attempts to open a lost device again. A driver that has crashed needs a moment, and another program may need the device for long. */
const patience = { attempts: Infinity, firstPauseMs: 500, factor: 2, maxPauseMs: 10_000 };

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
  private readonly losses = new Map<Kind, Loss>();
  private listed: ReadonlySet<string> = new Set(); // the ids of the devices that there were when somebody last looked
  private queue: Promise<unknown> = Promise.resolve();

  constructor(private readonly listener: CaptureListener) {}

  /** The open stream; null before the first device is open. It stays the same object, its tracks change. */
  get stream(): MediaStream | null {
    return this.media;
  }

  /** The kinds of the devices that have gone and are not replaced. */
  get lost(): Kind[] {
    return [...this.losses.keys()];
  }

  /** These are the ids of the devices that there are now. */
  compare(ids: ReadonlySet<string>): void {
    for (const track of this.media?.getTracks().filter(isLive) ?? []) {
      const { deviceId = "" } = track.getSettings();
      if (this.listed.has(deviceId) && !ids.has(deviceId)) {
        this.lose(track); // some systems give the sound of another microphone in its name
      }
    }
    this.listed = ids;
  }

  /** Whether it is worth an attempt now to open again what was lost. */
  retry(): boolean {
    const due = [...this.losses.values()].filter(({ dueAt, id }) => id !== "" && this.listed.has(id) && performance.now() >= dueAt);
    for (const loss of due) {
      loss.dueAt = performance.now() + (loss.pauses._next() ?? Infinity);
    }
    return due.length > 0;
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
        this.losses.delete(kind);
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
    if (old && asBefore && !this.losses.has(kind) && isChosen(old, id, kind === "video" ? choice.facing : "")) {
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
    track.addEventListener("ended", () => this.lose(track)); // our own stop() does not fire this event
    try {
      await this.listener.use(track.kind as Kind, track);
    } catch (error) {
      track.stop();
      throw error;
    }
    this.media ??= new MediaStream();
    this.losses.delete(track.kind as Kind);
    this.drop(track.kind as Kind);
    this.media.addTrack(track);
    this.listener.changed();
  }

  private lose(track: MediaStreamTrack): void {
    const kind = track.kind as Kind;
    if (!this.losses.has(kind)) {
      this.losses.set(kind, { id: track.getSettings().deviceId ?? "", pauses: new Pauses(patience), dueAt: 0 });
      this.listener.lost();
    }
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
