import { Controller, pause, type ServerOptions, sessionFor } from "./controller.ts";
import { type Constraints, SdkError, type Stream, STREAM_STATUS, type StreamOptions } from "./index.ts";
import { captureScreen, type CapturedScreen, type ScreenOptions, ScreenShare } from "./screen-share.ts";

/** What a publisher does. */
export type PublisherStatus =
  | "idle" // it was not started, or was stopped
  | "opening" // camera and microphone are opened, and the server is asked
  | "live"
  | "interrupted" // the connection to the server is lost; it comes back by itself
  | "failed"; // `error` says why; only `start` tries again

/** The state of a PublisherController. */
export interface PublisherState {
  status: PublisherStatus;
  /** Why nothing is published; null while the stream is live. */
  error: SdkError | null;
  /** The stream of the SDK that is published, or was published last. */
  stream: Stream | null;
  /** The microphone sends silence. */
  soundMuted: boolean;
  /** The camera sends black pictures. */
  pictureMuted: boolean;
  /** The camera has gone, such as one that was unplugged. It is opened again when it is back, if the browser does not ask for permission then. */
  cameraLost: boolean;
  /** The microphone has gone, in the same way. */
  microphoneLost: boolean;
  /** A screen or window is sent. */
  screen: boolean;
  /** The screen's sound is sent. */
  screenSound: boolean;
  /** Why the push to `rtmpUrl` failed, in words; empty if it did not. The stream goes on. */
  pushFailed: string;
}

/** The options of `publisher.start`. */
export interface PublisherControllerOptions extends ServerOptions {
  /** The name of the stream on the server. */
  name: string;
  /** Where the own picture is shown; a video element of the page, or an element into which the SDK puts one. */
  display?: HTMLElement | null;
  /** Camera and microphone; by default both, with a picture of 1280 by 720. */
  constraints?: Constraints;
  /** "screen" publishes a screen with its sound, and the microphone, in place of the camera. */
  source?: "camera" | "screen";
  /** The server pushes the stream to this address. Whoever reads the page reads the address. */
  rtmpUrl?: string | undefined;
  /** Further options of the stream. */
  options?: Partial<StreamOptions>;
}

/** Devices are looked after so often. */
const lookMs = 1000;

/** A device that is there and cannot be opened is tried again after so many looks at the latest: a driver needs a moment, another program may need it for long. */
const mostLooks = 8;

const idle: PublisherState = {
  status: "idle", error: null, stream: null, soundMuted: false, pictureMuted: false, cameraLost: false, microphoneLost: false, screen: false, screenSound: false, pushFailed: "",
};

/** Publishes camera and microphone, or a screen with its sound. */
export class PublisherController extends Controller<PublisherState> {
  private share: ScreenShare | null = null;

  constructor() {
    super(idle);
  }

  /** Publishes, until `stop`. What it published before ends. For a screen, call it when the person clicks: browsers require that. */
  start(options: PublisherControllerOptions): void {
    this.begin({ status: "opening" }, async (signal, update) => {
      const error = await this.publish(options, signal, update);
      update(error.reason === "stopped" ? idle : { ...idle, status: "failed", error });
    });
  }

  /** Sends silence, or sound again. The players are told. */
  muteSound(muted: boolean): void {
    const { stream } = this.state;
    muted ? stream?.muteAudio() : stream?.unmuteAudio();
    this.update({ soundMuted: stream?.isAudioMuted() ?? false });
  }

  /** Sends black pictures, or pictures again. The players are told. */
  mutePicture(muted: boolean): void {
    const { stream } = this.state;
    muted ? stream?.muteVideo() : stream?.unmuteVideo();
    this.update({ pictureMuted: stream?.isVideoMuted() ?? false });
  }

  /** Sends a screen with its sound in place of the camera, until `stopScreen`. The microphone goes on. */
  async shareScreen(options?: ScreenOptions): Promise<void> {
    const { stream } = this.state;
    if (!stream || this.share) {
      throw new SdkError("invalid_state", stream ? "the screen is sent already" : "nothing is published");
    }
    const share = this.share = await ScreenShare.start(stream, options);
    this.update({ screen: true, screenSound: share.hasSound });
    void share.ended.then(() => {
      this.share = null;
      this.update({ screen: false, screenSound: false });
    });
  }

  /** Sends the camera again. */
  async stopScreen(): Promise<void> {
    await this.share?.stop();
  }

  private async publish(options: PublisherControllerOptions, signal: AbortSignal, update: (change: Partial<PublisherState>) => void): Promise<SdkError> {
    const { display = null, name, rtmpUrl, source = "camera" } = options;
    const constraints = options.constraints ?? { audio: true, video: { width: 1280, height: 720 } };
    let screen: CapturedScreen | undefined;
    let stop = (): void => undefined;
    const over = new AbortController();
    let watching = Promise.resolve();
    const session = sessionFor(options, signal);
    try {
      if (source === "screen") { // before anything else: the browser must still know of the click
        screen = await captureScreen({ microphone: constraints.audio ?? false });
      }
      await session.connected;
      if (signal.aborted) {
        return new SdkError("stopped");
      }
      const stream = session.createStream({
        ...options.options, name, display, constraints: screen ? { customStream: screen.stream } : constraints, ...(rtmpUrl && { rtmpUrl }),
      });
      stop = () => void stream.stop();
      signal.addEventListener("abort", stop);
      screen?.onEnded(stop);
      stream.on(STREAM_STATUS.PUBLISHING, () => {
        update({ status: "live", error: null, stream, ...(screen && { screen: true, screenSound: screen.hasSound }) });
      }).on(STREAM_STATUS.RESTORING, ({ error }) => update({ status: "interrupted", error })).on("STREAM_EVENT", ({ payload, type }) => {
        type === "pushFailed" && update({ pushFailed: payload?.info ?? "" });
      });
      await stream.publish();
      if (!screen && !constraints.customStream) {
        watching = this.watchDevices(stream, over.signal, update);
      }
      await stream.ended;
      return stream.error ?? new SdkError("stopped");
    } catch (error) {
      return error instanceof SdkError ? error : new SdkError("failed", (error as Error).message);
    } finally {
      signal.removeEventListener("abort", stop);
      stop();
      over.abort();
      await watching;
      screen?.close();
      options.session || await session.disconnect();
    }
  }
  /** Tells which devices of a stream have gone, and opens them again when they are back. */
  private async watchDevices(stream: Stream, signal: AbortSignal, update: (change: Partial<PublisherState>) => void): Promise<void> {
    const kinds = [
      { kind: "video", state: "cameraLost", name: "camera", open: (id: string) => stream.switchCam(id) },
      { kind: "audio", state: "microphoneLost", name: "microphone", open: (id: string) => stream.switchMic(id) },
    ] as const;
    const looks = { video: { left: 0, pause: 1 }, audio: { left: 0, pause: 1 } }; // until the next attempt
    while (!signal.aborted) {
      for (const { kind, name, open, state } of kinds) {
        const track = stream.mediaStream?.getTracks().find((one) => one.kind === kind);
        const lost = track?.readyState === "ended" && !(kind === "video" && this.share);
        update({ [state]: lost });
        const wait = looks[kind];
        if (!lost) {
          Object.assign(wait, { left: 0, pause: 1 });
        } else if (--wait.left < 0 && await canOpen(track.getSettings().deviceId, name)) {
          Object.assign(wait, { left: wait.pause, pause: Math.min(wait.pause * 2, mostLooks) });
          update({ [state]: await open(track.getSettings().deviceId ?? "").then(() => false, () => true) });
        }
      }
      await pause(lookMs, signal);
    }
  }
}

/** Whether a device is there, and the browser opens it without asking. A browser that cannot tell counts as one that asks. */
async function canOpen(id: string | undefined, name: string): Promise<boolean> {
  try {
    const { state } = await navigator.permissions.query({ name: name as PermissionName });
    return state === "granted" && (await navigator.mediaDevices.enumerateDevices()).some(({ deviceId }) => deviceId !== "" && deviceId === id);
  } catch {
    return false;
  }
}
