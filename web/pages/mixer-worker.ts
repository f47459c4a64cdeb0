// Paints the mixed picture, in a worker: browsers slow down or stop the timers and the painting of a page that nobody sees, but not those of a
// worker. Two ways, by what the browser can do:
//
// 1. The worker gets the frames of the sources as streams, paints, and writes the mixed frames into a stream (Chromium).
// 2. The page paints, and this worker only tells it when.

import { MixerClock } from "./mixer-clock.ts";
import { paint, type Picture } from "./painter.ts";
import type { Scene, Source } from "./scene.ts";

export type ToWorker =
  | { type: "begin"; writable: WritableStream<VideoFrame> }
  | { type: "ticks" }
  | { type: "source"; source: Source; readable: ReadableStream<VideoFrame> }
  | { type: "scene"; scene: Scene; card: ImageBitmap | null };

/** painted: a picture was painted with all sources of the scene. tick: the page is to paint. */
export type FromWorker = { type: "painted" } | { type: "tick" };

const port = globalThis as unknown as {
  postMessage: (message: FromWorker) => void;
  addEventListener: (type: "message", listener: (event: MessageEvent<ToWorker>) => void) => void;
};

const frames = new Map<Source, VideoFrame>();
const streams = new Map<Source, ReadableStream<VideoFrame>>();
let writer: WritableStreamDefaultWriter<VideoFrame> | null = null;
let canvas: OffscreenCanvas | null = null;
let context: OffscreenCanvasRenderingContext2D | null = null;
let scene: Scene | null = null;
let card: ImageBitmap | null = null;
let told = false;

const clock = new MixerClock(() => (writer ? paintFrame(writer) : port.postMessage({ type: "tick" })));

port.addEventListener("message", ({ data }) => {
  switch (data.type) {
    case "begin":
      writer = data.writable.getWriter();
      tick();
      return;
    case "ticks":
      tick();
      return;
    case "source":
      void read(data.source, data.readable);
      return;
    case "scene":
      show(data.scene, data.card);
      return;
  }
});

function tick(): void {
  setTimeout(tick, clock.look(performance.now()));
}

function show(next: Scene, nextCard: ImageBitmap | null): void {
  if (!canvas || !context || canvas.width !== next.size.width || canvas.height !== next.size.height) {
    canvas = new OffscreenCanvas(next.size.width, next.size.height);
    context = canvas.getContext("2d", { alpha: false });
  }
  card?.close();
  [scene, card, told] = [next, nextCard, false];
  for (const source of frames.keys()) {
    if (!next.places.some((place) => place.source === source)) {
      drop(source); // an old picture must not be shown when the source is there again
    }
  }
}

/** Keeps the newest frame of a source, until the stream ends or another one takes its place. */
async function read(source: Source, readable: ReadableStream<VideoFrame>): Promise<void> {
  streams.set(source, readable);
  const reader = readable.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) {
      break;
    }
    if (streams.get(source) !== readable) {
      value.close();
      void reader.cancel();
      return;
    }
    if (!scene?.places.some((place) => place.source === source)) {
      value.close();
      continue;
    }
    frames.get(source)?.close();
    frames.set(source, value);
    const lead = scene.places.some((place) => place.source === "camera") ? "camera" : "screen";
    if (source === lead) {
      clock.lead(performance.now());
    }
  }
  if (streams.get(source) === readable) {
    streams.delete(source);
    drop(source);
  }
}

function drop(source: Source): void {
  frames.get(source)?.close();
  frames.delete(source);
}

function paintFrame(to: WritableStreamDefaultWriter<VideoFrame>): void {
  if (!scene || !canvas || !context || (to.desiredSize ?? 0) <= 0) { // the encoder does not keep up
    return;
  }
  const pictures = new Map<Source, Picture>();
  for (const [source, frame] of frames) {
    pictures.set(source, { image: frame, width: frame.displayWidth, height: frame.displayHeight });
  }
  paint(context, scene, pictures, card);
  to.write(new VideoFrame(canvas, { timestamp: performance.now() * 1000 })).catch(() => undefined); // the page has ended the track
  if (!told && scene.places.every((place) => frames.has(place.source))) {
    told = true;
    port.postMessage({ type: "painted" });
  }
}
