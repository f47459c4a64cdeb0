import { isLive, type MediaDevice } from "../sdk/src/media.ts";
import { qualities, type QualityName } from "./devices.ts";
import { DestinationView, type DestinationHandlers } from "./destination-view.ts";
import { element, setText, showAlert, showFailure, showProblem, type Link } from "./dom.ts";
import * as format from "./format.ts";
import type { Health } from "./health.ts";
import { initialStream, type StreamState } from "./stream-state.ts";
import type { Summary } from "./summary.ts";
import { coverText, healthAdvice, type Words } from "./words.ts";

/** The values of the fields, without the destinations. */
export interface Inputs {
  name: string;
  token: string;
  camera: string;
  microphone: string;
  sound: boolean;
  quality: QualityName;
}

/** The actions of the user. */
export interface Handlers {
  open: () => void;
  start: () => void;
  stop: () => void;
  add: () => void;
  /** Another camera, microphone or quality was picked. */
  pick: () => void;
  /** Another access token was entered. */
  token: () => void;
  mute: (muted: boolean) => void;
}

const noSound = "none";

/** The page without the destinations. It shows states and reads fields, and decides nothing. */
export class View {
  private readonly video = element("video", HTMLVideoElement);
  private readonly status = element("status", HTMLElement);
  private readonly go = element("go", HTMLButtonElement);
  private readonly add = element("add", HTMLButtonElement);
  private readonly muteButton = element("mute", HTMLButtonElement);
  private readonly name = element("name", HTMLInputElement);
  private readonly token = element("token", HTMLInputElement);
  private readonly camera = element("camera", HTMLSelectElement);
  private readonly microphone = element("microphone", HTMLSelectElement);
  private readonly quality = element("quality", HTMLSelectElement);
  private readonly meter = element("meter", HTMLElement);
  private readonly levelBar = element("level", HTMLElement);
  private readonly destinationList = element("destinations", HTMLElement);

  private readonly destinations = new Map<number, DestinationView>();
  private stream: StreamState = initialStream;
    private soundSent = false;
  private liveSince: number | null = null;
  private troubled = false; // a problem with camera or microphone is shown
  /** The names of the destinations that the server keeps. */
  offered: string[] = [];
  /** The prefix of the stream's name at an RTMP server; undefined if the server did not tell it. */
  namePrefix: string | undefined = undefined;

  constructor(handlers: Handlers) {
    for (const [name, quality] of Object.entries(qualities)) {
      this.quality.add(new Option(quality.label, name, name === "720p", name === "720p"));
    }
    element("open", HTMLButtonElement).addEventListener("click", () => handlers.open());
    element("form", HTMLFormElement).addEventListener("submit", (event) => {
      event.preventDefault();
      if (!this.running()) {
        handlers.start();
        if (this.running()) {
          this.go.focus(); // the field that had the focus is disabled now
        }
      }
    });
    this.go.addEventListener("click", () => this.running() && handlers.stop());
    this.add.addEventListener("click", () => handlers.add());
    for (const kind of ["camera", "microphone", "quality"] as const) {
      this[kind].addEventListener("change", () => handlers.pick());
    }
    this.muteButton.addEventListener("click", () => {
      const muted = this.muteButton.getAttribute("aria-pressed") !== "true";
      this.muteButton.setAttribute("aria-pressed", String(muted));
      handlers.mute(muted);
    });
    this.token.addEventListener("change", () => handlers.token());
    this.name.addEventListener("input", () => this.arrange());
    setInterval(() => this.showClocks(), 250);
  }

  get inputs(): Inputs {
    return {
      name: this.name.value.trim(),
      token: this.token.value.trim(),
      camera: this.camera.value,
      microphone: this.microphone.value === noSound ? "" : this.microphone.value,
      sound: this.microphone.value !== noSound,
      quality: this.quality.value as QualityName,
    };
  }

  fill(inputs: { name: string; quality: QualityName }): void {
    this.name.value = inputs.name;
    this.quality.value = inputs.quality;
    this.arrange();
  }

  addDestination(key: number, handlers: DestinationHandlers): DestinationView {
    const destination = new DestinationView(key, handlers, this.destinationList);
    this.destinations.set(key, destination);
    destination.offer(this.offered);
    this.arrange();
    return destination;
  }

  /** Offers the destinations that the server keeps, by their names. */
  offer(names: string[]): void {
    this.offered = names;
    for (const destination of this.destinations.values()) {
      destination.offer(names);
    }
  }

  removeDestination(key: number): void {
    const gone = this.destinations.get(key);
    const hadFocus = gone?.root.contains(document.activeElement);
    gone?.root.remove();
    this.destinations.delete(key);
    this.arrange();
    if (hadFocus) {
      this.add.focus();
    }
  }

  /** Shows the problems of the fields, and focuses the first field that has one. True if there is none. */
  showProblems(name: string): boolean {
    showProblem(this.name, name);
    const fields = [name === "" ? null : this.name, ...[...this.destinations.values()].map((one) => one.check())];
    const first = fields.find((field) => field !== null);
    first?.focus();
    return first === undefined;
  }

  showVersion(version: string): void {
    setText(element("version", HTMLElement), version && `Transponder ${version}`);
  }

  /** Shows or hides the field for an access token. */
  showToken(shown: boolean): void {
    element("token-field", HTMLElement).hidden = !shown;
  }

  showStream(stream: MediaStream | null): void {
    if (this.video.srcObject !== stream) {
      this.video.srcObject = stream;
    }
    element("cover", HTMLElement).hidden = stream?.getVideoTracks().some(isLive) ?? false;
    setText(element("open", HTMLElement), stream?.getAudioTracks().some(isLive) ? "Turn on the camera" : "Turn on camera and microphone");
    this.muteButton.disabled = !stream?.getAudioTracks().some(isLive);
  }

  /** Fills the lists of devices, and selects the devices in use. */
  showDevices(cameras: MediaDevice[], microphones: MediaDevice[], used: { camera: string; microphone: string }): void {
    const named = (devices: MediaDevice[], kind: string): Option[] =>
      devices.filter(({ id }) => id !== "").map(({ id, label }, i) => [label || `${kind} ${i + 1}`, id]);
    const silent = this.microphone.value === noSound;
    setOptions(this.camera, named(cameras, "Camera"), ["Default camera", ""], used.camera);
    setOptions(this.microphone, named(microphones, "Microphone"), ["Default microphone", ""], silent ? noSound : used.microphone,
      [["No sound", noSound]]);
    this.enableFields();
  }

  showLevel(level: number): void {
    const percent = Math.round(level * 100);
    this.levelBar.style.setProperty("--level", `${percent}%`);
    this.meter.setAttribute("aria-valuenow", String(percent));
  }

  /** Shows a problem with camera or microphone; null hides it. */
  showDeviceProblem(words: Words | null, link?: Link): void {
    showAlert(element("device-problem", HTMLElement), words, "", link);
    this.troubled = words !== null;
    this.showCover();
  }

  /** A stream begins. It is sent without sound until its end if "No sound" is chosen now. */
  begin(): void {
    this.soundSent = this.inputs.sound;
  }

  render(stream: StreamState, summary: Summary): void {
    const moved = stream.phase !== this.stream.phase;
    this.stream = stream;
    if (moved) {
      this.showCover();
      this.showHealth(null, null, null); // the last measurement was of another phase
    }
    this.liveSince = summary.liveSince;
    const running = this.running();
    this.status.dataset["phase"] = summary.phase;
    this.go.textContent = running ? "Stop" : "Start";
    this.go.type = running ? "button" : "submit"; // Enter in a field starts, but never stops
    this.go.classList.toggle("stop", running);
    this.go.disabled = stream.phase === "stopping";
    setText(element("state", HTMLElement), summary.title);
    setText(element("note", HTMLElement), summary.note);
    showFailure(element("failure", HTMLElement), stream.failure);
    if (stream.failure?.reason === "token_needed") {
      this.showToken(true);
    }
    const live = summary.liveSince !== null;
    element("badge", HTMLElement).hidden = !live;
    element("pill", HTMLElement).classList.toggle("live", live);
    setText(element("pill", HTMLElement), live ? "On air" : "Off air");
    document.title = `${live ? "● Live" : "Go live"} – Transponder`;
    this.enableFields();
    this.arrange();
    this.showClocks();
  }

  showHealth(health: Health | null, keyIntervalMs: number | null, missing: string | null): void {
    const show = (id: string, text: string): void => setText(element(id, HTMLElement), text);
    show("picture", format.size(health?.width ?? 0, health?.height ?? 0));
    show("fps", format.frameRate(health?.framesPerSecond ?? null));
    show("upload", format.bitrate(health?.kbps ?? null));
    show("loss", format.percent(health?.loss ?? null));
    show("round-trip", format.delay(health?.roundTripMs ?? null));
    show("interval", format.interval(keyIntervalMs));
    show("advice", healthAdvice(health, missing, this.stream.phase === "sending"));
  }

  private showCover(): void {
    setText(element("cover-text", HTMLElement), coverText(this.stream.phase, this.troubled));
  }

  private running(): boolean {
    return this.stream.phase !== "idle";
  }

  /** While a stream runs, only fields that do not disturb it are enabled. */
  private enableFields(): void {
    const { phase } = this.stream;
    const running = this.running();
    const sending = phase === "sending";
    element("fields", HTMLFieldSetElement).disabled = running;
    this.add.disabled = running && !sending;
    this.quality.disabled = running;
    this.camera.disabled = running && !sending;
    this.microphone.disabled = running && !(sending && this.soundSent);
    for (const option of this.microphone.options) {
      option.disabled = running && option.value === noSound;
    }
  }

  private arrange(): void {
    const { phase } = this.stream;
    const sending = phase === "sending";
    const around = {
      count: this.destinations.size, busy: phase !== "idle" && !sending, sending, streamName: this.name.value.trim(),
      namePrefix: this.namePrefix,
    };
    for (const destination of this.destinations.values()) {
      destination.place(around);
    }
  }

  private showClocks(): void {
    if (this.liveSince !== null) {
      setText(element("clock", HTMLElement), format.clock(Date.now() - this.liveSince));
      for (const destination of this.destinations.values()) {
        destination.showClock();
      }
    }
  }
}

type Option = [label: string, value: string];

function setOptions(select: HTMLSelectElement, devices: Option[], fallback: Option, picked: string, more: Option[] = []): void {
  const options = [...(devices.length > 0 ? devices : [fallback]), ...more];
  select.replaceChildren(...options.map(([label, value]) => new globalThis.Option(label, value)));
  select.value = options.some(([, value]) => value === picked) ? picked : (options[0]?.[1] ?? "");
}
