import type { Session, SessionOptions } from "./index.ts";

/** All texts of the elements. A page in another language replaces them before it shows an element. */
export const texts = {
  play: "Play",
  sound: "Turn on the sound",
  again: "Try again",
  connecting: "Connecting.",
  waiting: "Nobody is live under this name. It plays as soon as somebody is.",
  left: "The broadcast has ended. It plays again when somebody is live.",
  away: "The broadcaster's connection is lost. Please wait.",
  interrupted: "The connection is lost. Trying again.",
  player: "Live video",
  start: "Go live",
  stop: "Stop",
  mute: "Mute",
  unmute: "Unmute",
  screen: "Show the screen",
  camera: "Show the camera",
  opening: "Opening camera and microphone.",
  live: "Live.",
  liveMuted: "Live, without sound.",
  liveScreen: "Live. Your screen is shown.",
  noCamera: "Live, but the camera is gone. Plug it in again.",
  noMicrophone: "Live, but the microphone is gone. Plug it in again.",
  noDevices: "Live, but camera and microphone are gone. Plug them in again.",
  pushFailed: "Live, but the push failed:",
  publisher: "Your picture",
};

const css = `
:host { display: block; position: relative; aspect-ratio: 16 / 9; background: #11141c; color: #fff; font: 1rem/1.5 system-ui, sans-serif; overflow: hidden; }
:host([hidden]) { display: none; }
video { width: 100%; height: 100%; object-fit: var(--media-object-fit, contain); object-position: var(--media-object-position, 50% 50%); display: block; }
.bar { position: absolute; inset: auto 0 0; display: flex; flex-wrap: wrap; gap: 8px; justify-content: center; align-items: center; padding: 12px; pointer-events: none; }
:host([controls]) video:not([data-own]) + .bar { bottom: 56px; }
p { margin: 0; padding: 6px 12px; border-radius: 8px; background: rgb(17 20 28 / 86%); overflow-wrap: anywhere; }
p:empty, button[hidden] { display: none; }
button { pointer-events: auto; min-height: 44px; padding: 8px 18px; border: 1px solid #11141c; border-radius: 10px; background: #fff; color: #11141c; font: inherit; font-weight: 600; cursor: pointer; }
button:hover { background: #e4e8f5; }
:focus-visible { outline: 3px solid #8b9dff; outline-offset: 2px; }
`;

let sheet: CSSStyleSheet | undefined;

// Programs without a browser can load this module.
const Base = (globalThis.HTMLElement ?? class {}) as typeof HTMLElement;

/** The events of the inner video that an element passes on, as a video element has them. */
const mediaEvents = ["play", "playing", "pause", "waiting", "timeupdate", "volumechange", "resize", "loadedmetadata", "enterpictureinpicture", "leavepictureinpicture"];

/** What both elements have: a video, a status for people and screen readers, and buttons. Nothing in it needs inline styles or scripts. */
export abstract class MediaElement extends Base {
  /** The video inside. */
  readonly video: HTMLVideoElement;
  protected readonly status: HTMLElement;
  private readonly bar: HTMLElement;
  private readonly own: Partial<Record<"token" | "session", unknown>> = {};

  constructor() {
    super();
    const root = this.attachShadow({ mode: "open", delegatesFocus: true });
    if (!sheet) {
      sheet = new CSSStyleSheet(); // a policy without inline styles allows it, other than a style element
      sheet.replaceSync(css);
    }
    root.adoptedStyleSheets = [sheet];
    this.video = document.createElement("video");
    this.video.part.add("video");
    this.video.playsInline = true;
    this.video.tabIndex = -1; // gets the focus when the button that had it goes
    this.bar = document.createElement("div");
    this.bar.className = "bar";
    this.bar.part.add("bar");
    this.status = document.createElement("p");
    this.status.part.add("status");
    this.status.setAttribute("role", "status");
    this.bar.append(this.status);
    root.append(this.video, this.bar);
    for (const type of mediaEvents) {
      this.video.addEventListener(type, () => this.dispatchEvent(new Event(type)));
    }
  }

  /** The address of the server's WebSocket; by default `/ws` of the server of the page. */
  get server(): string {
    return this.getAttribute("server") ?? "";
  }
  set server(address: string) {
    this.setAttribute("server", address);
  }

  /** The name of the stream. */
  get name(): string {
    return this.getAttribute("name") ?? "";
  }
  set name(name: string) {
    this.setAttribute("name", name);
  }

  /** A token or a key. The property may also be a function that fetches one. */
  get token(): SessionOptions["token"] {
    return this.own.token as SessionOptions["token"] ?? this.getAttribute("token") ?? undefined;
  }
  set token(token: SessionOptions["token"]) {
    this.own.token = token;
  }

  /** A session of the page, in place of a session of the element. */
  get session(): Session | undefined {
    return this.own.session as Session | undefined;
  }
  set session(session: Session | undefined) {
    this.own.session = session;
  }

  connectedCallback(): void {
    this.upgrade();
    this.video.setAttribute("aria-label", this.getAttribute("label") ?? this.label);
    this.show();
  }

  disconnectedCallback(): void {
    queueMicrotask(() => this.isConnected || void this.stop()); // it may only have moved
  }

  /** Ends what the element does. It resolves when that has ended. */
  abstract stop(): Promise<void>;

  /** The name of the video for screen readers. */
  protected abstract readonly label: string;

  /** Shows the state. */
  protected abstract show(): void;

  protected button(action: () => void): HTMLButtonElement {
    const button = document.createElement("button");
    button.type = "button";
    button.part.add("button");
    button.hidden = true;
    button.addEventListener("click", action);
    this.bar.append(button);
    return button;
  }

  /** Shows a button with this text; with an empty one, hides it. A button that has the focus hands it on. */
  protected caption(button: HTMLButtonElement, text: string): void {
    if (text === "" && this.shadowRoot?.activeElement === button) {
      this.video.focus();
    }
    button.hidden = text === "";
    say(button, text);
  }

  protected tell(event: string, detail: unknown): void {
    this.dispatchEvent(new CustomEvent(event, { detail }));
  }

  /** Takes the properties that the page has set before the element was defined. */
  private upgrade(): void {
    for (const name of ["server", "name", "token", "session"] as const) {
      if (Object.hasOwn(this, name)) {
        const value = this[name];
        delete (this as Partial<MediaElement>)[name];
        Object.assign(this, { [name]: value });
      }
    }
  }
}

/** Sets a text, unless it is there: a screen reader would read it again. */
export function say(element: HTMLElement, text: string): void {
  if (element.textContent !== text) {
    element.textContent = text;
  }
}
