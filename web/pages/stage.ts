import { isLive } from "../sdk/src/media.ts";
import { type Card, drawCard } from "./card.ts";
import { Mixer, type Sources } from "./mixer.ts";
import { type Arrangement, type Area, areas, compose, excess, type Scene, type Size, whole } from "./scene.ts";
import { SoundMixer } from "./sound-mixer.ts";

/** The form of the picture; auto: as the camera gives it. */
export type Shape = "auto" | "landscape" | "portrait";

export interface StageListener {
  /** The stream has other tracks. */
  changed: () => void;
  /** This track is about to be sent in place of the one of its kind. The old one goes on until the promise has resolved. */
  use: (track: MediaStreamTrack) => Promise<void>;
  /** Pictures cannot be mixed: from now on only one of them is sent. */
  failed: (error: Error) => void;
}

/** What is to be sent. Whoever changes it calls update afterwards. */
interface Wishes {
  /** The size of the picture, for a picture that is wider than high. */
  size: Size;
  shape: Shape;
  arrangement: Arrangement;
  card: Card;
  camera: MediaStreamTrack | null;
  /** The camera is off because the user wants that. Then the card is shown. */
  cameraOff: boolean;
  microphone: MediaStreamTrack | null;
  /** Of the microphone, as a factor; 1: as it is. */
  volume: number;
  /** A shared screen, window or tab, or a file. */
  screen: MediaStream | null;
  /** The sound of a file, made in the stage's AudioContext. */
  sound: AudioNode | null;
  /** The sound of the screen or the file is sent without the microphone. */
  soundAlone: boolean;
}

/**
 * Makes the picture and the sound of the show from their sources. A camera and a microphone that are alone are sent as they are, which costs
 * nothing. Everything else is mixed. While a show runs, its picture keeps its size, whatever is shown: many players fail when the size changes.
 */
export class Stage {
  readonly wishes: Wishes = {
    size: { width: 1280, height: 720 }, shape: "auto", arrangement: "corner", card: { text: "", image: "" },
    camera: null, cameraOff: false, microphone: null, volume: 1, screen: null, sound: null, soundAlone: false,
  };
  /** What is sent, or would be. It stays the same object, its tracks change. */
  readonly stream = new MediaStream();
  private live = false;
  private fixed: { wanted: string; size: Size } | null = null; // the size of the running show, and for which wish
  private mixer: Mixer | null = null;
  private scene: Scene | null = null; // that the mixer paints
  private broken = false;
  private context: AudioContext | null = null;
  private soundMixer: SoundMixer | null = null;
  private queue: Promise<unknown> = Promise.resolve();

  constructor(private readonly listener: StageListener) {}

  /**
   * Where all sound is mixed. It lasts as long as the stage, because a video that was once connected to it cannot leave it. What passes from
   * one AudioContext to another is late by the buffers of both.
   */
  get audio(): AudioContext {
    return this.context ??= new AudioContext();
  }

  /** A show begins or ends. */
  async run(live: boolean): Promise<void> {
    if (live !== this.live) {
      this.live = live;
      this.fixed = null;
      await this.update();
    }
  }

  /** Sends what is wished now. Calls run one after another. */
  update(): Promise<void> {
    const done = this.queue.then(() => this.bring());
    this.queue = done.catch(() => undefined);
    return done;
  }

  /** Where camera and screen are seen in the picture, from front to back. */
  get areas(): Area[] {
    const { openCamera: camera, openScreen: screen } = this;
    const [sent] = this.stream.getVideoTracks();
    if (sent && (sent === camera || sent === screen)) {
      return [whole(sent === camera ? "camera" : "screen")];
    }
    return this.scene ? areas(this.scene, { ...(camera && { camera: sizeOf(camera) }), ...(screen && { screen: sizeOf(screen) }) }) : [];
  }

  /** Whether somebody who looks at the stream sees what the user wants to show. */
  get complete(): boolean {
    return this.openCamera !== null || this.openScreen !== null || this.wishes.cameraOff;
  }

  /** By how much a picture is to be made smaller: the one of a camera that keeps a larger size than it was asked for. */
  scale(track: MediaStreamTrack): number {
    return track === this.wishes.camera ? excess(sizeOf(track), this.wishes.size) : 1;
  }

  private get openCamera(): MediaStreamTrack | null {
    const { camera } = this.wishes;
    return camera && isLive(camera) ? camera : null;
  }

  private get openScreen(): MediaStreamTrack | null {
    return this.wishes.screen?.getVideoTracks().find(isLive) ?? null;
  }

  private async bring(): Promise<void> {
    await this.bringPicture();
    await this.bringSound();
  }

  private async bringPicture(): Promise<void> {
    const { openCamera: camera, openScreen: screen, wishes } = this;
    if (!camera && !screen && !wishes.cameraOff && !this.live) {
      this.drop("video");
      this.closeMixer();
      return;
    }
    const wanted = JSON.stringify([wishes.size, wishes.shape]);
    if (this.fixed?.wanted !== wanted) {
      this.fixed = null;
    }
    const only = this.broken ? (screen ?? camera) : screen ? null : camera;
    if (only && (this.broken || this.fits(only))) {
      this.fix(wanted, this.sentSize(only));
      await this.take(only);
      this.closeMixer();
      return;
    }
    if (this.broken) {
      return; // there is nothing to send
    }
    const size = this.fixed?.size ?? this.usualSize(camera);
    this.fix(wanted, size);
    const scene = compose(size, wishes.arrangement, { camera: camera !== null, screen: screen !== null }, wishes.shape !== "auto");
    this.scene = scene;
    const card = scene.places.length > 0 ? null : await drawCard(wishes.card, size);
    const mixer = this.mixer ??= new Mixer((error) => {
      this.broken = true;
      this.listener.failed(error);
      void this.update();
    });
    const sources: Sources = { ...(camera && { camera }), ...(screen && { screen }) };
    const painted = mixer.show(scene, sources, card);
    if (!this.stream.getTracks().includes(mixer.track)) {
      await painted;
      await this.take(mixer.track);
    }
  }

  /** Whether a camera can be sent as it is. */
  private fits(camera: MediaStreamTrack): boolean {
    const { height, width } = this.sentSize(camera);
    if (width === 0) {
      return true; // the browser does not say
    }
    if (this.fixed) {
      return width === this.fixed.size.width && height === this.fixed.size.height;
    }
    const { shape } = this.wishes;
    return shape === "auto" || (shape === "portrait") === (height > width);
  }

  private sentSize(track: MediaStreamTrack): Size {
    const { height, width } = sizeOf(track);
    const scale = this.scale(track);
    return { width: Math.floor(width / scale), height: Math.floor(height / scale) };
  }

  private usualSize(camera: MediaStreamTrack | null): Size {
    const { shape, size } = this.wishes;
    const upright = camera ? sizeOf(camera).height > sizeOf(camera).width : false;
    return shape === "portrait" || (shape === "auto" && upright) ? { width: size.height, height: size.width } : size;
  }

  private fix(wanted: string, size: Size): void {
    if (this.live && size.width > 0) {
      this.fixed ??= { wanted, size };
    }
  }

  private async bringSound(): Promise<void> {
    const { screen, sound, soundAlone, volume } = this.wishes;
    const others = sound ? [sound] : screen?.getAudioTracks().filter(isLive) ?? [];
    const microphone = soundAlone && others.length > 0 ? null : this.wishes.microphone;
    const changed = microphone !== null && volume !== 1;
    const late = microphone !== null && this.mixer !== null && this.openCamera !== null; // mixing makes picture and sound late alike, by a picture or so
    if (others.length > 0 || changed || late || (this.soundMixer && this.live && !microphone)) { // the sound of a running show goes on as silence
      const mixer = this.soundMixer ??= new SoundMixer(this.audio);
      mixer.mix(microphone && isLive(microphone) ? microphone : null, volume, others);
      await this.take(mixer.track);
      return;
    }
    if (microphone) {
      await this.take(microphone);
    } else {
      this.drop("audio");
    }
    this.soundMixer?.close();
    this.soundMixer = null;
  }

  private async take(track: MediaStreamTrack): Promise<void> {
    if (this.stream.getTracks().includes(track)) {
      return;
    }
    await this.listener.use(track);
    this.remove(track.kind);
    this.stream.addTrack(track);
    this.listener.changed();
  }

  private drop(kind: string): void {
    if (this.remove(kind)) {
      this.listener.changed();
    }
  }

  private remove(kind: string): boolean {
    const old = this.stream.getTracks().filter((track) => track.kind === kind);
    old.forEach((track) => this.stream.removeTrack(track));
    return old.length > 0;
  }

  private closeMixer(): void {
    this.mixer?.close();
    this.mixer = this.scene = null;
  }
}

function sizeOf(track: MediaStreamTrack): Size {
  const { height = 0, width = 0 } = track.getSettings();
  return { width, height };
}
