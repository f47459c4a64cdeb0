import { confirm } from "./confirm.ts";
import { create, element, setText, showAlert } from "./dom.ts";
import { asFailure, Failure } from "./failure.ts";
import * as format from "./format.ts";
import { t } from "./language.ts";
import { MediaClient, maxBytes, type MediaFile, type MediaList } from "./media-client.ts";
import { hotKeys, rememberHotKeys, rememberSlate, slate } from "./memory.ts";
import type { Rest } from "./rest.ts";
import { Rows, type Row } from "./rows.ts";
import { explain, type Words } from "./words.ts";

export interface MediaHandlers {
  /** Plays a sound to the viewers of all destinations in place of the microphone; null ends that. */
  play: (name: string | null) => void;
  /** Somebody must tell the server who he is. */
  failed: (failure: Failure) => void;
}

/** What the show does with sounds at present. */
export interface Sounding {
  /** At least one destination gets the stream. */
  live: boolean;
  /** The sounds that play at destinations. */
  playing: string[];
}

const refused: Words = {
  title: t("The server does not take this file."),
  advice: t("A sound must be a WAV file, a picture a PNG or JPEG file, of at most 100 MB. The words below say what is wrong with this one."),
};

const unheard: Words = {
  title: t("This browser cannot play the file."),
  advice: t("The server can: your viewers hear it if you play it to them."),
};

/** The most sounds that a key plays. */
const keys = 9;

/** The part of the page that lists the sounds and pictures of the server, plays them, and takes new ones. */
export class MediaBoard {
  private readonly box = element("media", HTMLDetailsElement);
  private readonly note = element("media-note", HTMLElement);
  private readonly problem = element("media-problem", HTMLElement);
  private readonly end = element("media-end", HTMLButtonElement);
  private readonly hot = element("media-keys", HTMLInputElement);
  private readonly away = element("media-slate", HTMLSelectElement);
  private readonly client: MediaClient;
  private readonly rows = new Rows<MediaFile>("media-list", (file) => `${file.kind} ${file.name}`, (row) => this.row(row));
  private list: MediaList = { files: [], more: false, change: false };
  private listed = false; // the server has told what there is
  private show: Sounding = { live: false, playing: [] };
  private busy = false;
  private preview: { name: string; stop: AbortController } | null = null;

  constructor(rest: Rest, private readonly handlers: MediaHandlers) {
    this.client = new MediaClient(rest);
    this.box.addEventListener("toggle", () => void (this.box.open && this.refresh()));
    this.end.addEventListener("click", () => handlers.play(null));
    this.hot.checked = hotKeys();
    this.hot.addEventListener("change", () => {
      rememberHotKeys(this.hot.checked);
      this.render();
    });
    this.away.addEventListener("change", () => rememberSlate(this.away.value));
    document.addEventListener("keydown", (event) => this.press(event));
    const input = element("media-file", HTMLInputElement);
    element("media-upload", HTMLButtonElement).addEventListener("click", () => input.click());
    input.addEventListener("change", () => {
      const file = input.files?.[0];
      input.value = ""; // so that the same file can be picked again
      if (file) {
        void this.change(() => this.upload(file));
      }
    });
    this.meet();
  }

  /** The show goes on like this. */
  follow(show: Sounding): void {
    this.show = show;
    this.render();
  }

  /** Whoever is at the page now may see other files. */
  meet(): void {
    if (this.box.open) {
      void this.refresh();
    }
  }

  private get sounds(): MediaFile[] {
    return this.list.files.filter(({ kind, fault }) => kind === "sound" && fault === "");
  }

  private async refresh(): Promise<void> {
    try {
      this.list = await this.client.list();
      this.listed = true;
      showAlert(this.problem, null);
    } catch (error) {
      this.fail(error);
    }
    this.render();
  }

  private fail(error: unknown): void {
    const failure = asFailure(error);
    showAlert(this.problem, failure.reason === "bad_request" ? refused : explain(failure), failure.detail);
    this.handlers.failed(failure);
  }

  /** Changes the folder, and shows what is there then. */
  private async change(run: () => Promise<string>): Promise<void> {
    if (this.busy) {
      return;
    }
    this.busy = true;
    showAlert(this.problem, null);
    this.render();
    try {
      const done = await run();
      if (done !== "") {
        this.list = await this.client.list();
        setText(this.note, done);
      }
    } catch (error) {
      this.fail(error);
      setText(this.note, "");
    }
    this.busy = false;
    this.render();
  }

  /** Returns what was done in words; "": nothing. */
  private async upload(file: File): Promise<string> {
    const name = format.inSentence(file.name);
    if (file.size > maxBytes) {
      throw new Failure("bad_request", t("{name} has {size}.", { name, size: format.bytes(file.size) }));
    }
    setText(this.note, t("Sending {name}, {size}.", { name, size: format.bytes(file.size) }));
    try {
      await this.client.upload(file, false);
    } catch (error) {
      const failure = asFailure(error);
      const taken = failure.reason === "conflict" && (await this.client.list()).files.some((other) => other.name === file.name);
      if (!taken) {
        throw failure;
      }
      const question = { title: t("Replace {name}?", { name }), text: t("The server has a file with this name. It is lost if you replace it."), action: t("Replace") };
      if (!(await confirm(question))) {
        setText(this.note, "");
        return "";
      }
      await this.client.upload(file, true);
    }
    return t("{name} is on the server.", { name });
  }

  private async remove(file: MediaFile): Promise<string> {
    const name = format.inSentence(file.name);
    if (!(await confirm({ title: t("Remove {name} from the server?", { name }), text: t("Nobody can play or show it then."), action: t("Remove") }))) {
      return "";
    }
    await this.client.remove(file.name);
    if (slate() === file.name) {
      rememberSlate("");
    }
    return t("{name} is removed.", { name });
  }

  private press(event: KeyboardEvent): void {
    const { target } = event;
    const typing = target instanceof HTMLElement && (target.matches("input:not([type=checkbox], [type=radio]), select, textarea") || target.isContentEditable);
    const n = /^[0-9]$/.test(event.key) ? Number(event.key) : -1;
    const away = !this.box.open || !this.hot.checked || !this.show.live || document.querySelector("dialog[open]") !== null;
    if (n < 0 || typing || away || event.repeat || event.ctrlKey || event.altKey || event.metaKey) {
      return;
    }
    const file = this.sounds[n - 1];
    if (n === 0 || file) {
      event.preventDefault();
      this.handlers.play(n === 0 ? null : (file?.name ?? null));
    }
  }

  private row(row: Row): (file: MediaFile) => void {
    let shown: MediaFile | null = null;
    const press = (part: string, run: (file: MediaFile) => void): void => row.part(part).addEventListener("click", () => shown && run(shown));
    press("listen", (file) => void this.listen(file));
    press("look", (file) => void this.look(file, row));
    press("play", (file) => this.handlers.play(file.name));
    press("remove", (file) => void this.change(() => this.remove(file)));
    return (file) => {
      shown = file;
      const sound = file.kind === "sound";
      const key = this.sounds.indexOf(file) + 1;
      const about = sound ? format.clock(file.durationMs) : format.size(file.width, file.height);
      row.set("name", format.inSentence(file.name));
      row.set("about", file.fault === "" ? `${about}, ${format.bytes(file.bytes)}` : t("It {fault}", { fault: file.fault }));
      row.set("key", this.hot.checked && key > 0 && key <= keys ? String(key) : "");
      row.set("listen", this.preview?.name === file.name ? t("Stop") : t("Listen"));
      row.set("state", this.show.playing.includes(file.name) ? t("Playing to viewers") : "");
      for (const [part, there] of [["listen", sound], ["play", sound && this.show.live], ["look", !sound]] as const) {
        row.part(part).hidden = !there || file.fault !== "";
      }
      row.part("remove").hidden = !this.list.change;
      (row.part("remove") as HTMLButtonElement).disabled = this.busy;
      for (const part of ["listen", "play", "look", "remove"]) {
        row.part(part).setAttribute("aria-description", format.inSentence(file.name));
      }
    };
  }

  /** Plays a sound here, not to viewers; or ends that. */
  private async listen(file: MediaFile): Promise<void> {
    const same = this.preview?.name === file.name;
    this.preview?.stop.abort();
    this.preview = null;
    this.render();
    if (same) {
      return;
    }
    const stop = new AbortController();
    this.preview = { name: file.name, stop };
    this.render();
    const audio = new AudioContext();
    try {
      const content = await this.client.content(file.name, stop.signal);
      const source = audio.createBufferSource();
      source.buffer = await audio.decodeAudioData(await content.arrayBuffer()).catch(() => null);
      if (source.buffer) {
        source.connect(audio.destination);
        await new Promise<void>((resolve) => {
          source.addEventListener("ended", () => resolve());
          stop.signal.addEventListener("abort", () => resolve());
          source.start();
        });
      } else if (!stop.signal.aborted) {
        showAlert(this.problem, unheard);
      }
    } catch (error) {
      if (!stop.signal.aborted) {
        this.fail(error);
      }
    }
    void audio.close();
    if (this.preview?.stop === stop) {
      this.preview = null;
    }
    this.render();
  }

  /** Shows a picture in its row, or hides it again. */
  private async look(file: MediaFile, row: Row): Promise<void> {
    const image = row.part("image") as HTMLImageElement;
    const open = image.hidden;
    image.hidden = true;
    row.set("look", open ? t("Hide") : t("Show"));
    if (!open) {
      image.removeAttribute("src");
      return;
    }
    try {
      const content = await this.client.content(file.name, new AbortController().signal);
      image.src = await new Promise<string>((resolve, reject) => {
        const reader = new FileReader();
        reader.addEventListener("load", () => resolve(String(reader.result)));
        reader.addEventListener("error", () => reject(reader.error));
        reader.readAsDataURL(content); // the page's policy allows pictures of no other address
      });
      image.alt = file.name;
      image.hidden = false;
    } catch (error) {
      row.set("look", t("Show"));
      this.fail(error);
    }
  }

  /** Lists the pictures that can be shown while the source is away. One that was chosen and is gone stays chosen until another is. */
  private renderSlates(): void {
    const chosen = slate();
    const names = this.list.files.filter(({ kind, fault }) => kind === "picture" && fault === "").map(({ name }) => name);
    const gone = chosen !== "" && !names.includes(chosen);
    const label = (name: string): string => (name !== chosen || !gone || !this.listed ? format.inSentence(name) : t("{name} is not on the server", { name: format.inSentence(name) }));
    const options = ["", ...names, ...(gone ? [chosen] : [])].map((name) => [name, name === "" ? t("The last picture") : label(name)] as const);
    const shown = JSON.stringify(options);
    if (this.away.dataset["shown"] !== shown) { // a list that is open would close
      this.away.dataset["shown"] = shown;
      this.away.replaceChildren(...options.map(([value, text]) => Object.assign(create("option", "", text), { value })));
    }
    this.away.value = chosen;
  }

  private render(): void {
    this.renderSlates();
    const { files, more, change } = this.list;
    this.rows.show(files);
    element("media-none", HTMLElement).hidden = files.length > 0;
    element("media-more", HTMLElement).hidden = !more;
    element("media-change", HTMLElement).hidden = !change;
    element("media-upload", HTMLButtonElement).disabled = this.busy;
    this.end.hidden = this.show.playing.length === 0;
  }
}
