import { hostOf, playCommand, type Destination } from "./address.ts";
import { qualities, type QualityName } from "./devices.ts";
import * as format from "./format.ts";
import type { Phase, State } from "./state.ts";
import { explain, pushWords, type Words } from "./words.ts";

/** What people have entered. */
export interface Inputs {
  name: string;
  destination: Destination;
  token: string;
  camera: string;
  microphone: string;
  sound: boolean;
  quality: QualityName;
}

/** What people do. */
export interface Handlers {
  open: () => void;
  start: () => void;
  stop: () => void;
  /** Another camera, microphone or quality was picked. */
  pick: (kind: "camera" | "microphone" | "quality") => void;
  mute: (muted: boolean) => void;
}

const noSound = "none";

/** The page: it shows states and reads fields, and decides nothing. */
export class View {
  private readonly video = element("video", HTMLVideoElement);
  private readonly status = element("status", HTMLElement);
  private readonly go = element("go", HTMLButtonElement);
  private readonly muteButton = element("mute", HTMLButtonElement);
  private readonly name = element("name", HTMLInputElement);
  private readonly address = element("address", HTMLInputElement);
  private readonly key = element("key", HTMLInputElement);
  private readonly token = element("token", HTMLInputElement);
  private readonly platform = element("kind-platform", HTMLInputElement);
  private readonly camera = element("camera", HTMLSelectElement);
  private readonly microphone = element("microphone", HTMLSelectElement);
  private readonly quality = element("quality", HTMLSelectElement);
  private readonly meter = element("meter", HTMLElement);
  private readonly levelBar = element("level", HTMLElement);

  private phase: Phase = "idle";
  private soundSent = false;
  private liveSince: number | null = null;
  private destination: Destination | null = null;

  constructor(handlers: Handlers) {
    for (const [name, quality] of Object.entries(qualities)) {
      this.quality.add(new Option(quality.label, name, name === "720p", name === "720p"));
    }
    element("open", HTMLButtonElement).addEventListener("click", () => handlers.open());
    element("form", HTMLFormElement).addEventListener("submit", (event) => {
      event.preventDefault();
      this.phase === "idle" ? handlers.start() : handlers.stop();
    });
    for (const kind of ["camera", "microphone", "quality"] as const) {
      this[kind].addEventListener("change", () => handlers.pick(kind));
    }
    this.muteButton.addEventListener("click", () => {
      const muted = this.muteButton.getAttribute("aria-pressed") !== "true";
      this.muteButton.setAttribute("aria-pressed", String(muted));
      handlers.mute(muted);
    });
    for (const kind of document.querySelectorAll("input[name=kind]")) {
      kind.addEventListener("change", () => this.showKind());
    }
    this.name.addEventListener("input", () => this.showKind());
    element("copy", HTMLButtonElement).addEventListener("click", () => void this.copyCommand());
    setInterval(() => this.showClock(), 250);
  }

  get inputs(): Inputs {
    return {
      name: this.name.value.trim(),
      destination: { address: this.address.value.trim(), platform: this.platform.checked, key: this.key.value.trim() },
      token: this.token.value.trim(),
      camera: this.camera.value,
      microphone: this.microphone.value === noSound ? "" : this.microphone.value,
      sound: this.microphone.value !== noSound,
      quality: this.quality.value as QualityName,
    };
  }

  fill(inputs: { name: string; address: string; platform: boolean; quality: QualityName }): void {
    this.name.value = inputs.name;
    this.address.value = inputs.address;
    this.platform.checked = inputs.platform;
    this.quality.value = inputs.quality;
    this.showKind();
  }

  /** Says what is wrong with the fields, and goes to the first that has to be mended. True if none has. */
  showProblems(problems: { name: string; address: string }): boolean {
    const fields = [[this.name, problems.name], [this.address, problems.address]] as const;
    for (const [field, problem] of fields) {
      element(`${field.id}-problem`, HTMLElement).textContent = problem;
      field.setAttribute("aria-invalid", String(problem !== ""));
    }
    const first = fields.find(([, problem]) => problem !== "");
    first?.[0].focus();
    return first === undefined;
  }

  showVersion(version: string): void {
    element("version", HTMLElement).textContent = version && `Transponder ${version}`;
  }

  showStream(stream: MediaStream | null): void {
    this.video.srcObject = stream;
    element("cover", HTMLElement).hidden = stream !== null;
    this.muteButton.disabled = !stream || stream.getAudioTracks().length === 0;
  }

  /** Fills the lists; a device that is in use stays picked. */
  showDevices(cameras: MediaDeviceInfo[], microphones: MediaDeviceInfo[], used: { camera: string; microphone: string }): void {
    const named = (devices: MediaDeviceInfo[], kind: string): Option[] =>
      devices.filter((d) => d.deviceId !== "").map((d, i) => [d.label || `${kind} ${i + 1}`, d.deviceId]);
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

  /** Tells of trouble with camera or microphone; null when it is over. */
  showDeviceProblem(words: Words | null, link?: { text: string; href: string }): void {
    showAlert(element("device-problem", HTMLElement), words, "", link);
  }

  /** The fields as they are belong to the broadcast that starts now. */
  begin(inputs: Inputs): void {
    this.destination = inputs.destination;
    this.soundSent = inputs.sound;
  }

  render(state: State): void {
    const { failure, phase, push } = state;
    this.phase = phase;
    const running = phase !== "idle";
    this.liveSince = state.liveSince;
    this.status.dataset["phase"] = failure ? "failed" : phase;
    this.status.dataset["status"] = push?.status ?? "";
    this.go.textContent = running ? "Stop" : "Start";
    this.go.classList.toggle("stop", running);
    this.go.disabled = phase === "stopping";
    this.enableFields();

    const [title, note] = this.stateWords(state);
    setText("state", title);
    setText("note", note);
    const words = failure && explain(failure);
    showAlert(element("failure", HTMLElement), words, failure?.detail ?? "");
    if (failure?.reason === "unauthorized") {
      element("token-field", HTMLElement).hidden = false;
    }

    const live = phase === "live";
    element("numbers", HTMLElement).hidden = push === null;
    setText("bitrate", format.bitrate(live ? (push?.bitrateKbps ?? null) : null));
    setText("picture", format.size(push?.width ?? 0, push?.height ?? 0));
    setText("frames", format.count(push?.videoFrames ?? null));
    setText("dropped", format.count(push?.droppedFrames ?? null));
    setText("interval", format.interval(push?.keyIntervalMs ?? null));
    setText("time", state.liveFor === null ? "–" : format.clock(state.liveFor));
    element("badge", HTMLElement).hidden = !live;
    element("pill", HTMLElement).classList.toggle("live", live);
    setText("pill", live ? "On air" : "Off air");
    document.title = `${live ? "● Live" : "Go live"} – Transponder`;
    this.showClock();

    const command = live && push && this.destination ? playCommand(push, this.destination, location.hostname) : "";
    element("watch", HTMLElement).hidden = command === "";
    setText("command", command);
  }

  private stateWords(state: State): [title: string, note: string] {
    const host = hostOf(this.destination?.address ?? "");
    const attempts = state.push?.attempts ?? 0;
    const reported = `${state.push?.info ?? ""} ${attempts > 1 ? `Attempt ${attempts}.` : ""}`.trim();
    const note = state.silent ? "The server does not answer; asking again." : reported;
    switch (state.phase) {
      case "idle":
        if (state.failure) {
          return ["Not live", ""];
        }
        return state.liveFor === null ? ["Ready", "Nothing is being sent."] : ["Stopped", "Nothing is being sent any more."];
      case "opening": return ["Opening camera and microphone", ""];
      case "publishing": return ["Sending the stream to this server", ""];
      case "pushing": return [state.push ? pushWords(state.push.status, host) : `Asking for ${host}`, note];
      case "live": return [pushWords(state.push?.status ?? "PUBLISHING", host), note];
      case "stopping": return ["Stopping", ""];
    }
  }

  /** While a broadcast runs, only what can be changed without disturbing it may be changed. */
  private enableFields(): void {
    const running = this.phase !== "idle";
    const sending = this.phase === "pushing" || this.phase === "live";
    element("fields", HTMLFieldSetElement).disabled = running;
    this.quality.disabled = running;
    this.camera.disabled = running && !sending;
    this.microphone.disabled = running && !(sending && this.soundSent);
    for (const option of this.microphone.options) {
      option.disabled = running && option.value === noSound;
    }
  }

  private showKind(): void {
    const platform = this.platform.checked;
    element("key-field", HTMLElement).hidden = !platform;
    const name = this.name.value.trim() || "NAME";
    setText("address-hint", platform ? "As the platform gives it, such as rtmps://a.rtmps.youtube.com/live2"
      : `The stream arrives there as rtmp_${name}`);
  }

  private showClock(): void {
    if (this.liveSince !== null) {
      const time = format.clock(Date.now() - this.liveSince);
      setText("clock", time);
      setText("time", time);
    }
  }

  private async copyCommand(): Promise<void> {
    const button = element("copy", HTMLButtonElement);
    const code = element("command", HTMLElement);
    try {
      await navigator.clipboard.writeText(code.textContent ?? "");
      button.textContent = "Copied";
      setTimeout(() => (button.textContent = "Copy"), 2000);
    } catch {
      getSelection()?.selectAllChildren(code); // ready for the reader's own copy
    }
  }
}

type Option = [label: string, value: string];

function setOptions(select: HTMLSelectElement, devices: Option[], fallback: Option, picked: string, more: Option[] = []): void {
  const options = [...(devices.length > 0 ? devices : [fallback]), ...more];
  select.replaceChildren(...options.map(([label, value]) => new globalThis.Option(label, value)));
  select.value = options.some(([, value]) => value === picked) ? picked : (options[0]?.[1] ?? "");
}

function showAlert(box: HTMLElement, words: Words | null, detail: string, link?: { text: string; href: string }): void {
  const parts: HTMLElement[] = [];
  if (words) {
    parts.push(Object.assign(document.createElement("strong"), { textContent: words.title }));
    parts.push(Object.assign(document.createElement("span"), { textContent: words.advice }));
  }
  if (link) {
    parts.push(Object.assign(document.createElement("a"), { textContent: link.text, href: link.href }));
  }
  if (detail !== "") {
    parts.push(Object.assign(document.createElement("span"), { textContent: detail, className: "detail" }));
  }
  const text = parts.map((part) => part.textContent).join("\n");
  if (box.dataset["text"] === text) {
    return; // what is said already is not to be read out again
  }
  box.dataset["text"] = text;
  box.replaceChildren(...parts);
  box.hidden = words === null;
}

function setText(id: string, text: string): void {
  const target = element(id, HTMLElement);
  if (target.textContent !== text) {
    target.textContent = text;
  }
}

function element<T extends HTMLElement>(id: string, type: new () => T): T {
  const found = document.getElementById(id);
  if (!(found instanceof type)) {
    throw new Error(`the page has no ${type.name} #${id}`);
  }
  return found;
}
