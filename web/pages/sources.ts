import { isLive } from "../sdk/src/media.ts";
import { type Card, readImage } from "./card.ts";
import type { Quality } from "./devices.ts";
import { asFailure, Failure, message } from "./failure.ts";
import { t } from "./language.ts";
import type { Area } from "./scene.ts";
import { recallSources, rememberCard, rememberSources } from "./source-memory.ts";
import { SourceView } from "./source-view.ts";
import { type Shape, Stage } from "./stage.ts";
import { canShare, share } from "./screen.ts";

export interface SourcesListener {
  /** The stream has other tracks, or the camera was switched on or off. */
  changed: () => void;
  use: (track: MediaStreamTrack) => Promise<void>;
  /** Opens and closes the devices that are wished now. */
  open: () => Promise<unknown>;
  /** The text of a card without a text of its own. */
  name: () => string;
}

/** Where the picture and the sound of the show come from: the controls on the page, and the stage that they change. */
export class Sources {
  readonly stage: Stage;
  private readonly view: SourceView;
  private asking = false; // the browser asks which screen to share
  private facing: "" | "user" | "environment" = "";
  private film: MediaStream | null = null; // of the file that is shown
  private note = "";
  private silent = false; // the running show is sent without sound

  constructor(private readonly listener: SourcesListener) {
    this.stage = new Stage({
      changed: () => listener.changed(),
      use: (track) => listener.use(track),
      failed: (error) => this.view.showProblem(new Failure("mixer_failed", message(error))),
    });
    this.view = new SourceView({
      camera: () => this.act(() => this.turnCamera(this.stage.wishes.cameraOff)),
      flip: () => this.act(() => this.flip()),
      screen: () => this.act(() => (this.stage.wishes.screen && !this.film ? this.stopSharing("") : this.share())),
      arrange: (arrangement) => this.act(() => this.change({ arrangement })),
      shape: () => this.act(() => this.change({ shape: this.view.shape as Shape })),
      text: () => this.act(() => this.changeCard({ ...this.stage.wishes.card, text: this.view.text })),
      image: (file) => this.act(() => this.pickImage(file)),
    });
    const { arrangement, cameraOff, image, shape, text } = recallSources();
    Object.assign(this.stage.wishes, { arrangement, cameraOff, shape, card: { image, text } });
    this.view.fill(text, shape);
    this.render();
    void this.stage.update(); // the card, if the camera is off
  }

  /** Which devices are wished, beside those in the lists. */
  get choice(): { picture: boolean; facing: "" | "user" | "environment"; camera?: "" } {
    return { picture: !this.stage.wishes.cameraOff, facing: this.facing, ...(this.facing !== "" && { camera: "" }) };
  }

  /** Where a picture that is black, or a camera's that stands still, is a fault: from front to back. A file may show what it will. */
  get areas(): Area[] {
    return this.stage.areas.filter(({ source }) => source === "camera" || !this.film);
  }

  /** A camera or a microphone was opened, or closed. */
  async take(kind: "video" | "audio", track: MediaStreamTrack | null): Promise<void> {
    this.stage.wishes[kind === "video" ? "camera" : "microphone"] = track;
    await this.stage.update();
    this.render();
  }

  /** Another device was picked in a list. */
  pick(): void {
    this.facing = "";
  }

  /** Prepares the stream for what is chosen now. live: a show begins; sound: with sound. */
  async prepare(quality: Quality, live: boolean): Promise<MediaStream> {
    this.stage.wishes.size = { width: quality.width, height: quality.height };
    this.stage.wishes.card = { ...this.stage.wishes.card, text: this.view.text || this.listener.name() };
    await this.stage.run(live);
    await this.stage.update();
    this.silent = live && this.stage.stream.getAudioTracks().length === 0;
    return this.stage.stream;
  }

  /** Sends the microphone louder or quieter. */
  setVolume(volume: number): void {
    this.act(() => this.change({ volume }));
  }

  /** The show has ended. */
  end(): void {
    this.silent = false;
    void this.stage.run(false);
  }

  /** A device was lost: what is left is sent. */
  async lost(): Promise<void> {
    await this.stage.update();
    this.render();
  }

  /** The camera is not to be off any more. */
  async wantCamera(): Promise<void> {
    await this.change({ cameraOff: false });
  }

  /** Shows a file in the place of a screen, with this sound. alone: without the microphone. */
  async play(film: MediaStream, sound: AudioNode, alone: boolean): Promise<void> {
    this.note = this.silent ? t("The file is played without sound, because the show began with “No sound”.") : t("The file is played to the viewers.");
    await this.replace(film, film, sound, alone);
  }

  /** The file is shown no more. ended: it has come to an end. */
  async stopPlaying(film: MediaStream, ended: boolean): Promise<void> {
    if (this.film !== film) {
      return;
    }
    this.note = !ended ? "" : this.stage.wishes.cameraOff || !this.stage.wishes.camera ? t("The file has ended. Viewers see your card.") : t("The file has ended. Viewers see the camera again.");
    await this.replace(null, null);
  }

  /** With or without the microphone, while a file is shown. */
  playAlone(alone: boolean): void {
    this.act(() => this.change({ soundAlone: alone }));
  }

  /** Shows another screen or file, or none. */
  private async replace(screen: MediaStream | null, film: MediaStream | null, sound: AudioNode | null = null, soundAlone = false): Promise<void> {
    const old = this.stage.wishes.screen;
    this.film = film;
    await this.change({ screen, sound, soundAlone });
    old?.getTracks().forEach((track) => track.stop());
  }

  private async turnCamera(on: boolean): Promise<void> {
    await this.change({ cameraOff: !on });
    try {
      await this.listener.open();
    } catch (error) {
      await this.change({ cameraOff: true }); // so that there is a picture at least
      throw error;
    }
  }

  private async flip(): Promise<void> {
    const now = this.stage.wishes.camera?.getSettings().facingMode;
    this.facing = now === "environment" ? "user" : "environment";
    await this.listener.open();
  }

  private async share(): Promise<void> {
    this.asking = true;
    this.render();
    try {
      await this.show(await share());
    } finally {
      this.asking = false;
      this.render();
    }
  }

  /** Shows a stream beside the camera, or in place of it. */
  private async show(screen: MediaStream): Promise<void> {
    screen.getVideoTracks()[0]?.addEventListener("ended", () => { // by the browser's own button; our own stop() does not fire this event
      if (this.stage.wishes.screen === screen) {
        this.act(() => this.stopSharing(t("The screen is not shared any more.")));
      }
    });
    const sound = screen.getAudioTracks().length > 0;
    this.note = !sound ? t("The screen is shared without sound. For its sound, share a tab, and tick the box for its sound.")
      : this.silent ? t("The screen is shared without sound, because the show began with “No sound”.") : t("The screen is shared with its sound.");
    await this.replace(screen, null);
  }

  private async stopSharing(note: string): Promise<void> {
    this.note = note;
    await this.replace(null, null);
  }

  private async pickImage(file: File | null): Promise<void> {
    let image = "";
    if (file) {
      image = await readImage(file).catch((error: unknown) => {
        throw new Failure("image_unreadable", message(error));
      });
    }
    await this.changeCard({ ...this.stage.wishes.card, image });
  }

  private async changeCard(card: Card): Promise<void> {
    rememberCard({ image: card.image, text: this.view.text });
    await this.change({ card: { ...card, text: card.text || this.listener.name() } });
  }

  private async change(wishes: Partial<Stage["wishes"]>): Promise<void> {
    Object.assign(this.stage.wishes, wishes);
    const { arrangement, cameraOff, shape } = this.stage.wishes;
    rememberSources({ arrangement, cameraOff, shape });
    this.render();
    await this.stage.update();
    this.listener.changed();
  }

  private act(run: () => Promise<void>): void {
    this.view.showProblem(null);
    run().catch((error: unknown) => this.view.showProblem(asFailure(error, "device_failed"))).finally(() => this.render());
  }

  private render(): void {
    const { arrangement, camera, cameraOff, card, screen } = this.stage.wishes;
    this.view.render({
      arrangement, cameraOff, asking: this.asking, canShare: canShare(), hasImage: card.image !== "", note: this.note,
      sharing: screen !== null && !this.film, playing: this.film !== null,
      canFlip: camera !== null && isLive(camera) && (camera.getSettings().facingMode ?? "") !== "",
    });
  }
}
