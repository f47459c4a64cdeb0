import { MediaElement, say, texts } from "./element.ts";
import { PublisherController, type PublisherState } from "./controllers.ts";

/**
 * <transponder-publisher>: publishes camera and microphone, or a screen with its sound.
 *
 * Attributes: `name`, `server`, `token`, `source` (camera or screen), `width`, `height`, `max-bitrate` (kbit/s), `rtmp-url`, `controls`, `label`.
 * Events: `statuschange` (the detail is the state), `pushfailed` (the words), `error` (the SdkError), and those of the video.
 */
export class PublisherElement extends MediaElement {
  static readonly observedAttributes = ["controls"];

  private readonly controller = new PublisherController();
  private known = this.controller.state;
  private readonly main = this.button(() => this.state.status === "idle" || this.state.status === "failed" ? this.publish() : void this.stop());
  private readonly sound = this.button(() => this.controller.muteSound(!this.state.soundMuted));
  private readonly screen = this.button(() => void (this.state.screen ? this.stopScreen() : this.shareScreen()).catch((error) => this.tell("error", error)));

  constructor() {
    super();
    this.video.toggleAttribute("data-own");
    this.video.muted = true;
    this.controller.subscribe((state) => this.changed(state));
  }

  attributeChangedCallback(): void {
    this.show();
  }

  /** The present state: `status`, `error`, `stream`, `soundMuted`, `cameraLost`, `microphoneLost`, `screen`. */
  get state(): PublisherState {
    return this.controller.state;
  }

  /** Publishes, until `stop` or until the element leaves the page. A screen needs a click of the person. */
  publish(): void {
    const number = (name: string, without: number): number => Number(this.getAttribute(name)) || without;
    const maxBitrate = number("max-bitrate", 0);
    this.controller.start({
      name: this.name, server: this.server, token: this.token, session: this.session, display: this.video,
      source: this.getAttribute("source") === "screen" ? "screen" : "camera", rtmpUrl: this.getAttribute("rtmp-url") ?? undefined,
      constraints: { audio: true, video: { width: number("width", 1280), height: number("height", 720), ...(maxBitrate > 0 && { maxBitrate }) } },
    });
  }

  override stop(): Promise<void> {
    return this.controller.stop();
  }

  /** Sends silence, or sound again. */
  mute(muted: boolean): void {
    this.controller.muteSound(muted);
  }

  /** Sends a screen with its sound in place of the camera. It needs a click of the person. */
  shareScreen(): Promise<void> {
    return this.controller.shareScreen();
  }

  /** Sends the camera again. */
  stopScreen(): Promise<void> {
    return this.controller.stopScreen();
  }

  protected override get label(): string {
    return texts.publisher;
  }

  protected override show(): void {
    const { cameraLost, error, microphoneLost, pushFailed, screen, soundMuted, status } = this.state;
    const lost = cameraLost && microphoneLost ? texts.noDevices : cameraLost ? texts.noCamera : microphoneLost ? texts.noMicrophone : "";
    const live = pushFailed ? `${texts.pushFailed} ${pushFailed}` : lost || (screen ? texts.liveScreen : soundMuted ? texts.liveMuted : texts.live);
    const words = { idle: "", opening: texts.opening, live, interrupted: texts.interrupted, failed: error?.message ?? "" };
    say(this.status, words[status]);
    const controls = this.hasAttribute("controls");
    const running = status === "live" || status === "interrupted";
    const fromScreen = this.getAttribute("source") === "screen";
    this.caption(this.main, !controls ? "" : status === "idle" ? texts.start : status === "failed" ? texts.again : texts.stop);
    this.caption(this.sound, controls && running ? soundMuted ? texts.unmute : texts.mute : "");
    this.caption(this.screen, controls && running && !fromScreen ? screen ? texts.camera : texts.screen : "");
  }

  private changed(state: PublisherState): void {
    const before = this.known;
    this.known = state;
    this.show();
    this.tell("statuschange", state);
    if (state.pushFailed && !before.pushFailed) {
      this.tell("pushfailed", state.pushFailed);
    }
    if (state.status === "failed" && before.status !== "failed") {
      this.tell("error", state.error);
    }
  }
}
