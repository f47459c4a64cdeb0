// A screen with its sound. The browser asks which screen, window or tab, and whether with sound. Not every browser can send the sound: then
// only the picture is sent.

import { SdkError, type Stream } from "./index.ts";

/** What of a screen is sent. */
export interface ScreenOptions {
  /** With false, the screen is sent without its sound. */
  sound?: boolean;
  /** Constraints of the picture, such as `{ frameRate: 30 }`. */
  video?: boolean | MediaTrackConstraints;
}

/** A screen, with a microphone if it was asked for, as one stream for `constraints.customStream`. */
export interface CapturedScreen {
  readonly stream: MediaStream;
  /** Whether the screen's sound is in the stream. */
  readonly hasSound: boolean;
  /** Calls the listener when the person stops sharing by the browser's own button. */
  onEnded(listener: () => void): void;
  /** Closes screen and microphone. */
  close(): void;
}

/** Asks for a screen with its sound, and opens the microphone. Call it when the person clicks: browsers require that. */
export async function captureScreen({ microphone = true, ...options }: ScreenOptions & { microphone?: boolean | MediaTrackConstraints } = {}): Promise<CapturedScreen> {
  const screen = await askForScreen(options);
  const opened = [screen];
  try {
    if (microphone) {
      opened.push(await mediaDevices().getUserMedia({ audio: microphone }));
    }
    const sounds = opened.flatMap((each) => each.getAudioTracks());
    const mixed = sounds.length > 1 ? mix(sounds) : null;
    const stream = new MediaStream([...screen.getVideoTracks(), ...(mixed ? [mixed.track] : sounds)]);
    return {
      stream,
      hasSound: screen.getAudioTracks().length > 0,
      onEnded: (listener) => screen.getVideoTracks().forEach((track) => track.addEventListener("ended", listener)),
      close: () => {
        [...opened, stream].forEach(stopAll);
        mixed?.close();
      },
    };
  } catch (error) {
    opened.forEach(stopAll);
    throw refused(error);
  }
}

/** A screen in place of the camera of a live stream. The screen's sound is added to the microphone. */
export class ScreenShare {
  /** Resolves when the screen is no longer sent: after `stop`, by the browser's own button, or with the stream. */
  readonly ended: Promise<void>;
  private over!: () => void;
  private stopping: Promise<void> | undefined;
  private mixed: { track: MediaStreamTrack; close: () => void } | null = null;

  private constructor(
    private readonly stream: Stream,
    private readonly screen: MediaStream,
    private readonly camera: MediaStreamTrack | undefined,
    private readonly microphone: MediaStreamTrack | undefined,
  ) {
    this.ended = new Promise((resolve) => this.over = resolve);
  }

  /** Asks for a screen, and sends it. Call it when the person clicks: browsers require that. If it rejects, the camera stays. */
  static async start(stream: Stream, options: ScreenOptions = {}): Promise<ScreenShare> {
    const screen = await askForScreen(options);
    const [camera] = stream.mediaStream?.getVideoTracks() ?? [];
    const [microphone] = stream.mediaStream?.getAudioTracks() ?? [];
    const share = new ScreenShare(stream, screen, camera, microphone);
    try {
      await share.begin();
    } catch (error) {
      stopAll(screen);
      share.mixed?.close();
      throw error;
    }
    screen.getVideoTracks().forEach((track) => track.addEventListener("ended", () => void share.stop()));
    void stream.ended.then(() => share.close());
    return share;
  }

  /** Whether the screen's sound is sent. */
  get hasSound(): boolean {
    return this.mixed !== null;
  }

  /** Sends the camera again. It resolves when the camera is sent, and never rejects. */
  stop(): Promise<void> {
    return this.stopping ??= this.end();
  }

  private async begin(): Promise<void> {
    const [picture] = this.screen.getVideoTracks();
    if (picture) {
      await this.stream.switchToTrack(picture);
    }
    const sounds = this.screen.getAudioTracks();
    if (sounds.length > 0 && this.microphone) {
      this.mixed = mix([this.microphone.clone(), ...sounds]);
      await this.stream.switchToTrack(this.mixed.track);
    }
  }

  private async end(): Promise<void> {
    for (const track of [this.camera, this.mixed && this.microphone]) {
      await (track && this.stream.switchToTrack(track))?.catch(() => undefined); // the stream has ended
    }
    this.close();
  }

  private close(): void {
    stopAll(this.screen);
    this.mixed?.close();
    if (["FAILED", "UNPUBLISHED"].includes(this.stream.status())) { // the stream has stopped only what it sent last
      this.camera?.stop();
      this.microphone?.stop();
    }
    this.over();
  }
}

function mediaDevices(): MediaDevices {
  const devices = globalThis.navigator?.mediaDevices as MediaDevices | undefined;
  if (!devices?.getDisplayMedia) {
    throw new SdkError(globalThis.isSecureContext === false ? "insecure_origin" : "unsupported_browser");
  }
  return devices;
}

async function askForScreen({ sound = true, video = true }: ScreenOptions): Promise<MediaStream> {
  try {
    return await mediaDevices().getDisplayMedia({ video, audio: sound });
  } catch (error) {
    throw refused(error);
  }
}

function refused(error: unknown): SdkError {
  const { message, name } = error as Error;
  return error instanceof SdkError ? error : new SdkError(name === "NotAllowedError" ? "permission_denied" : "device_failed", message, { cause: error });
}

/** Several sounds as one. close stops the sounds, and the one. */
function mix(tracks: MediaStreamTrack[]): { track: MediaStreamTrack; close: () => void } {
  const context = new AudioContext();
  const destination = context.createMediaStreamDestination();
  for (const track of tracks) {
    context.createMediaStreamSource(new MediaStream([track])).connect(destination);
  }
  context.onstatechange = () => void (context.state === "suspended" && context.resume()); // browsers stop it when a loudspeaker is gone
  const [track] = destination.stream.getAudioTracks() as [MediaStreamTrack];
  return {
    track,
    close: () => {
      [...tracks, track].forEach((each) => each.stop());
      void context.close().catch(() => undefined); // it was closed before
    },
  };
}

function stopAll(stream: MediaStream): void {
  stream.getTracks().forEach((track) => track.stop());
}
