import type { MediaDevice } from "../sdk/src/media.ts";
import { qualities, type QualityName } from "./devices.ts";
import { DestinationView, type DestinationHandlers } from "./destination-view.ts";
import { create, element, setHidden, setText, showAlert, showFailure, showProblem, type Act, type Link } from "./dom.ts";
import * as format from "./format.ts";
import { place, type Level } from "./level-meter.ts";
import type { Health } from "./health.ts";
import { t } from "./language.ts";
import { initialStream, type StreamState } from "./stream-state.ts";
import type { Summary } from "./summary.ts";
import type { Warning } from "./warnings.ts";
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
  pick: (kind: "camera" | "microphone" | "quality") => void;
  /** Another access token was entered. */
  token: () => void;
  mute: (muted: boolean) => void;
  /** The page is to make a sound at warnings, or not. */
  beep: (wanted: boolean) => void;
}

const noSound = "none";

/** The page without the destinations. It shows states and reads fields, and decides nothing. */
export class View {
  readonly video = element("video", HTMLVideoElement);
  private readonly preview = new MediaStream();
  private readonly status = element("status", HTMLElement);
  private readonly go = element("go", HTMLButtonElement);
  private readonly finish = element("finish", HTMLButtonElement);
  private readonly add = element("add", HTMLButtonElement);
  private readonly muteButton = element("mute", HTMLButtonElement);
  private readonly name = element("name", HTMLInputElement);
  private readonly token = element("token", HTMLInputElement);
  private readonly camera = element("camera", HTMLSelectElement);
  private readonly microphone = element("microphone", HTMLSelectElement);
  private readonly quality = element("quality", HTMLSelectElement);
  private readonly meter = element("meter", HTMLElement);
  private readonly levelBar = element("level", HTMLElement);
  private readonly peak = element("peak", HTMLElement);
  private readonly peakMark = element("peak-mark", HTMLElement);
  private percent = -1; // of the level that is shown
  private beatDue = false; // a text that changes is laid out: the number of the meter changes only with the clocks
  private readonly destinationList = element("destinations", HTMLElement);

  private readonly destinations = new Map<number, DestinationView>();
  private stream: StreamState = initialStream;
  private soundSent = false;
  private liveSince: number | null = null;
  private troubled = false; // a problem with camera or microphone is shown
  /** The names of the destinations that the server keeps. */
  offered: string[] = [];
  /** The user may store destinations on the server. */
  maySave = false;
  /** The prefix of the stream's name at an RTMP server; undefined if the server did not tell it. */
  namePrefix: string | undefined = undefined;

  constructor(handlers: Handlers) {
    for (const [name, quality] of Object.entries(qualities)) {
      this.quality.add(new Option(quality.label, name, name === "720p", name === "720p"));
    }
    element("open", HTMLButtonElement).addEventListener("click", () => handlers.open());
    element("form", HTMLFormElement).addEventListener("submit", (event) => {
      event.preventDefault();
      if (this.resting()) {
        handlers.start();
        if (!this.resting()) {
          this.go.focus(); // the field that had the focus is disabled now
        }
      }
    });
    onePress(this.go);
    this.go.addEventListener("click", () => this.resting() || handlers.stop());
    this.finish.addEventListener("click", () => handlers.stop());
    this.add.addEventListener("click", () => handlers.add());
    for (const kind of ["camera", "microphone", "quality"] as const) {
      this[kind].addEventListener("change", () => handlers.pick(kind));
    }
    this.muteButton.addEventListener("click", () => {
      this.showMuted(!this.muted);
      handlers.mute(this.muted);
    });
    const beep = element("beep", HTMLInputElement);
    beep.addEventListener("change", () => handlers.beep(beep.checked));
    this.token.addEventListener("change", () => handlers.token());
    this.name.addEventListener("input", () => this.arrange());
  }

  get muted(): boolean {
    return this.muteButton.classList.contains("pressed");
  }

  get inputs(): Inputs {
    return {
      name: this.name.value.trim().normalize(), // a letter with an accent is the same name from every keyboard
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

  /** after: the destination below which the new one is shown; otherwise it is the last. */
  addDestination(key: number, id: string, handlers: DestinationHandlers, after: DestinationView | null): DestinationView {
    const destination = new DestinationView(key, id, handlers, this.destinationList, after?.root ?? null);
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

  /** The numbers of the destinations, in the order in which they are shown. */
  get order(): number[] {
    return [...this.destinationList.children].flatMap((root) => [...this.destinations.values()].filter((one) => one.root === root)).map(({ key }) => key);
  }

  /** Moves a destination up or down. What has the focus keeps it. */
  moveDestination(key: number, by: -1 | 1): void {
    const focused = document.activeElement;
    const root = this.destinations.get(key)?.root;
    by < 0 ? root?.previousElementSibling?.before(root) : root?.nextElementSibling?.after(root);
    this.arrange();
    const button = focused instanceof HTMLButtonElement && focused.disabled ? element(`${by < 0 ? "down" : "up"}-${key}`, HTMLElement) : focused;
    (button as HTMLElement | null)?.focus();
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
    const on = [...this.destinations.values()].filter((one) => one.on);
    setText(element("destinations-problem", HTMLElement), on.length === 0 ? t("Switch on a destination, or add one.") : "");
    const fields = [name === "" ? null : this.name, ...on.map((one) => one.check()), on.length === 0 ? this.add : null];
    const first = fields.find((field) => field !== null);
    first?.focus();
    return first === undefined;
  }

  showVersion(version: string): void {
    setText(element("version", HTMLElement), version && `Transponder ${version}`);
  }

  showBeep(wanted: boolean): void {
    element("beep", HTMLInputElement).checked = wanted;
  }

  /** Shows or hides the field for an access token. */
  showToken(shown: boolean): void {
    element("token-field", HTMLElement).hidden = !shown;
  }

  /** covered: the picture is not the one that the user wants to show. microphone: it is open. */
  showStream(stream: MediaStream, covered: boolean, microphone: boolean): void {
    this.showPicture(stream.getVideoTracks());
    element("cover", HTMLElement).hidden = !covered;
    setText(element("open", HTMLElement), microphone ? t("Turn on the camera") : t("Turn on camera and microphone"));
    this.muteButton.disabled = !microphone;
  }

  /** Fills the lists of devices, and selects the devices in use. */
  showDevices(cameras: MediaDevice[], microphones: MediaDevice[], used: { camera?: InUse | undefined; microphone?: InUse | undefined }): void {
    const named = (devices: MediaDevice[], unnamed: (n: number) => string, open?: InUse): Option[] => {
      const options = devices.filter(({ id }) => id !== "").map(({ id, label }, i): Option => [label || unnamed(i + 1), id]);
      const gone = open && open.id !== "" && options.every(([, id]) => id !== open.id);
      return gone ? [...options, [t("{name} (gone)", { name: open.label }), open.id]] : options; // otherwise another one would seem to be in use
    };
    const { camera, microphone } = used;
    const silent = this.microphone.value === noSound;
    setOptions(this.camera, named(cameras, (n) => t("Camera {n}", { n }), camera), [t("Default camera"), ""], camera?.id || this.camera.value);
    setOptions(this.microphone, named(microphones, (n) => t("Microphone {n}", { n }), microphone), [t("Default microphone"), ""],
      silent ? noSound : microphone?.id ?? "", [[t("No sound"), noSound]]);
    this.enableFields();
  }

  /** Picks devices in the lists. A device that is not there is not picked. */
  pickDevices({ camera, microphone, sound }: Pick<Inputs, "camera" | "microphone" | "sound">): void {
    for (const [list, id] of [[this.camera, camera], [this.microphone, sound ? microphone : noSound]] as const) {
      if ([...list.options].some(({ value }) => value === id)) {
        list.value = id;
      }
    }
  }

  showMuted(muted: boolean): void {
    this.muteButton.classList.toggle("pressed", muted);
    setText(this.muteButton, muted ? t("Unmute microphone") : t("Mute microphone"));
  }

  showLevel({ bar, clipped, peakDB }: Level): void {
    const percent = Math.round(bar * 100);
    if (percent !== this.percent) {
      this.percent = percent;
      this.levelBar.style.transform = `translateX(${percent}%)`;
    }
    const text = clipped ? t("Too loud") : Number.isFinite(peakDB) ? `${Math.round(peakDB)} dBFS`.replace("-", "−") : "– dBFS";
    if (this.beatDue) {
      this.meter.setAttribute("aria-valuenow", String(percent));
    }
    const due = this.beatDue || clipped !== this.peak.classList.contains("clipped") || !Number.isFinite(peakDB);
    if (due && this.peak.textContent !== text) {
      this.peak.textContent = text;
      this.peak.classList.toggle("clipped", clipped);
      this.peakMark.style.transform = `translateX(${Math.round(place(peakDB) * 100)}%)`;
      this.meter.setAttribute("aria-valuetext", text);
    }
    this.beatDue = false;
  }

  /** Shows a problem with camera or microphone; null hides it. */
  showDeviceProblem(words: Words | null, help?: Link | Act): void {
    showAlert(element("device-problem", HTMLElement), words, "", help);
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
    const resting = this.resting();
    const waiting = stream.phase === "waiting";
    this.status.dataset["phase"] = summary.phase;
    this.go.textContent = waiting ? (stream.elsewhere ? t("Take over") : t("Go on")) : resting ? t("Start") : t("Stop");
    this.go.type = resting ? "submit" : "button"; // Enter in a field starts, but never stops
    this.go.classList.toggle("stop", !resting);
    setHidden(this.finish, !waiting);
    this.go.disabled = stream.phase === "stopping";
    setText(element("state", HTMLElement), summary.title);
    setText(element("note", HTMLElement), summary.note);
    showFailure(element("failure", HTMLElement), stream.failure);
    if (stream.failure?.reason === "token_needed") {
      this.showToken(true);
    }
    const known = !stream.silent && !stream.locked;
    const live = summary.liveSince !== null && known && (stream.phase === "sending" || stream.elsewhere); // otherwise viewers see a still picture, or the page cannot know
    setHidden(element("badge", HTMLElement), !live || stream.elsewhere); // it stands on the picture of this page
    element("pill", HTMLElement).classList.toggle("live", live);
    setText(element("pill", HTMLElement), live ? t("On air") : summary.liveSince === null ? t("Off air") : known ? t("Interrupted") : t("Not known"));
    document.title = `${live ? t("● Live") : t("Go live")} – Transponder`;
    this.enableFields();
    this.arrange();
    this.showClocks();
  }

  /** warned: the warnings say already how well the stream gets to the server. */
  showHealth(health: Health | null, keyIntervalMs: number | null, missing: string | null, warned = false): void {
    const show = (id: string, text: string): void => setText(element(id, HTMLElement), text);
    show("picture", format.size(health?.width ?? 0, health?.height ?? 0));
    show("fps", format.frameRate(health?.framesPerSecond ?? null));
    show("upload", format.bitrate(health?.kbps ?? null));
    show("loss", format.percent(health?.loss ?? null));
    show("round-trip", format.delay(health?.roundTripMs ?? null));
    show("interval", format.interval(keyIntervalMs));
    show("advice", warned ? "" : healthAdvice(health, missing, this.stream.phase === "sending"));
  }

  /** Shows what is wrong and what to do. What is shown already is not touched, because screen readers would read it again. */
  showWarnings(warnings: Warning[]): void {
    const list = element("warning-list", HTMLElement);
    setHidden(element("warnings", HTMLElement), warnings.length === 0);
    const old = new Map([...list.children].map((line) => [(line as HTMLElement).dataset["code"], line as HTMLElement]));
    const lines = warnings.map(({ advice, code, title }) => {
      const line = old.get(code) ?? create("li");
      line.dataset["code"] = code;
      if (line.textContent !== `${title} ${advice}`) {
        line.replaceChildren(create("strong", "", title), ` ${advice}`);
      }
      return line;
    });
    if (lines.length !== list.children.length || lines.some((line, i) => line !== list.children[i])) {
      list.replaceChildren(...lines);
    }
  }

  /** The preview is silent. A sound in it would be played all the same, to nobody: that took 6 % of the CPU of a page that only sends. */
  private showPicture(tracks: MediaStreamTrack[]): void {
    const shown = this.preview.getTracks();
    shown.filter((track) => !tracks.includes(track)).forEach((track) => this.preview.removeTrack(track));
    tracks.filter((track) => !shown.includes(track)).forEach((track) => this.preview.addTrack(track));
    this.video.srcObject ??= this.preview;
  }

  private showCover(): void {
    setText(element("cover-text", HTMLElement), coverText(this.stream.phase, this.troubled));
  }

  /** Nothing is sent: the main button starts, or goes on. */
  private resting(): boolean {
    return this.stream.phase === "idle" || this.stream.phase === "waiting";
  }

  /** While a stream runs, only fields that do not disturb it are enabled. */
  private enableFields(): void {
    const { phase } = this.stream;
    const resting = this.resting();
    const open = phase === "sending" || phase === "returning";
    element("fields", HTMLFieldSetElement).disabled = phase !== "idle";
    this.add.disabled = phase !== "idle" && phase !== "sending";
    this.quality.disabled = !resting && phase !== "sending";
    this.camera.disabled = !resting && !open;
    this.microphone.disabled = !resting && !(open && this.soundSent);
    for (const option of this.microphone.options) {
      option.disabled = !resting && option.value === noSound;
    }
  }

  /** Adapts the destinations to each other and to the state of the page. */
  arrange(): void {
    const { locked, phase, silent } = this.stream;
    const sending = phase === "sending";
    const around = {
      count: this.destinations.size, busy: phase !== "idle" && !sending, sending, known: !silent && !locked, streamName: this.name.value.trim(),
      namePrefix: this.namePrefix, maySave: this.maySave,
    };
    const list = this.order.map((key) => this.destinations.get(key)!);
    const seen = new Map<string, number>();
    const names = list.map((one) => one.ownName);
    for (const [i, destination] of list.entries()) {
      const name = names[i]!;
      seen.set(name, (seen.get(name) ?? 0) + 1);
      const number = names.indexOf(name) === names.lastIndexOf(name) ? 0 : seen.get(name)!;
      destination.place(around, { first: i === 0, last: i === list.length - 1, number });
    }
    if (list.some((one) => one.on)) {
      setText(element("destinations-problem", HTMLElement), "");
    }
  }

  /** Shows what changes with time. */
  beat(): void {
    this.beatDue = true;
    this.showClocks();
  }

  private showClocks(): void {
    if (this.liveSince !== null) {
      setText(element("clock", HTMLElement), format.clock(Date.now() - this.liveSince));
      for (const destination of this.destinations.values()) {
        destination.showNumbers();
      }
    }
  }
}

/** A device that is open, or was until it has gone. */
export interface InUse {
  id: string;
  label: string;
}

/**
 * Lets the second press of a double click or double tap, and a key that is held down, do nothing: the first press has changed what the
 * button does, so the second one would end the show that the first one has begun. Call it before other listeners are added.
 */
function onePress(button: HTMLButtonElement): void {
  const ignore = (event: Event): void => {
    event.preventDefault();
    event.stopImmediatePropagation();
  };
  button.addEventListener("click", (event) => event.detail > 1 && ignore(event)); // detail counts presses that follow each other; 0: by key
  button.addEventListener("keydown", (event) => event.repeat && ignore(event));
}

type Option = [label: string, value: string];

function setOptions(select: HTMLSelectElement, devices: Option[], fallback: Option, picked: string, more: Option[] = []): void {
  const options = [...(devices.length > 0 ? devices : [fallback]), ...more];
  select.replaceChildren(...options.map(([label, value]) => new globalThis.Option(label, value)));
  select.value = options.some(([, value]) => value === picked) ? picked : (options[0]?.[1] ?? "");
}
