import { element, setText, showFailure } from "./dom.ts";
import { asFailure, type Failure } from "./failure.ts";
import { Film } from "./film.ts";
import { clock } from "./format.ts";
import { t } from "./language.ts";

export interface FilmHandlers {
  /** The stream of a file is to be shown, with its sound. alone: without the microphone. */
  show: (stream: MediaStream, sound: AudioNode, alone: boolean) => Promise<void>;
  /** The stream has ended. by: the user, the end of the file, or a fault in the middle of it. */
  hide: (stream: MediaStream, by: "user" | "end" | "fault") => Promise<void>;
  /** With or without the microphone, while a file is shown. */
  alone: (alone: boolean) => void;
}

/** The part of the page that plays a file to the viewers. */
export class FilmView {
  private readonly film: Film;
  private readonly file = element("film-file", HTMLInputElement);
  private readonly playButton = element("film-play", HTMLButtonElement);
  private readonly endButton = element("film-end", HTMLButtonElement);
  private readonly position = element("film-position", HTMLInputElement);
  private readonly loop = element("film-loop", HTMLInputElement);
  private readonly volume = element("film-volume", HTMLInputElement);
  private readonly microphone = element("film-microphone", HTMLInputElement);
  private name = "";
  private beginning = false; // the stream is being made

  /** audio: where the sound of the show is mixed. */
  constructor(private readonly handlers: FilmHandlers, audio: AudioContext) {
    this.film = new Film(element("film-video", HTMLVideoElement), audio);
    const { video } = this.film;
    this.file.addEventListener("change", () => {
      const [file] = this.file.files ?? [];
      this.file.value = ""; // so that the same file can be picked again
      if (file) {
        this.act(() => this.open(file));
      }
    });
    element("film-pick", HTMLButtonElement).addEventListener("click", () => this.file.click());
    this.playButton.addEventListener("click", () => this.act(() => this.turn()));
    this.endButton.addEventListener("click", () => this.act(() => this.end("user")));
    this.position.addEventListener("input", () => (video.currentTime = Number(this.position.value)));
    this.loop.addEventListener("change", () => (video.loop = this.loop.checked));
    this.volume.addEventListener("input", () => {
      this.film.setVolume(10 ** (Number(this.volume.value) / 20));
      this.render();
    });
    this.microphone.addEventListener("change", () => this.film.stream && handlers.alone(!this.microphone.checked));
    for (const event of ["play", "pause", "timeupdate", "seeked", "durationchange"]) {
      video.addEventListener(event, () => this.render());
    }
    video.addEventListener("ended", () => this.act(() => this.end("end")));
    video.addEventListener("error", () => {
      if (this.film.stream) { // otherwise it is told by open
        const failure = this.film.failure();
        this.act(() => this.end("fault").then(() => Promise.reject(failure)));
      }
    });
    this.render();
  }

  /** shown: the stream that is shown now beside the camera. Another one may have taken the place of the file. */
  follow(shown: MediaStream | null): void {
    if (this.film.stream && this.film.stream !== shown) {
      this.film.end();
      this.render();
    }
  }

  private async open(file: File): Promise<void> {
    await this.end("user");
    this.name = "";
    this.render();
    await this.film.open(file);
    this.name = file.name;
  }

  private async turn(): Promise<void> {
    const { video } = this.film;
    if (this.film.stream && !video.paused) {
      video.pause();
      return;
    }
    if (this.beginning) {
      return; // pressed twice
    }
    if (!this.film.stream) {
      await this.begin();
    }
    await this.film.play();
  }

  /** Shows the file before it plays, so that viewers see its beginning. */
  private async begin(): Promise<void> {
    this.beginning = true;
    try {
      await this.handlers.show(await this.film.begin(), this.film.sound, !this.microphone.checked);
    } catch (error) {
      await this.end("fault");
      throw error;
    } finally {
      this.beginning = false;
    }
  }

  private async end(by: "user" | "end" | "fault"): Promise<void> {
    const { stream } = this.film;
    if (stream) {
      await this.handlers.hide(stream, by).finally(() => this.film.end());
    }
  }

  private act(run: () => Promise<void>): void {
    const show = (failure: Failure | null): void => showFailure(element("film-problem", HTMLElement), failure);
    show(null);
    run().catch((error: unknown) => show(asFailure(error, "file_unplayable"))).finally(() => this.render());
  }

  private render(): void {
    const { stream, video } = this.film;
    const { currentTime, duration, paused } = video;
    const known = Number.isFinite(duration);
    element("film-controls", HTMLElement).hidden = this.name === "";
    setText(element("film-pick", HTMLElement), this.name === "" ? t("Choose a file") : t("Another file"));
    setText(element("film-name", HTMLElement), this.name);
    setText(element("film-silent", HTMLElement), this.name === "" || this.film.hasPicture ? "" : t("This browser finds no picture in the file. Only its sound is played."));
    setText(this.playButton, stream && !paused ? t("Pause") : t("Play"));
    if (stream === null && this.endButton === document.activeElement) {
      this.playButton.focus(); // this button is about to go
    }
    this.endButton.hidden = stream === null;
    this.position.disabled = !known;
    this.position.max = String(known ? duration : 0);
    this.position.value = String(currentTime);
    const time = t("{now} of {whole}", { now: clock(currentTime * 1000), whole: known ? clock(duration * 1000) : "–" });
    setText(element("film-time", HTMLElement), time);
    this.position.setAttribute("aria-valuetext", time);
    const db = Number(this.volume.value);
    const volume = db === 0 ? t("unchanged") : `${db > 0 ? "+" : "−"}${Math.abs(db)} dB`;
    setText(element("film-volume-shown", HTMLElement), volume);
    this.volume.setAttribute("aria-valuetext", volume);
  }
}
