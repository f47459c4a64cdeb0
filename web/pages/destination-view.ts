import { destinationProblems, holdsSecret, nameOf, plainName, playCommand, withoutKey, type Destination, type Saved } from "./address.ts";
import { backupTitle, stepWords, unfinished, verdict, type Checked, type CheckStep } from "./check.ts";
import { asSent, DestinationPicture } from "./destination-picture.ts";
import { copy, create, element, setHidden, setText, showAlert, showProblem, stamp } from "./dom.ts";
import type { Failure } from "./failure.ts";
import * as format from "./format.ts";
import { sentences, t } from "./language.ts";
import { kinds, listed, presets, type Kind, type Preset } from "./presets.ts";
import { initialPush, type PushState } from "./push-state.ts";
import { SaveForm } from "./save-form.ts";
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
  /** The fields were changed, and what is kept in this browser is to follow. */
  changed: () => void;
  /** Moves the destination up (-1) or down (1) in the list. */
  move: (by: -1 | 1) => void;
  duplicate: () => void;
  /** Stores the destination on the server under this name. */
  save: (name: string) => Promise<void>;
}

/** The state of the page around a destination. */
export interface Surroundings {
  /** How many destinations there are. */
  count: number;
  /** The stream is being published or ended: nothing may be changed. */
  busy: boolean;
  /** The server has the stream: pushes may be started and stopped. */
  sending: boolean;
  /** The server tells how the pushes are. */
  known: boolean;
  /** The name of the stream. */
  streamName: string;
  /** The prefix of that name at an RTMP server; undefined if the server did not tell it. */
  namePrefix: string | undefined;
  /** The user may store destinations on the server. */
  maySave: boolean;
}

/** The place of a destination in the list. */
export interface Place {
  first: boolean;
  last: boolean;
  /** Tells destinations with equal names apart: 1, 2 and so on; 0 if no other one has the name. */
  number: number;
}

/** One destination on the page: its fields, or the state of its push. It decides nothing. */
export class DestinationView {
  readonly root: HTMLElement;
  private state = initialPush;
  private around: Surroundings = { count: 1, busy: false, sending: false, known: true, streamName: "", namePrefix: undefined, maySave: false };
  private spot: Place = { first: true, last: true, number: 0 };
  private readonly saveForm: SaveForm;
  private readonly picture: DestinationPicture;
  private filled: Kind = "server"; // the kind for which the address was entered
  private readonly addresses = new Map<Kind | "", string>(); // of the listed platforms; "" is for all other kinds

  constructor(readonly key: number, private readonly id: string, handlers: DestinationHandlers, list: HTMLElement, after: HTMLElement | null) {
    this.root = stamp("destination-template", key);
    after ? after.after(this.root) : list.append(this.root);
    this.platform.append(...listed.map((kind) => new Option(presets[kind].label, kind)));
    this.saveForm = new SaveForm(key, handlers.save);
    this.picture = new DestinationPicture(key);
    for (const field of [...this.root.querySelectorAll<HTMLInputElement>("input[type=radio]"), this.platform]) {
      field.addEventListener("change", () => {
        this.clearCheck();
        this.changeAddress();
        this.showKind();
      });
    }
    this.fieldset("where").addEventListener("input", () => handlers.changed());
    this.input("on").addEventListener("change", () => {
      this.arrange();
      handlers.changed();
    });
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
    this.input("keep").addEventListener("change", () => this.arrange());
    press("up", () => handlers.move(-1));
    press("down", () => handlers.move(1));
    press("duplicate", handlers.duplicate);
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
    const { kind } = this;
    return { kind, address: kind === "named" ? this.named.value : this.input("address").value.trim(), key: this.input("key").value.trim() };
  }

  /** The destination with its key, its name, and whether the stream goes there. */
  get saved(): Saved {
    return { ...this.destination, id: this.id, name: plainName(this.input("called").value), on: this.on, picture: this.picture.picture };
  }

  /** What the browser is to keep; null for nothing. */
  get kept(): Saved | null {
    if (!this.input("keep").checked) {
      return null;
    }
    return this.input("keep-key").checked ? this.saved : { ...this.saved, ...withoutKey(this.destination) };
  }

  /** The name for people, which no other destination on the page has. */
  get name(): string {
    return `${this.ownName}${this.spot.number > 0 ? ` (${this.spot.number})` : ""}`;
  }

  /** The name that the user gave it, or that follows from the address. */
  get ownName(): string {
    return plainName(this.input("called").value) || nameOf(this.destination);
  }

  /** The stream goes there in this show. */
  get on(): boolean {
    return this.input("on").checked;
  }

  turnOn(): void {
    this.input("on").checked = true;
    this.arrange();
  }

  /** keep: the browser keeps the destination; with its key, if there is one. */
  fill(to: Destination, { name = "", on = true, keep = false, picture = asSent }: Partial<Saved> & { keep?: boolean } = {}): void {
    this.picture.fill(picture);
    this.choose(to.kind);
    this.filled = to.kind;
    if (to.kind === "named") {
      this.named.value = to.address;
      if (this.named.value !== to.address) {
        this.named.add(new Option(to.address, to.address, true, true));
      }
      this.part("kind-named-label").hidden = false;
    } else {
      this.input("address").value = to.address;
    }
    this.input("key").value = to.key;
    this.input("called").value = name;
    this.input("on").checked = on;
    this.input("keep").checked = keep;
    this.input("keep-key").checked = keep && holdsSecret(to) && (to.key !== "" || withoutKey(to).address !== to.address);
    this.showKind();
  }

  /** Shows the problems of the fields. Returns the first field that has one, or null. */
  check(): HTMLElement | null {
    const { kind } = this;
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
    const gone = kind === "named" && address !== "" && !names.includes(address); // the server says so; nobody else's place is taken for it
    this.named.replaceChildren(...[...names, ...(gone ? [address] : [])].map((name) => new Option(name, name)));
    this.named.value = gone || names.includes(address) ? address : (names[0] ?? "");
    this.part("kind-named-label").hidden = names.length === 0;
    if (names.length === 0 && kind === "named") {
      this.choose("server");
    }
    this.showKind();
  }

  focus(): void {
    this.radio(this.kind).focus();
  }

  render(state: PushState): void {
    this.state = state;
    const { push, phase } = state;
    const live = phase === "live";
    this.root.dataset["status"] = push?.status ?? "";
    setText(this.part("note"), this.note());
    this.showNumbers();

    const muted = push?.muted ?? false;
    setText(this.button("mute"), muted ? t("Unmute") : t("Mute"));
    this.button("mute").classList.toggle("pressed", muted);
    setText(this.part("playing"), push?.soundFile ? t("Playing {file}", { file: push.soundFile }) : "");
    this.hide("silence", !push?.soundFile);
    if (phase === "idle") {
      this.showSoundTrouble(null);
    }

    const command = live && push ? playCommand(push, this.destination, location.hostname) : "";
    this.hide("watch", command === "");
    setText(this.part("command"), command);
    this.arrange();
  }

  /** Adapts to the state of the page around it. */
  place(around: Surroundings, spot: Place): void {
    this.around = around;
    this.spot = spot;
    this.showKind();
    this.showNumbers();
  }

  /** Shows what is measured. While the server does not answer, nobody knows any of it. */
  showNumbers(): void {
    const { liveSince, liveFor, phase, push } = this.state;
    const told = this.around.known ? push : null;
    setText(this.part("bitrate"), format.bitrate(phase === "live" ? (told?.bitrateKbps ?? null) : null));
    setText(this.part("frames"), format.count(told?.videoFrames ?? null));
    setText(this.part("dropped"), format.count(told?.droppedFrames ?? null));
    const ms = liveSince === null ? liveFor : this.around.known ? Date.now() - liveSince : null;
    setText(this.part("time"), ms === null ? "–" : format.clock(ms));
  }

  showSoundTrouble(failure: Failure | null): void {
    showAlert(this.part("sound-problem"), failure && explain(failure), failure?.detail);
  }

  /** Shows that the server checks the destination. What it has found out before is no longer true. */
  showChecking(): void {
    this.button("check").disabled = true;
    setText(this.button("check"), t("Checking"));
    this.clearCheck();
  }

  /** Shows what the server has found out, or why it could not; null: that is of no use any more. */
  showCheck(result: Checked | Failure | null): void {
    this.button("check").disabled = false;
    setText(this.button("check"), t("Check"));
    if (result === null) {
      return;
    }
    if (!("steps" in result)) {
      showAlert(this.part("check-problem"), explain(result), result.detail);
      return;
    }
    const box = this.part("checked");
    if (box.hidden || box.querySelectorAll("li").length !== result.steps.length) { // not all were told as they came
      box.hidden = true;
      result.steps.forEach((step) => this.showStep(step));
    }
    box.firstElementChild?.replaceWith(create("p", "", verdict(result)));
    box.hidden = false;
  }

  /** Shows a step of a check that goes on, below those at the same address. */
  showStep({ step, result, info, backup }: CheckStep): void {
    const box = this.part("checked");
    if (box.hidden) {
      box.replaceChildren(create("p", "", unfinished));
      box.hidden = false;
    }
    let list = box.querySelector(`ol[data-backup="${backup}"]`);
    if (!list) {
      const made = list = create("ol");
      made.dataset["backup"] = String(backup);
      box.append(...(backup > 0 ? [create("p", "", backupTitle(backup))] : []), made);
    }
    const line = create("li");
    line.dataset["result"] = result;
    line.append(create("strong", "", stepWords(step, result)), Object.assign(create("span", "", info), { lang: "en" }));
    list.append(line);
  }

  private clearCheck(): void {
    this.part("checked").hidden = true;
    this.part("checked").replaceChildren();
    showAlert(this.part("check-problem"), null);
  }

  private label(): string {
    const { push, phase, failure } = this.state;
    switch (phase) {
      case "idle": return failure ? t("Not live") : t("Stopped");
      case "stopping": return t("Stopping");
      default: return push ? pushLabel(push.status) : t("Asking");
    }
  }

  private note(): string {
    const { push, phase, liveFor, slateless } = this.state;
    if (phase === "idle") {
      return liveFor === null ? "" : t("It was live for {time}.", { time: format.clock(liveFor) });
    }
    if (phase === "stopping") {
      return ""; // the last words of the server were about a push that was to go on
    }
    const attempts = push?.attempts ?? 0;
    return sentences(slateless ? t("The server cannot show the picture that you have chosen. While your stream is away, viewers see its last picture.") : "",
      push?.info ?? "", attempts > 1 ? t("Attempt {n}.", { n: attempts }) : "");
  }

  private arrange(): void {
    const { phase, push, failure } = this.state;
    const { count, busy, known, sending } = this.around;
    const focused = this.root.contains(document.activeElement) ? document.activeElement : null; // a hidden element loses the focus
    const running = phase !== "idle";
    const open = phase === "pushing" || phase === "live";
    this.root.dataset["phase"] = failure ? "failed" : open && !known ? "unsure" : phase;
    setText(this.part("state"), open && !known ? t("Not known") : this.label());
    this.fieldset("where").disabled = running || busy;
    this.hide("where", running || !this.on);
    this.hide("tools", running);
    this.hide("on-label", running || (count < 2 && this.on));
    this.input("on").disabled = busy;
    this.hide("test", !running && !this.on);
    for (const id of ["up", "down"] as const) {
      this.hide(id, count < 2);
      this.button(id).disabled = busy || this.spot[id === "up" ? "first" : "last"];
    }
    this.button("duplicate").disabled = busy;
    this.saveForm.offer(this.around.maySave && !running && !busy && this.kind !== "named" && this.on);
    const keyless = !holdsSecret(this.destination) || !this.input("keep").checked;
    this.hide("keep-key-label", keyless);
    this.hide("keep-key-hint", keyless);
    this.hide("label", !running && push === null && failure === null);
    this.hide("numbers", !running);
    this.hide("actions", !running);
    this.hide("sound", !running || this.button("insert").getAttribute("aria-expanded") !== "true");
    this.button("mute").disabled = !open;
    this.button("insert").disabled = !open;
    this.button("end").disabled = !open;
    this.hide("end", count < 2);
    this.hide("remove", count < 2 || running || busy);
    this.hide("begin", !sending || running);
    showAlert(this.part("failure"), failure && destinationWords(failure, sending && count > 1), failure?.detail);
    const named = running || this.input("called").value !== "" || (count > 1 && destinationProblems(this.destination).address === "");
    const name = named ? this.name : t("Destination");
    setText(this.part("title"), name);
    setText(this.part("whose"), `${name}: `);
    this.hide("card-label", running);
    this.hide("card-hint", running || !this.input("card").checked);
    for (const id of ["on", "check", "up", "down", "duplicate", "save", "remove", "begin", "mute", "insert", "end"]) {
      this.part(id).setAttribute("aria-description", name);
    }
    if (focused?.getClientRects().length === 0) {
      this.part("title").focus(); // the element that had the focus is hidden now
    }
  }

  private hide(id: string, hidden: boolean): void {
    setHidden(this.part(id), hidden);
  }

  private showKind(): void {
    const { kind } = this;
    const preset: Preset = presets[kind];
    this.hide("platform-field", !listed.includes(kind));
    this.hide("named-field", kind !== "named");
    this.hide("address-field", preset.address !== "" || kind === "named");
    this.hide("key-field", preset.key === "none");
    const { namePrefix, streamName } = this.around;
    const arrives = namePrefix === undefined ? t("The stream arrives there under its name, with the server's prefix")
      : t("The stream arrives there as {name}", { name: `${namePrefix}${streamName || t("NAME")}` });
    setText(this.part("address-hint"), kind === "server" ? arrives : (preset.where ?? t("As the platform gives it, such as rtmps://live.example.com/app")));
    setText(this.part("key-hint"), preset.hint);
    this.arrange();
  }

  private reveal(): void {
    const key = this.input("key");
    const shown = key.type === "password";
    key.type = shown ? "text" : "password";
    setText(this.part("reveal"), shown ? t("Hide") : t("Show"));
    this.part("reveal").setAttribute("aria-label", shown ? t("Hide the stream key") : t("Show the stream key"));
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
    showProblem(this.input("file"), name === "" ? t("Give the name of a WAV file on the server.") : "");
    if (name !== "") {
      this.showSoundTrouble(null);
      handlers.sound({ name, loop: this.input("loop").checked });
    }
  }

  private get named(): HTMLSelectElement {
    return element(`named-${this.key}`, HTMLSelectElement);
  }

  private get platform(): HTMLSelectElement {
    return element(`platform-${this.key}`, HTMLSelectElement);
  }

  private get kind(): Kind {
    const chosen = this.root.querySelector<HTMLInputElement>("input[type=radio]:checked")?.value;
    return kinds.find((kind) => kind === (chosen === "listed" ? this.platform.value : chosen)) ?? "server";
  }

  private choose(kind: Kind): void {
    this.radio(kind).checked = true;
    if (listed.includes(kind)) {
      this.platform.value = kind;
    }
  }

  /** No platform gets the address that was entered for another one: the key would go there. */
  private changeAddress(): void {
    const place = (kind: Kind): Kind | "" => (listed.includes(kind) ? kind : "");
    const [before, now] = [place(this.filled), place(this.kind)];
    this.filled = this.kind;
    if (before !== now) {
      this.addresses.set(before, this.input("address").value);
      this.input("address").value = this.addresses.get(now) ?? "";
    }
  }

  private radio(kind: Kind): HTMLInputElement {
    return this.input(`kind-${listed.includes(kind) ? "listed" : kind}`);
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
