import type { FromWorker, ToWorker } from "./mixer-worker.ts";
import { frameRate } from "./mixer-clock.ts";
import { paint, type Picture } from "./painter.ts";
import type { Scene, Source } from "./scene.ts";

/** The part of "MediaStreamTrack Insertable Media Processing" that Chromium has in pages. */
interface Insertable {
  MediaStreamTrackProcessor?: new (init: { track: MediaStreamTrack }) => { readable: ReadableStream<VideoFrame> };
  MediaStreamTrackGenerator?: new (init: { kind: "video" }) => MediaStreamTrack & { writable: WritableStream<VideoFrame> };
}

export type Sources = Partial<Record<Source, MediaStreamTrack>>;

/** A source that has given no picture after this time is not waited for. */
const patienceMs = 2000;

/** Makes one picture of several. The track goes on when nobody sees the page. */
export class Mixer {
  readonly track: MediaStreamTrack;
  private readonly worker = new Worker("/mixer-worker.js", { type: "module" });
  private readonly painter: PagePainter | null = null;
  private sources: Sources = {};
  private painted: () => void = () => undefined;

  /** failed: the worker could not be started or has an error. */
  constructor(failed: (error: Error) => void) {
    this.worker.addEventListener("error", (event) => failed(new Error(event.message || "the worker could not be started")));
    this.worker.addEventListener("message", ({ data }: MessageEvent<FromWorker>) => {
      if (data.type === "painted" || this.painter?.paint()) {
        this.painted();
      }
    });
    const { MediaStreamTrackGenerator, MediaStreamTrackProcessor } = globalThis as Insertable;
    if (MediaStreamTrackGenerator && MediaStreamTrackProcessor) {
      const generator = new MediaStreamTrackGenerator({ kind: "video" });
      this.track = generator;
      this.tell({ type: "begin", writable: generator.writable }, [generator.writable]);
    } else {
      this.painter = new PagePainter();
      this.track = this.painter.track;
      this.tell({ type: "ticks" });
    }
    this.track.contentHint = "motion";
  }

  /** Shows other sources, or in other places. The mixer closes the card. Resolves when the picture is there. */
  show(scene: Scene, sources: Sources, card: ImageBitmap | null): Promise<void> {
    const done = new Promise<void>((resolve) => {
      this.painted = resolve;
      setTimeout(resolve, patienceMs);
    });
    const processor = (globalThis as Insertable).MediaStreamTrackProcessor;
    if (this.painter || !processor) {
      this.painter?.show(scene, sources, card);
      return done;
    }
    this.tell({ type: "scene", scene, card }, card ? [card] : []);
    for (const source of ["camera", "screen"] as const) {
      const track = sources[source];
      if (track && track !== this.sources[source]) {
        const { readable } = new processor({ track });
        this.tell({ type: "source", source, readable }, [readable]);
      }
    }
    this.sources = sources;
    return done;
  }

  close(): void {
    this.worker.terminate();
    this.track.stop();
    this.painter?.close();
  }

  private tell(message: ToWorker, transfer: Transferable[] = []): void {
    this.worker.postMessage(message, transfer);
  }
}

/** Paints in the page, when the worker says so, for browsers whose workers get no frames. */
class PagePainter {
  readonly track: MediaStreamTrack;
  private readonly canvas = document.createElement("canvas");
  private readonly context = this.canvas.getContext("2d", { alpha: false });
  private readonly videos = new Map<Source, HTMLVideoElement>();
  private scene: Scene | null = null;
  private card: ImageBitmap | null = null;

  constructor() {
    this.track = this.canvas.captureStream(frameRate).getVideoTracks()[0] as MediaStreamTrack;
  }

  show(scene: Scene, sources: Sources, card: ImageBitmap | null): void {
    if (this.canvas.width !== scene.size.width || this.canvas.height !== scene.size.height) {
      Object.assign(this.canvas, scene.size);
    }
    this.card?.close();
    this.card = card;
    this.scene = scene;
    for (const source of ["camera", "screen"] as const) {
      const track = sources[source];
      const old = this.videos.get(source);
      if (!track) {
        release(old);
        this.videos.delete(source);
      } else if ((old?.srcObject as MediaStream | undefined)?.getTracks()[0] !== track) {
        const video = Object.assign(document.createElement("video"), { muted: true, playsInline: true, srcObject: new MediaStream([track]) });
        video.play().catch(() => undefined); // it plays when the track has pictures
        release(old);
        this.videos.set(source, video);
      }
    }
  }

  /** True if all sources of the scene have a picture. */
  paint(): boolean {
    if (!this.scene || !this.context) {
      return false;
    }
    const pictures = new Map<Source, Picture>();
    for (const [source, video] of this.videos) {
      if (video.readyState >= HTMLMediaElement.HAVE_CURRENT_DATA) {
        pictures.set(source, { image: video, width: video.videoWidth, height: video.videoHeight });
      }
    }
    paint(this.context, this.scene, pictures, this.card);
    return this.scene.places.every(({ source }) => pictures.has(source));
  }

  close(): void {
    this.card?.close();
    this.videos.forEach(release);
    this.videos.clear();
  }
}

/** Browsers go on decoding for a video that nobody sees. */
function release(video: HTMLVideoElement | undefined): void {
  if (video) {
    video.srcObject = null;
  }
}
