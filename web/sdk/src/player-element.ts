import { MediaElement, say, texts } from "./element.ts";
import { PlayerController, type PlayerState } from "./controllers.ts";

/**
 * <transponder-player>: plays a stream whenever somebody publishes it.
 *
 * Attributes: `name`, `server`, `token`, `autoplay`, `muted`, `controls`, `poster`, `label`.
 * Events: `statuschange` (the detail is the state), `publisherleft`, `publisheraway`, `publisherback`, `unmuterequired`, `error` (the detail is
 * the SdkError), and those of the video.
 */
export class PlayerElement extends MediaElement {
  static readonly observedAttributes = ["name", "server", "token", "muted", "controls", "poster"];

  private readonly controller = new PlayerController();
  private known = this.controller.state;
  private readonly action = this.button(() => this.act());

  constructor() {
    super();
    this.controller.subscribe((state) => this.changed(state));
    this.video.addEventListener("volumechange", () => this.show());
  }

  override connectedCallback(): void {
    super.connectedCallback();
    if (this.hasAttribute("autoplay") && this.state.status === "idle") {
      this.play();
    }
  }

  attributeChangedCallback(name: string, before: string | null, after: string | null): void {
    if (name === "controls") {
      this.video.controls = after !== null;
    } else if (name === "poster") {
      this.video.poster = after ?? "";
    } else if (name === "muted") {
      this.video.muted = after !== null;
    } else if (before !== after && this.state.status !== "idle") {
      this.play();
    }
  }

  /** The present state: `status`, `publisher`, `error`, `stream`. */
  get state(): PlayerState {
    return this.controller.state;
  }

  get muted(): boolean {
    return this.video.muted;
  }
  set muted(muted: boolean) {
    this.video.muted = muted;
  }

  get volume(): number {
    return this.video.volume;
  }
  set volume(volume: number) {
    this.video.volume = volume;
  }

  /** Plays, until `stop` or until the element leaves the page. Without `name` it waits for one. */
  play(): void {
    if (this.name === "") {
      void this.stop();
      return;
    }
    this.controller.start({ name: this.name, server: this.server, token: this.token, session: this.session, display: this.video, muted: this.hasAttribute("muted") });
  }

  override stop(): Promise<void> {
    return this.controller.stop();
  }

  protected override get label(): string {
    return texts.player;
  }

  protected override show(): void {
    const { error, publisher, status } = this.state;
    const words = {
      idle: "", connecting: texts.connecting, waiting: publisher === "left" ? texts.left : texts.waiting,
      playing: publisher === "away" ? texts.away : "", interrupted: texts.interrupted, failed: error?.message ?? "",
    };
    say(this.status, words[status]);
    const silent = status === "playing" && this.video.muted && (this.state.stream?.mediaStream?.getAudioTracks().length ?? 0) > 0;
    this.caption(this.action, status === "idle" ? texts.play : status === "failed" ? texts.again : silent ? texts.sound : "");
  }

  private act(): void {
    if (this.state.status === "playing") {
      this.controller.unmute();
    } else {
      this.play();
    }
    this.show();
  }

  private changed(state: PlayerState): void {
    const before = this.known;
    this.known = state;
    this.show();
    this.tell("statuschange", state);
    if (state.publisher !== before.publisher && (state.publisher !== "here" || before.publisher !== "unknown") && state.publisher !== "unknown") {
      this.tell(`publisher${state.publisher === "here" ? "back" : state.publisher}`, state);
    }
    if (state.unmuteRequired && !before.unmuteRequired) {
      this.tell("unmuterequired", state);
    }
    if (state.status === "failed" && before.status !== "failed") {
      this.tell("error", state.error);
    }
  }
}
