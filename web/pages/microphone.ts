import { element, setText } from "./dom.ts";
import { t } from "./language.ts";
import { load, save } from "./memory.ts";

/** What the browser does with the sound of a microphone. All of it is good for speech, and bad for music. */
export interface Processing {
  /** It takes out steady noise, such as of a fan. */
  noise: boolean;
  /** It takes out what comes from the loudspeakers. */
  echo: boolean;
  /** It makes quiet speech louder. */
  gain: boolean;
}

export function constraints({ echo, gain, noise }: Processing): MediaTrackConstraints {
  // Chromium gives one channel while it takes out echo, whatever is asked for.
  return { noiseSuppression: noise, echoCancellation: echo, autoGainControl: gain, ...(!noise && !echo && !gain && { channelCount: { ideal: 2 } }) };
}

export function sameProcessing(a: Processing, b: Processing): boolean {
  return a.noise === b.noise && a.echo === b.echo && a.gain === b.gain;
}

/** How encoders are to treat the sound. */
export function hint({ echo, gain, noise }: Processing): "speech" | "music" {
  return noise || echo || gain ? "speech" : "music";
}

const key = "transponder.microphone";
const parts = ["noise", "echo", "gain"] as const;

export interface MicrophoneHandlers {
  /** Other processing is wanted: the microphone has to be opened again. */
  processing: () => void;
  /** Times so much. */
  volume: (factor: number) => void;
  /** The user wants to hear what is sent. */
  monitor: (wanted: boolean) => void;
}

/** The settings of the microphone. They stay in the browser, but for the monitor: nobody should be surprised by his own voice. */
export class MicrophoneView {
  private readonly boxes = { noise: element("noise", HTMLInputElement), echo: element("echo", HTMLInputElement), gain: element("gain", HTMLInputElement) };
  private readonly volumeField = element("volume", HTMLInputElement);
  private readonly monitorBox = element("monitor", HTMLInputElement);

  constructor(handlers: MicrophoneHandlers) {
    const stored = (load("localStorage", key) ?? {}) as Record<string, unknown>;
    for (const part of parts) {
      this.boxes[part].checked = stored[part] !== false;
      this.boxes[part].addEventListener("change", () => {
        this.store();
        handlers.processing();
      });
    }
    const db = Number(stored["volume"] ?? 0);
    this.volumeField.value = String(Number.isFinite(db) ? db : 0);
    this.volumeField.addEventListener("input", () => {
      this.store();
      this.showVolume();
      handlers.volume(this.volume);
    });
    this.monitorBox.addEventListener("change", () => handlers.monitor(this.monitored));
    this.showVolume();
  }

  get processing(): Processing {
    return { noise: this.boxes.noise.checked, echo: this.boxes.echo.checked, gain: this.boxes.gain.checked };
  }

  /** Times so much. */
  get volume(): number {
    return 10 ** (Number(this.volumeField.value) / 20);
  }

  get monitored(): boolean {
    return this.monitorBox.checked;
  }

  /** Shows the processing of the open microphone, which may not be the one that was wanted. */
  show(processing: Processing): void {
    for (const part of parts) {
      this.boxes[part].checked = processing[part];
    }
    this.store();
  }

  private showVolume(): void {
    const db = Number(this.volumeField.value);
    const text = db === 0 ? t("unchanged") : `${db > 0 ? "+" : "−"}${Math.abs(db)} dB`;
    setText(element("volume-shown", HTMLElement), text);
    this.volumeField.setAttribute("aria-valuetext", text);
  }

  private store(): void {
    save("localStorage", key, { ...this.processing, volume: Number(this.volumeField.value) });
  }
}
