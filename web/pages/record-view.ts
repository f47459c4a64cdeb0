import { confirm } from "./confirm.ts";
import type { Quality } from "./devices.ts";
import { create, element, setText, showAlert } from "./dom.ts";
import { asFailure, type Failure } from "./failure.ts";
import * as format from "./format.ts";
import { sentences, t } from "./language.ts";
import { recordWanted, rememberRecord } from "./memory.ts";
import { canRecord, Recorder, type RecorderState } from "./recorder.ts";
import { findRecordings, removeRecording, room, type Recording } from "./recordings.ts";
import type { StreamPhase } from "./stream-state.ts";
import { explain } from "./words.ts";

/** In these phases a show runs, with camera and microphone. */
const running: StreamPhase[] = ["publishing", "sending", "returning"];

/** In these phases a recording that runs goes on, too: the show may come back. */
const paused: StreamPhase[] = ["waiting", "opening"];

/** The part of the page that records shows into this browser, and offers what was recorded. */
export class RecordView {
  /** Why the recording of this show has ended before the show; null if it has not. */
  failure: Failure | null = null;
  private readonly box = element("record", HTMLInputElement);
  private readonly note = element("record-note", HTMLElement);
  private readonly list = element("recordings", HTMLElement);
  private readonly recorder = new Recorder((state) => this.render(state));
  private phase: StreamPhase = "idle";
  private name = "";
  private kbps = 0;
  private quality: Quality | null = null;
  private old = "off";
  private links: string[] = [];

  constructor() {
    if (!canRecord()) {
      this.box.disabled = true;
      setText(this.note, t("This browser cannot record. Use a current Chrome, Edge, Firefox or Safari, over https."));
      return;
    }
    this.box.checked = recordWanted();
    this.box.addEventListener("change", () => {
      rememberRecord(this.box.checked);
      if (this.box.checked) {
        this.failure = null;
        void navigator.storage.persist().catch(() => undefined); // otherwise the browser may clear the storage when the disk is short
      }
      this.arrange();
      void this.showRoom();
    });
    void this.refresh();
  }

  /** The show is in this phase. */
  follow(phase: StreamPhase, name: string): void {
    if (phase === "opening" && this.phase === "idle") {
      this.failure = null;
      this.box.checked = !this.box.disabled && recordWanted();
    }
    this.phase = phase;
    this.name = name;
    this.arrange();
  }

  /** The quality is about to change. A part of a recording has one size of the picture, so it ends before. */
  prepare(quality: Quality): void {
    if (quality !== this.quality) {
      this.use(null, quality);
    }
  }

  /** What is sent now, and in which quality. */
  use(stream: MediaStream | null, quality: Quality): void {
    this.quality = quality;
    this.recorder.use(stream, quality);
    if (quality.maxBitrateKbps !== this.kbps) {
      this.kbps = quality.maxBitrateKbps;
      void this.showRoom();
    }
  }

  private arrange(): void {
    const wanted = this.box.checked && this.failure === null
      && (running.includes(this.phase) || (this.recorder.recording && paused.includes(this.phase)));
    if (wanted) {
      this.recorder.start(this.name);
    } else {
      void this.recorder.stop();
    }
  }

  private render(state: RecorderState): void {
    const { bytes, failure, phase, startedAt } = state;
    const moved = phase !== this.old;
    this.old = phase;
    this.failure = failure;
    showAlert(element("record-problem", HTMLElement), failure && explain(failure), failure?.detail ?? "");
    if (phase === "recording") {
      setText(this.note, t("Recording since {time}: {size}.", { time: format.moment(startedAt, Date.now()), size: format.bytes(bytes) }));
    } else if (phase === "saving") {
      setText(this.note, t("The end of the recording is being written."));
    }
    if (failure) {
      this.box.checked = false;
    }
    if (moved && phase === "off") {
      void this.showRoom();
      void this.refresh();
      this.arrange();
    }
  }

  /** Browsers tell of room that a full disk does not have. */
  private async showRoom(): Promise<void> {
    const bytes = await room().catch(() => null);
    const left = bytes === null || this.kbps === 0 || this.failure ? "" : roomWords((bytes * 8) / this.kbps);
    if (this.old === "off" && !this.box.disabled) {
      setText(this.note, sentences(this.box.checked ? t("What is sent is also written into this browser, so a bad line costs no footage.")
        : t("What is sent can also be written into this browser, so a bad line costs no footage."), left));
    }
  }

  /** Shows the recordings that this browser has, but not one that is being written. */
  private async refresh(): Promise<void> {
    const found = await findRecordings().catch(() => []);
    this.links.forEach((link) => URL.revokeObjectURL(link));
    this.links = [];
    this.list.replaceChildren(...found.map((one) => this.line(one)));
    element("kept", HTMLElement).hidden = found.length === 0;
  }

  private line(recording: Recording): HTMLElement {
    const { bytes, lastsMs, name, parts, startedAt, whole } = recording;
    const which = format.inSentence(name);
    const when = format.moment(startedAt, Date.now());
    const facts = [when, format.clock(lastsMs), format.bytes(bytes)].join(", ");
    const line = create("li");
    line.append(
      create("strong", "", whole ? t("Recording of “{name}”", { name: which }) : t("A recording of “{name}” was found", { name: which })),
      create("span", "", whole ? facts : t("{facts}. The page was closed before the recording ended, or the disk was full.", { facts })),
      ...parts.map((part, i) => this.link(recording, part, i)),
    );
    const remove = create("button", "button plain small", t("Delete"));
    remove.type = "button";
    remove.setAttribute("aria-label", t("Delete the recording of {name}, {time}", { name: which, time: when }));
    remove.addEventListener("click", () => void this.remove(recording));
    line.append(remove);
    return line;
  }

  private link({ name, parts, startedAt }: Recording, part: Blob, i: number): HTMLElement {
    const one = parts.length === 1;
    const link = create("a", "button quiet small", one ? t("Download") : t("Download part {n}", { n: i + 1 }));
    link.href = URL.createObjectURL(part);
    this.links.push(link.href);
    const time = new Date(startedAt - new Date(startedAt).getTimezoneOffset() * 60_000).toISOString().slice(0, 19).replace("T", " ");
    const extension = part.type === "video/webm" ? "webm" : "mp4";
    link.download = `${name} ${time}${one ? "" : ` part ${i + 1}`}.${extension}`.replace(/[\\/:*?"<>|\p{Cc}\p{Cf}]/gu, "-");
    const which = { name: format.inSentence(name), time: format.moment(startedAt, Date.now()) };
    link.setAttribute("aria-label", one ? t("Download of the recording of {name}, {time}", which) : t("Download part {n} of the recording of {name}, {time}", { n: i + 1, ...which }));
    return link;
  }

  private async remove({ id, name }: Recording): Promise<void> {
    const sure = await confirm({ title: t("Delete this recording?"), text: t("The recording of “{name}” cannot be brought back.", { name: format.inSentence(name) }), action: t("Delete") });
    if (sure) {
      const failure = await removeRecording(id).then(() => null, asFailure);
      showAlert(element("record-problem", HTMLElement), failure && {
        title: t("The browser could not delete this recording."), advice: t("The disk may have no room even for that: make room in another way, then delete it again."),
      }, failure?.detail ?? "");
      await this.refresh();
      void this.showRoom();
      element("kept", HTMLElement).hidden ? this.box.focus() : element("kept-title", HTMLElement).focus();
    }
  }
}

/** How much longer can be recorded, in round numbers. */
function roomWords(ms: number): string {
  const minutes = Math.floor(ms / 60_000);
  return minutes < 120 ? t("There is room for about {n} minutes.", { n: minutes }) : t("There is room for about {n} hours.", { n: Math.floor(minutes / 60) });
}
