import { Failure } from "./failure.ts";

/** What browsers can do with a video that TypeScript does not know. Safari has neither. */
interface Capturing {
  captureStream?: () => MediaStream;
  mozCaptureStream?: () => MediaStream;
}

/** A browser that gives no picture of a file after this time has none. */
const patienceMs = 3000;

/** A file that shows nothing after this time cannot be read: it lies on a disk or a server that does not answer. */
const openMs = 10_000;

/** Beyond the end of every file. */
const far = 1e9;

/** Plays a file of the user's disk as a stream and a sound. The file stays in the browser, and its sound is not heard here. */
export class Film {
  private readonly gain: GainNode;
  private address = "";
  /** The pictures that are sent; null while the file is not sent. */
  stream: MediaStream | null = null;
  private close: () => void = () => undefined;

  /** audio: where the sound of the show is mixed. The video stays in it for good. */
  constructor(readonly video: HTMLVideoElement, private readonly audio: AudioContext) {
    this.gain = audio.createGain();
    audio.createMediaElementSource(video).connect(this.gain);
  }

  /** The sound that is sent. */
  get sound(): AudioNode {
    return this.gain;
  }

  /** Sends the sound louder or quieter, times so much. */
  setVolume(factor: number): void {
    this.gain.gain.setTargetAtTime(factor, this.audio.currentTime, 0.02); // a jump would be heard as a click
  }

  get hasPicture(): boolean {
    return this.video.videoWidth > 0;
  }

  /** Opens a file, at its beginning. Rejects with a Failure if the browser cannot play it. */
  async open(file: Blob): Promise<void> {
    URL.revokeObjectURL(this.address);
    const { video } = this;
    this.address = URL.createObjectURL(file);
    video.src = this.address;
    await this.reach("loadeddata");
    if (video.duration === Infinity) { // as browsers record: only whoever reads to the end learns how long it is
      video.currentTime = far;
      await this.reach("seeked");
      video.currentTime = 0;
      await this.reach("seeked");
    }
  }

  /** Makes the stream, which lasts until end is called. */
  async begin(): Promise<MediaStream> {
    const painting = new AbortController();
    this.close = () => painting.abort();
    const pictures = this.hasPicture ? await this.capture(painting.signal) : [];
    pictures.forEach((track) => (track.contentHint = "motion"));
    return this.stream = new MediaStream(pictures);
  }

  async play(): Promise<void> {
    void this.audio.resume(); // a browser may stop it until the user has done something
    await this.video.play().catch((error: unknown) => {
      throw this.video.error ? this.failure() : error;
    });
  }

  /** Ends the stream, and goes back to the beginning of the file. */
  end(): void {
    this.stream?.getTracks().forEach((track) => track.stop());
    this.stream = null;
    this.close();
    this.close = () => undefined;
    this.video.pause();
    this.video.currentTime = 0;
  }

  /** What the browser has against the file. */
  failure(): Failure {
    return new Failure("file_unplayable", this.video.error?.message ?? "");
  }

  private async capture(signal: AbortSignal): Promise<MediaStreamTrack[]> {
    const { video } = this;
    const able = video as Capturing;
    const stream = able.captureStream?.() ?? able.mozCaptureStream?.();
    if (!stream) {
      return paint(video, signal);
    }
    if (stream.getVideoTracks().length === 0) {
      await new Promise<void>((resolve) => {
        stream.addEventListener("addtrack", () => stream.getVideoTracks().length > 0 && resolve());
        setTimeout(resolve, patienceMs);
      });
    }
    stream.getAudioTracks().forEach((track) => track.stop()); // the sound takes the other way, by its volume
    return stream.getVideoTracks();
  }

  private reach(event: "loadeddata" | "seeked"): Promise<void> {
    return new Promise((resolve, reject) => {
      const once = new AbortController();
      const end = (then: () => void): void => {
        once.abort();
        then();
      };
      const timer = setTimeout(() => end(() => reject(this.failure())), openMs);
      once.signal.addEventListener("abort", () => clearTimeout(timer));
      this.video.addEventListener(event, () => end(resolve), { signal: once.signal });
      this.video.addEventListener("error", () => end(() => reject(this.failure())), { signal: once.signal });
    });
  }
}

/** For browsers that give no stream of a video: what the video shows, painted anew. */
function paint(video: HTMLVideoElement, signal: AbortSignal): MediaStreamTrack[] {
  const canvas = Object.assign(document.createElement("canvas"), { width: video.videoWidth, height: video.videoHeight });
  const context = canvas.getContext("2d", { alpha: false });
  const draw = (): void => {
    if (!signal.aborted) {
      context?.drawImage(video, 0, 0);
      video.requestVideoFrameCallback(draw);
    }
  };
  draw();
  return canvas.captureStream().getVideoTracks();
}
