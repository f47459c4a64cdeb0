/** What can be seen in a picture. */
export interface PictureReading {
  /** The brightest part, from 0 to 255. */
  brightest: number;
  /** It differs from the picture of the last reading. */
  changed: boolean;
}

/** The picture is read in so many parts: enough to see that it is black or stands still. */
const columns = 32;
const rows = 18;

/** From each part, so many times so many pixels are read. */
const samples = 4;

/** A browser that cannot copy a frame reads the picture only at each fourth call. */
const seldom = 4;

/** Looks at the picture of a video element. */
export class PictureProbe {
  private pixels = new Uint8Array(0);
  private last: number[] | null = null;
  private context: CanvasRenderingContext2D | null = null; // of a browser that cannot copy a frame
  private reading: PictureReading | null = null;
  private readings = 0;
  private busy = false;

  constructor(private readonly video: HTMLVideoElement) {}

  /** null if there is nothing to see: browsers stop the video of a hidden page. */
  async read(): Promise<PictureReading | null> {
    if (document.hidden || this.video.readyState < HTMLMediaElement.HAVE_CURRENT_DATA || this.video.videoWidth === 0) {
      this.last = this.reading = null;
      return null;
    }
    if (this.busy || (this.context && this.reading && ++this.readings % seldom !== 0)) {
      return this.reading;
    }
    this.busy = true;
    const parts = await this.parts().finally(() => (this.busy = false));
    this.reading = { brightest: Math.max(...parts), changed: this.last === null || parts.some((value, i) => value !== this.last?.[i]) };
    this.last = parts;
    return this.reading;
  }

  private async parts(): Promise<number[]> {
    return (!this.context && await this.copy().catch(() => null)) || this.draw();
  }

  /** Copies the frame: a canvas would make Chromium keep hundreds of frames in memory. null if the browser cannot give it as RGBA. */
  private async copy(): Promise<number[] | null> {
    const frame = new VideoFrame(this.video);
    try {
      const options = { format: "RGBA" } as const;
      const { width, height } = frame.visibleRect ?? { width: 0, height: 0 };
      const size = frame.allocationSize(options);
      if (size !== width * height * 4) {
        return null;
      }
      if (this.pixels.length !== size) {
        this.pixels = new Uint8Array(size);
      }
      await frame.copyTo(this.pixels, options);
      return shrink(this.pixels, width, height);
    } finally {
      frame.close();
    }
  }

  private draw(): number[] {
    const [width, height] = [columns * samples, rows * samples];
    this.context ??= Object.assign(document.createElement("canvas"), { width, height }).getContext("2d", { willReadFrequently: true });
    this.context?.drawImage(this.video, 0, 0, width, height);
    return shrink(this.context?.getImageData(0, 0, width, height).data ?? [], width, height);
  }
}

/** The mean red, green and blue of each part of a picture, whose pixels have four bytes. */
export function shrink(pixels: ArrayLike<number>, width: number, height: number): number[] {
  const parts = new Array<number>(columns * rows * 3).fill(0);
  for (let y = 0; y < rows * samples; y++) {
    const line = Math.floor((y * height) / (rows * samples)) * width;
    for (let x = 0; x < columns * samples; x++) {
      const pixel = (line + Math.floor((x * width) / (columns * samples))) * 4;
      const part = (Math.floor(y / samples) * columns + Math.floor(x / samples)) * 3;
      for (let colour = 0; colour < 3; colour++) {
        parts[part + colour] = (parts[part + colour] ?? 0) + (pixels[pixel + colour] ?? 0) / samples ** 2;
      }
    }
  }
  return parts;
}
