import { destinationProblems, nameOf, playCommand, type Destination } from "./address.ts";
import { stepTitle, verdict, type Checked } from "./check.ts";
import { copy, create, element, setText, showAlert, showProblem, stamp } from "./dom.ts";
import type { Failure } from "./failure.ts";
import * as format from "./format.ts";
import { kinds, presets, type Kind, type Preset } from "./presets.ts";
import { initialPush, type PushState } from "./push-state.ts";
import { destinationWords, explain, pushLabel } from "./words.ts";

/** The actions of the user on one destination. */
export interface DestinationHandlers {
  /** Starts a push of the running stream to this destination. */
  start: () => void;
  stop: () => void;
  remove: () => void;
  /** Lets the server check the destination. card: it also sends a test card there. */
  check: (card: boolean) => void;
  mute: (muted: boolean) => void;
  /** Plays a file in place of the stream's sound; null ends that. */
  sound: (file: { name: string; loop: boolean } | null) => void;
  /** Removes the stored key from this browser. */
  forget: () => void;
}

/** The state of the page around a destination. */
export interface Surroundings {
  /** How many destinations there are. */
  count: number;
  /** The stream is being published or ended: nothing may be changed. */
  busy: boolean;
  /** The server has the stream: pushes may be started and stopped. */
  sending: boolean;
  /** The name of the stream. */
  streamName: string;
  /** The prefix of that name at an RTMP server; undefined if the server did not tell it. */
  namePrefix: string | undefined;
}

/** One destination on the page: its fields, or the state of its push. It decides nothing. */
export class DestinationView {
  readonly root: HTMLElement;
  private state = initialPush;
  private around: Surroundings = { count: 1, busy: false, sending: false, streamName: "", namePrefix: undefined };

  constructor(readonly key: number, handlers: DestinationHandlers, list: HTMLElement) {
    this.root = stamp("destination-template", key);
    list.append(this.root);
    for (const kind of kinds) {
      this.kindInput(kind).addEventListener("change", () => {
        this.clearCheck();
        this.showKind();
      });
    }
    const press = (id: string, run: () => void): void => this.button(id).addEventListener("click", run);
    press("begin", handlers.start);
    press("end", handlers.stop);
    press("remove", handlers.remove);
    press("check", () => handlers.check(!this.part("card-label").hidden && this.input("card").checked));
    this.input("card").addEventListener("change", () => (this.part("card-hint").hidden = !this.input("card").checked));
    press("mute", () => handlers.mute(!(this.state.push?.muted ?? false)));
    press("insert", () => this.toggleSound());
    press("play", () => this.playSound(handlers));
    press("silence", () => handlers.sound(null));
    press("copy", () => void copy(this.button("copy"), this.part("command")));
    press("reveal", () => this.reveal());
    this.input("keep").addEventListener("change", () => this.input("keep").checked || handlers.forget());
    this.input("file").addEventListener("keydown", (event) => {
      if (event.key === "Enter") {
        event.preventDefault();
        this.playSound(handlers);
      }
    });
    for (const field of [this.input("address"), this.input("key"), this.named]) {
      field.addEventListener("input", () => {
        this.clearCheck(); // it was about another address
        this.arrange();
      });
    }
    for (const field of ["address", "key"]) {
      this.input(field).addEventListener("keydown", (event) => {
        if (event.key === "Enter" && this.around.sending) {
          event.preventDefault();
          handlers.start();
        }
      });
    }
    this.showKind();
  }

  get destination(): Destination {
    const kind = kinds.find((name) => this.kindInput(name).checked) ?? "server";
    return { kind, address: kind === "named" ? this.named.value : this.input("address").value.trim(), key: this.input("key").value.trim() };
  }

  get name(): string {
    return nameOf(this.destination);
  }

  /** The user lets this browser store the key. */
  get kept(): boolean {
    const preset: Preset = presets[this.destination.kind];
    return preset.key !== "none" && this.input("keep").checked;
  }

  fill(to: Destination, kept: boolean): void {
    this.kindInput(to.kind).checked = true;
    if (to.kind === "named") {
      this.named.value = to.address;
    } else {
      this.input("address").value = to.address;
    }
    this.input("key").value = to.key;
    this.input("keep").checked = kept;
    this.showKind();
  }

  /** Shows the problems of the fields. Returns the first field that has one, or null. */
  check(): HTMLElement | null {
    const { kind } = this.destination;
    const problems = destinationProblems(this.destination);
    const [where, other] = kind === "named" ? [this.named, this.input("address")] : [this.input("address"), this.named];
    showProblem(where, problems.address);
    showProblem(other, "");
    showProblem(this.input("key"), problems.key);
    return problems.address !== "" ? where : problems.key !== "" ? this.input("key") : null;
  }

  /** Fills the list of the destinations that the server keeps. Without any, their kind is not offered. */
  offer(names: string[]): void {
    const { kind, address } = this.destination;
    this.named.replaceChildren(...names.map((name) => new Option(name, name)));
    this.named.value = names.includes(address) ? address : (names[0] ?? "");
    this.part("kind-named-label").hidden = names.length === 0;
    if (names.length === 0 && kind === "named") {
      this.kindInput("server").checked = true;
    }
    this.showKind();
  }

  focus(): void {
    this.kindInput(this.destination.kind).focus();
  }

  render(state: PushState): void {
    this.state = state;
    const { push, phase, failure } = state;
    const live = phase === "live";
    this.root.dataset["phase"] = failure ? "failed" : phase;
    this.root.dataset["status"] = push?.status ?? "";
    setText(this.part("state"), this.label());
    setText(this.part("note"), this.note());

    setText(this.part("bitrate"), format.bitrate(live ? (push?.bitrateKbps ?? null) : null));
    setText(this.part("frames"), format.count(push?.videoFrames ?? null));
    setText(this.part("dropped"), format.count(push?.droppedFrames ?? null));
    this.showClock();

    const muted = push?.muted ?? false;
    this.button("mute").setAttribute("aria-pressed", String(muted));
    setText(this.part("playing"), push?.soundFile ? `Playing ${push.soundFile}` : "");
    this.part("silence").hidden = !push?.soundFile;
    if (phase === "idle") {
      this.showSoundTrouble(null);
    }

    const command = live && push ? playCommand(push, this.destination, location.hostname) : "";
    this.part("watch").hidden = command === "";
    setText(this.part("command"), command);
    this.arrange();
  }

  /** Adapts to the state of the page around it. */
  place(around: Surroundings): void {
    this.around = around;
    this.showKind();
  }

  showClock(): void {
    const { liveSince, liveFor } = this.state;
    const ms = liveSince === null ? liveFor : Date.now() - liveSince;
    setText(this.part("time"), ms === null ? "–" : format.clock(ms));
  }

  showSoundTrouble(failure: Failure | null): void {
    showAlert(this.part("sound-problem"), failure && explain(failure), failure?.detail);
  }

  /** Shows that the server checks the destination. What it has found out before is no longer true. */
  showChecking(): void {
    this.button("check").disabled = true;
    setText(this.button("check"), "Checking");
    this.clearCheck();
  }

  /** Shows what the server has found out, or why it could not; null: that is of no use any more. */
  showCheck(result: Checked | Failure | null): void {
    this.button("check").disabled = false;
    setText(this.button("check"), "Check");
    if (result === null) {
      return;
    }
    if (!("steps" in result)) {
      showAlert(this.part("check-problem"), explain(result), result.detail);
      return;
    }
    const list = create("ol");
    for (const { step, result: how, info } of result.steps) {
      const line = create("li");
      line.dataset["result"] = how;
      line.append(create("strong", "", `${stepTitle(step)}: ${how}`), create("span", "", info));
      list.append(line);
    }
    this.part("checked").replaceChildren(create("p", "", verdict(result)), list);
    this.part("checked").hidden = false;
  }

  private clearCheck(): void {
    this.part("checked").hidden = true;
    this.part("checked").replaceChildren();
    showAlert(this.part("check-problem"), null);
  }

  private label(): string {
    const { push, phase, failure } = this.state;
    switch (phase) {
      case "idle": return failure ? "Not live" : "Stopped";
      case "stopping": return "Stopping";
      default: return push ? pushLabel(push.status) : "Asking";
    }
  }

  private note(): string {
    const { push, phase, liveFor } = this.state;
    if (phase === "idle") {
      return liveFor === null ? "" : `It was live for ${format.clock(liveFor)}.`;
    }
    if (phase === "stopping") {
      return ""; // the last words of the server were about a push that was to go on
    }
    const attempts = push?.attempts ?? 0;
    return `${push?.info ?? ""} ${attempts > 1 ? `Attempt ${attempts}.` : ""}`.trim();
  }

  private arrange(): void {
    const { phase, push, failure } = this.state;
    const { count, busy, sending } = this.around;
    const focused = this.root.contains(document.activeElement) ? document.activeElement : null; // a hidden element loses the focus
    const running = phase !== "idle";
    const open = phase === "pushing" || phase === "live";
    this.fieldset("where").disabled = running || busy;
    this.fieldset("where").hidden = running;
    this.part("label").hidden = !running && push === null && failure === null;
    this.part("numbers").hidden = !running;
    this.part("actions").hidden = !running;
    this.part("sound").hidden = !running || this.button("insert").getAttribute("aria-expanded") !== "true";
    this.button("mute").disabled = !open;
    this.button("insert").disabled = !open;
    this.button("end").disabled = !open;
    this.part("end").hidden = count < 2;
    this.part("remove").hidden = count < 2 || running || busy;
    this.part("begin").hidden = !sending || running;
    showAlert(this.part("failure"), failure && destinationWords(failure, sending && count > 1), failure?.detail);
    const named = running || (count > 1 && destinationProblems(this.destination).address === "");
    const name = named ? this.name : "Destination";
    setText(this.part("title"), name);
    setText(this.part("whose"), `${name}: `);
    this.part("card-label").hidden = running;
    this.part("card-hint").hidden = running || !this.input("card").checked;
    for (const id of ["check", "remove", "begin", "mute", "insert", "end"]) {
      this.part(id).setAttribute("aria-description", name);
    }
    if (focused?.getClientRects().length === 0) {
      this.part("title").focus(); // the element that had the focus is hidden now
    }
  }

  private showKind(): void {
    const { kind } = this.destination;
    const preset: Preset = presets[kind];
    this.part("named-field").hidden = kind !== "named";
    this.part("address-field").hidden = preset.address !== "" || kind === "named";
    this.part("key-field").hidden = preset.key === "none";
    const { namePrefix, streamName } = this.around;
    const arrives = namePrefix === undefined ? "The stream arrives there under its name, with the server's prefix"
      : `The stream arrives there as ${namePrefix}${streamName || "NAME"}`;
    setText(this.part("address-hint"), kind === "server" ? arrives : "As the platform gives it, such as rtmps://live.example.com/app");
    setText(this.part("key-hint"), preset.hint);
    this.arrange();
  }

  private reveal(): void {
    const key = this.input("key");
    const shown = key.type === "password";
    key.type = shown ? "text" : "password";
    setText(this.part("reveal"), shown ? "Hide" : "Show");
    this.part("reveal").setAttribute("aria-label", shown ? "Hide the stream key" : "Show the stream key");
  }

  private toggleSound(): void {
    const open = this.button("insert").getAttribute("aria-expanded") !== "true";
    this.button("insert").setAttribute("aria-expanded", String(open));
    this.arrange();
    if (open) {
      this.input("file").focus();
    }
  }

  private playSound(handlers: DestinationHandlers): void {
    const name = this.input("file").value.trim();
    showProblem(this.input("file"), name === "" ? "Give the name of a WAV file on the server." : "");
    if (name !== "") {
      this.showSoundTrouble(null);
      handlers.sound({ name, loop: this.input("loop").checked });
    }
  }

  private get named(): HTMLSelectElement {
    return element(`named-${this.key}`, HTMLSelectElement);
  }

  private kindInput(kind: Kind): HTMLInputElement {
    return this.input(`kind-${kind}`);
  }

  private part(id: string): HTMLElement {
    return element(`${id}-${this.key}`, HTMLElement);
  }

  private input(id: string): HTMLInputElement {
    return element(`${id}-${this.key}`, HTMLInputElement);
  }

  private button(id: string): HTMLButtonElement {
    return element(`${id}-${this.key}`, HTMLButtonElement);
  }

  private fieldset(id: string): HTMLFieldSetElement {
    return element(`${id}-${this.key}`, HTMLFieldSetElement);
  }
}
