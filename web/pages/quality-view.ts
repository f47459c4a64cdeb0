import { element, setText, showFailure, showProblem } from "./dom.ts";
import { qualities, type Quality, type QualityName } from "./devices.ts";
import { asFailure } from "./failure.ts";
import * as format from "./format.ts";
import { sentences, t } from "./language.ts";
import { recallWishes, rememberWishes } from "./memory.ts";
import { bitrateProblem, codecLabels, fitting, frameRates, sendableCodecs, withWishes, type Sending, type Wishes } from "./quality.ts";
import type { Speed } from "./speed-test.ts";
import type { StreamPhase } from "./stream-state.ts";

export interface QualityHandlers {
  /** Another bit rate or frame rate is wanted, or another quality by the button under a test. */
  changed: () => void;
  /** Measures the upload. Resolves with null if there is nothing to show. */
  test: (onProgress: (share: number) => void) => Promise<Speed>;
}

/** The settings beside the quality, and the test that proposes one. */
export class QualityView {
  private readonly quality = element("quality", HTMLSelectElement);
  private readonly bitrate = element("max-bitrate", HTMLInputElement);
  private readonly frameRate = element("frame-rate", HTMLSelectElement);
  private readonly codec = element("codec", HTMLSelectElement);
  private readonly test = element("speed", HTMLButtonElement);
  private readonly take = element("speed-take", HTMLButtonElement);
  private readonly result = element("speed-result", HTMLElement);
  private phase: StreamPhase = "idle";
  private testing = false;
  private proposed: QualityName | null = null;
  private last: { key: string; quality: Quality } | null = null;

  constructor(handlers: QualityHandlers) {
    const wishes = recallWishes();
    const codecs = sendableCodecs();
    this.frameRate.replaceChildren(...frameRates.map((rate) => new Option(t("{n} a second", { n: rate }), String(rate), false, rate === wishes.frameRate)));
    this.codec.replaceChildren(...codecs.map((codec) => new Option(codecLabels[codec], codec, false, codec === wishes.codec)));
    this.bitrate.value = wishes.bitrateKbps === null ? "" : String(wishes.bitrateKbps);
    for (const field of [this.bitrate, this.frameRate, this.codec]) {
      field.addEventListener("change", () => {
        showProblem(this.bitrate, bitrateProblem(this.bitrate.value.trim()));
        rememberWishes(this.wishes);
        if (field !== this.codec) {
          handlers.changed();
        }
      });
    }
    this.quality.addEventListener("change", () => this.showUsual());
    this.test.addEventListener("click", () => void this.run(handlers));
    this.take.addEventListener("click", () => {
      if (this.proposed) {
        this.quality.value = this.proposed;
        this.bitrate.value = "";
        this.showUsual();
        rememberWishes(this.wishes);
        setText(this.result, t("{quality} is chosen.", { quality: qualities[this.proposed].label }));
        this.take.hidden = true;
        this.quality.focus();
        handlers.changed();
      }
    });
    this.showUsual();
  }

  /** The chosen quality with all settings; the same object until one is changed. */
  get chosen(): Quality {
    const name = this.quality.value as QualityName;
    const { wishes } = this;
    const key = JSON.stringify([name, wishes.bitrateKbps, wishes.frameRate]);
    if (this.last?.key !== key) {
      this.last = { key, quality: withWishes(name, wishes) };
    }
    return this.last.quality;
  }

  get sending(): Sending {
    const { frameRate, maxBitrateKbps } = this.chosen;
    return { maxBitrateKbps, frameRate, codec: this.wishes.codec };
  }

  /** The show is in this phase. */
  follow(phase: StreamPhase): void {
    this.phase = phase;
    this.arrange();
  }

  private get wishes(): Wishes {
    const text = this.bitrate.value.trim();
    return {
      bitrateKbps: text === "" || bitrateProblem(text) !== "" ? null : Number(text),
      frameRate: Number(this.frameRate.value),
      codec: this.codec.value as Wishes["codec"],
    };
  }

  /** The bit rate of the quality stands in the empty field. */
  private showUsual(): void {
    this.bitrate.placeholder = String(qualities[this.quality.value as QualityName].maxBitrateKbps);
  }

  private arrange(): void {
    this.showUsual();
    const free = this.phase === "idle" || this.phase === "waiting" || this.phase === "sending";
    this.bitrate.disabled = this.frameRate.disabled = !free;
    this.codec.disabled = this.phase !== "idle";
    this.test.disabled = this.testing || this.phase !== "idle";
    setText(element("quality-hint", HTMLElement), this.phase === "idle"
      ? t("Quality, frame rate and bit rate can be changed while you are live, the codec cannot. Codecs other than H.264 are converted by the server for destinations that do not take them.")
      : t("Changes take effect at once, over the same connection. Some players stumble when the size of the picture changes; the bit rate and the frame rate disturb none."));
  }

  private async run(handlers: QualityHandlers): Promise<void> {
    this.testing = true;
    this.arrange();
    this.take.hidden = true;
    showFailure(element("speed-problem", HTMLElement), null);
    const show = (share: number): void => setText(this.test, t("Testing, {n} %", { n: Math.min(100, Math.round(share * 100)) }));
    show(0);
    setText(this.result, t("The upload is being tested."));
    try {
      this.showSpeed(await handlers.test(show));
    } catch (error) {
      setText(this.result, "");
      const failure = asFailure(error);
      showFailure(element("speed-problem", HTMLElement), this.phase === "idle" ? failure : null); // otherwise a show has begun, which ends the test
    }
    setText(this.test, t("Test the upload"));
    this.testing = false;
    this.arrange();
  }

  private showSpeed({ atLeast, kbps, roundTripMs }: Speed): void {
    this.proposed = fitting(kbps);
    const measured = { rate: format.bitrate(kbps), delay: format.delay(roundTripMs) };
    const speed = atLeast ? t("The way to this server carries at least {rate}, with a round trip of {delay}.", measured)
      : t("The way to this server carries about {rate}, with a round trip of {delay}.", measured);
    if (!this.proposed) {
      setText(this.result, sentences(speed, t("That is too little for any quality here. Use a cable in place of Wi-Fi, or another network, and test again.")));
      return;
    }
    const { label, maxBitrateKbps } = qualities[this.proposed];
    setText(this.result, sentences(speed, t("“{quality}” needs {rate} and fits.", { quality: label, rate: format.bitrate(maxBitrateKbps) })));
    setText(this.take, t("Use {quality}", { quality: label }));
    this.take.hidden = this.chosen.maxBitrateKbps === maxBitrateKbps && this.quality.value === this.proposed;
  }
}
