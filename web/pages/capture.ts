import { open, stop, type Choice } from "./devices.ts";

/** The camera and microphone in use. One choice follows another; whoever opens the next one waits for the last. */
export class Capture {
  private current: MediaStream | null = null;
  private muted = false;
  private queue: Promise<unknown> = Promise.resolve();

  /** onChange tells of a new stream, or of none; onLost of a device that went away by itself. */
  constructor(
    private readonly onChange: (stream: MediaStream | null) => void,
    private readonly onLost: (track: MediaStreamTrack) => void,
  ) {}

  get stream(): MediaStream | null {
    return this.current;
  }

  /** Opens what is chosen, in place of what is open: many cameras can be opened once only, so that one is closed first. */
  open(choice: Choice): Promise<MediaStream> {
    const opened = this.queue.then(() => this.replace(choice));
    this.queue = opened.catch(() => undefined);
    return opened;
  }

  /** Silences the microphone, and each that follows. */
  mute(muted: boolean): void {
    this.muted = muted;
    for (const track of this.current?.getAudioTracks() ?? []) {
      track.enabled = !muted;
    }
  }

  private async replace(choice: Choice): Promise<MediaStream> {
    if (this.current) {
      stop(this.current);
      this.set(null);
    }
    const stream = await open(choice);
    for (const track of stream.getTracks()) {
      track.addEventListener("ended", () => this.onLost(track)); // not by our own stop()
    }
    this.set(stream);
    this.mute(this.muted);
    return stream;
  }

  private set(stream: MediaStream | null): void {
    this.current = stream;
    this.onChange(stream);
  }
}
