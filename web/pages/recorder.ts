import { isLive } from "../sdk/src/media.ts";
import type { Quality } from "./devices.ts";
import { Failure, message } from "./failure.ts";
import { canKeep, Storage } from "./recordings.ts";

export interface RecorderState {
  phase: "off" | "recording" | "saving";
  /** ms since 1970 */
  startedAt: number;
  bytes: number;
  /** Why the last recording ended before it was stopped. */
  failure: Failure | null;
}

/** A killed tab loses at most so much. */
const pieceMs = 2000;

/** A disk that is so far behind is too slow: the pieces that wait for it are in memory. */
const maxWaitingBytes = 32_000_000;

/** The last piece comes at once, or the browser has lost its encoder. */
const lastPieceMs = 5000;

/** Files that most programs play come first. Chromium has no AAC; MP4 with another sound plays in few programs. */
const types = [
  "video/mp4;codecs=avc1.640028,mp4a.40.2", "video/webm;codecs=vp8,opus", "video/webm", "video/mp4",
];

export function canRecord(): boolean {
  return canKeep() && "MediaRecorder" in globalThis && types.some((type) => MediaRecorder.isTypeSupported(type));
}

/** A part of the recording that runs: the tracks cannot change, so other tracks get another part. */
interface Part {
  recorder: MediaRecorder;
  /** The tracks and the quality. */
  key: string;
  ended: Promise<void>;
}

/**
 * Writes what is sent into this browser's storage. It never fails: a recording that cannot go on ends with a failure, and the show goes on.
 */
export class Recorder {
  private state: RecorderState = { phase: "off", startedAt: 0, bytes: 0, failure: null };
  private storage: Promise<Storage> | null = null;
  private part: Part | null = null;
  private parts = 0;
  private waiting = 0; // bytes that are not written yet
  private writing: Promise<void> = Promise.resolve();
  private wanted: { tracks: MediaStreamTrack[]; quality: Quality | null } = { tracks: [], quality: null };
  private checking = false;

  constructor(private readonly changed: (state: RecorderState) => void) {}

  get recording(): boolean {
    return this.state.phase === "recording";
  }

  /** Begins a recording, unless one runs. */
  start(name: string): void {
    if (this.state.phase !== "off") {
      return;
    }
    const startedAt = Date.now();
    const storage = this.storage = Storage.create(name, startedAt);
    this.parts = 0;
    this.waiting = 0;
    this.writing = storage.then(() => undefined);
    this.writing.catch((error: unknown) => this.fail(storage, error));
    this.set({ phase: "recording", startedAt, bytes: 0, failure: null });
    this.check();
  }

  /** Records these tracks from now on, in this quality. */
  use(stream: MediaStream | null, quality: Quality): void {
    this.wanted = { tracks: stream?.getTracks() ?? [], quality };
    if (!this.checking) { // a track is replaced in two steps
      this.checking = true;
      queueMicrotask(() => {
        this.checking = false;
        this.check();
      });
    }
  }

  /** Ends the recording. Resolves when all of it is written. */
  async stop(failure: Failure | null = null): Promise<void> {
    const { storage } = this;
    if (this.state.phase !== "recording" || !storage) {
      return;
    }
    this.set({ ...this.state, phase: "saving", failure });
    await this.endPart();
    await this.writing.catch((error: unknown) => this.note(error));
    await storage.then((one) => one.close(), () => undefined);
    this.storage = null;
    this.set({ ...this.state, phase: "off" });
  }

  /** Begins another part if the tracks or the quality have changed. */
  private check(): void {
    const tracks = this.wanted.tracks.filter(isLive);
    const { quality } = this.wanted;
    const key = JSON.stringify([...tracks.map(({ id }) => id), quality]);
    if (!this.recording || this.part?.key === key) {
      return;
    }
    void this.endPart();
    if (tracks.length > 0 && quality && this.storage) {
      try {
        this.part = this.begin(tracks, quality.maxBitrateKbps, key, this.storage);
      } catch (error) {
        this.fail(this.storage, new Failure("recording_failed", message(error)));
      }
    }
  }

  private begin(tracks: MediaStreamTrack[], kbps: number, key: string, storage: Promise<Storage>): Part {
    const mimeType = types.find((type) => MediaRecorder.isTypeSupported(type)) ?? "";
    const recorder = new MediaRecorder(new MediaStream(tracks), { mimeType, videoBitsPerSecond: kbps * 1000 });
    const part = this.parts++;
    let pieces = 0;
    recorder.ondataavailable = ({ data }) => {
      if (data.size > 0) {
        this.write(storage, part, pieces++, data);
      }
    };
    recorder.onerror = (event) => this.fail(storage, new Failure("recording_failed", message((event as ErrorEvent).error)));
    const ended = new Promise<void>((resolve) => (recorder.onstop = () => resolve()));
    recorder.start(pieceMs);
    return { recorder, key, ended };
  }

  private async endPart(): Promise<void> {
    const { part } = this;
    this.part = null;
    if (part) {
      if (part.recorder.state !== "inactive") {
        part.recorder.stop();
      }
      await Promise.race([part.ended, new Promise((resolve) => setTimeout(resolve, lastPieceMs))]);
    }
  }

  /** Each piece waits for the ones before it: a part with a gap would not play. */
  private write(storage: Promise<Storage>, part: number, piece: number, data: Blob): void {
    if (storage !== this.storage) {
      return;
    }
    this.waiting += data.size;
    if (this.waiting > maxWaitingBytes) {
      this.fail(storage, new Failure("disk_slow"));
      return;
    }
    this.writing = this.writing.then(async () => {
      await (await storage).add(part, piece, data);
      this.waiting -= data.size;
      this.set({ ...this.state, bytes: this.state.bytes + data.size });
    });
    this.writing.catch((error: unknown) => this.fail(storage, error));
  }

  private fail(storage: Promise<Storage>, error: unknown): void {
    if (storage === this.storage && this.recording) {
      void this.stop(error instanceof Failure ? error : new Failure("recording_failed", message(error)));
    }
  }

  /** The last pieces could not be written. */
  private note(error: unknown): void {
    if (error instanceof Failure) {
      this.set({ ...this.state, failure: error });
    }
  }

  private set(state: RecorderState): void {
    this.state = state;
    this.changed(state);
  }
}
