import type { Area, Source } from "./scene.ts";

/** What can be seen in a picture. */
export interface PictureReading {
  /** The brightest part, from 0 to 255. */
  brightest: number;
  /** It differs from the picture of the last reading. */
  changed: boolean;
}

export type PictureReadings = Partial<Record<Source, PictureReading>>;

/** The picture is read in so many parts: enough to see that it is black or stands still. */
const columns = 32;
const rows = 18;

/** From each part, so many times so many pixels are read. */
const samples = 4;

const readWidth = columns * samples;
const readHeight = rows * samples;

/** A browser that cannot copy a frame reads the picture only at each fourth call. */
const seldom = 4;

/** Looks at the picture of a video element. */
export class PictureProbe {
  private pixels = new Uint8Array(0);
  private last: number[] | null = null;
  private context: CanvasRenderingContext2D | null = null; // of a browser that cannot copy a frame
  private reading: PictureReadings | null = null;
  private readings = 0;
  private busy = false;

  constructor(private readonly video: HTMLVideoElement) {}

  /** Reads what the areas show, from front to back. null if there is nothing to see: browsers stop the video of a hidden page. */
  async read(areas: readonly Area[]): Promise<PictureReadings | null> {
    if (document.hidden || this.video.readyState < HTMLMediaElement.HAVE_CURRENT_DATA || this.video.videoWidth === 0) {
      this.last = this.reading = null;
      return null;
    }
    if (this.busy || (this.context && this.reading && ++this.readings % seldom !== 0)) {
      return this.reading;
    }
    this.busy = true;
    const parts = await this.parts().finally(() => (this.busy = false));
    const now: PictureReadings = {};
    for (const [i, value] of parts.entries()) {
      const source = sourceOf(areas, Math.floor(i / 3));
      if (source) {
        const { brightest, changed } = now[source] ?? { brightest: 0, changed: false };
        now[source] = { brightest: Math.max(brightest, value), changed: changed || value !== this.last?.[i] };
      }
    }
    this.last = parts;
    return this.reading = now;
  }

  private async parts(): Promise<number[]> {
    return (!this.context && await this.copy().catch(() => null)) || this.draw();
  }

  /**
   * Copies the frame: a canvas would make Chromium keep hundreds of frames in memory. As most cameras give it, it is not converted, which would
   * take most of the time. null if the browser cannot give it as RGBA either.
   */
  private async copy(): Promise<number[] | null> {
    const frame = new VideoFrame(this.video);
    try {
      const asItIs = frame.format === "I420" || frame.format === "NV12";
      const options: VideoFrameCopyToOptions = asItIs ? {} : { format: "RGBA" };
      const { width, height } = frame.visibleRect ?? { width: 0, height: 0 };
      const size = frame.allocationSize(options);
      if (!asItIs && size !== width * height * 4) {
        return null;
      }
      if (this.pixels.length !== size) {
        this.pixels = new Uint8Array(size);
      }
      const planes = await frame.copyTo(this.pixels, options);
      return asItIs ? shrink(pick(this.pixels, planes, width, height), readWidth, readHeight) : shrink(this.pixels, width, height);
    } finally {
      frame.close();
    }
  }

  private draw(): number[] {
    this.context ??= Object.assign(document.createElement("canvas"), { width: readWidth, height: readHeight }).getContext("2d", { willReadFrequently: true });
    this.context?.drawImage(this.video, 0, 0, readWidth, readHeight);
    return shrink(this.context?.getImageData(0, 0, readWidth, readHeight).data ?? [], readWidth, readHeight);
  }
}

/** The source that a part shows; null if it shows none, or more than one thing. */
export function sourceOf(areas: readonly Area[], part: number): Source | null {
  const [x, y] = [part % columns, Math.floor(part / columns)];
  const front = areas.find(({ bottom, left, right, top }) => right * columns > x && left * columns < x + 1 && bottom * rows > y && top * rows < y + 1);
  const inside = front && front.left * columns <= x && front.right * columns >= x + 1 && front.top * rows <= y && front.bottom * rows >= y + 1;
  return inside ? front.source : null;
}

/**
 * The pixels of a frame that are read, as RGBA. The frame is I420 or NV12: brightness for each pixel, colours for each four (limited range, BT.601;
 * other matrices differ too little to matter here).
 */
export function pick(frame: ArrayLike<number>, planes: readonly PlaneLayout[], width: number, height: number): number[] {
  const [luma, u, third] = planes;
  if (!luma || !u) {
    return [];
  }
  const v = third ?? { offset: u.offset + 1, stride: u.stride };
  const step = third ? 1 : 2;
  const byte = ({ offset, stride }: PlaneLayout, line: number, column: number): number => frame[offset + line * stride + column] ?? 0;
  const pixels: number[] = [];
  for (let y = 0; y < readHeight; y++) {
    const line = Math.floor((y * height) / readHeight);
    for (let x = 0; x < readWidth; x++) {
      const column = Math.floor((x * width) / readWidth);
      const light = (byte(luma, line, column) - 16) * 1.164;
      const blue = byte(u, line >> 1, (column >> 1) * step) - 128;
      const red = byte(v, line >> 1, (column >> 1) * step) - 128;
      for (const colour of [light + 1.596 * red, light - 0.392 * blue - 0.813 * red, light + 2.017 * blue]) {
        pixels.push(Math.min(255, Math.max(0, colour)));
      }
      pixels.push(255);
    }
  }
  return pixels;
}

/** The mean red, green and blue of each part of a picture, whose pixels have four bytes. */
export function shrink(pixels: ArrayLike<number>, width: number, height: number): number[] {
  const parts = new Array<number>(columns * rows * 3).fill(0);
  for (let y = 0; y < readHeight; y++) {
    const line = Math.floor((y * height) / readHeight) * width;
    for (let x = 0; x < readWidth; x++) {
      const pixel = (line + Math.floor((x * width) / readWidth)) * 4;
      const part = (Math.floor(y / samples) * columns + Math.floor(x / samples)) * 3;
      for (let colour = 0; colour < 3; colour++) {
        parts[part + colour] = (parts[part + colour] ?? 0) + (pixels[pixel + colour] ?? 0) / samples ** 2;
      }
    }
  }
  return parts;
}
