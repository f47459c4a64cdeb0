import { DelayMeter } from "./delay.ts";
import { create, element, setText } from "./dom.ts";
import * as format from "./format.ts";
import { sentences, t } from "./language.ts";
import { Playback } from "./playback.ts";
import { sightWords } from "./words.ts";
import { Watcher } from "./watcher.ts";

/** A stream that can be watched in the studio. */
export interface Arrival {
  /** Its name on this server. */
  name: string;
  label: string;
}

/** What arrives: the stream itself, or what a destination on this server's own RTMP port gets, with the delay that can be measured here. */
export class MonitorView {
  private readonly box = element("arrives", HTMLDetailsElement);
  private readonly choice = element("arrival", HTMLSelectElement);
  private readonly button = element("arrival-watch", HTMLButtonElement);
  private readonly video = element("arrival-video", HTMLVideoElement);
  private watching: AbortController | null = null;
  private playback: Playback | null = null;
  private up = new DelayMeter("outbound-rtp");
  private down = new DelayMeter("inbound-rtp");

  /** arrivals: the first is the stream itself. uplink: the statistics of the stream that this page sends. */
  constructor(
    private readonly arrivals: () => Arrival[],
    private readonly token: (name: string) => Promise<string>,
    private readonly uplink: () => Promise<RTCStatsReport | null>,
  ) {
    this.box.addEventListener("toggle", () => (this.box.open ? this.render() : this.stop()));
    this.button.addEventListener("click", () => (this.watching ? this.stop() : this.watch()));
    this.choice.addEventListener("change", () => this.watching && this.watch());
    window.addEventListener("pagehide", () => this.stop());
    this.render();
  }

  /** Shows what can be watched now, and the delay. */
  render(): void {
    if (!this.box.open) {
      return;
    }
    const arrivals = this.arrivals();
    const known = [...this.choice.options].map(({ text, value }) => `${value}\n${text}`).join("\n");
    if (known !== arrivals.map(({ label, name }) => `${name}\n${label}`).join("\n")) {
      const chosen = this.choice.value;
      this.choice.replaceChildren(...arrivals.map(({ label, name }) => Object.assign(create("option", "", label), { value: name })));
      this.choice.value = arrivals.some(({ name }) => name === chosen) ? chosen : (arrivals[0]?.name ?? "");
      if (this.watching && this.choice.value !== chosen) {
        this.watch();
      }
    }
    void this.showDelay(this.choice.value === arrivals[0]?.name).catch(() => undefined);
  }

  private watch(): void {
    this.stop();
    const watching = this.watching = new AbortController();
    const name = this.choice.value;
    const tell = (text: string): void => {
      if (!watching.signal.aborted) {
        setText(element("arrival-note", HTMLElement), text);
      }
    };
    setText(this.button, t("Stop watching"));
    const watcher = new Watcher((options, signal) => Playback.open(options, signal), name, () => this.token(name), {
      sight: (sight) => {
        const { advice, title } = sightWords(sight, false);
        tell(sight === "unauthorized" || sight === "forbidden" ? t("You may not watch this stream.") : sentences(title, advice));
      },
      playback: (playback) => {
        if (!watching.signal.aborted) {
          this.playback = playback;
          this.video.hidden = playback === null;
          this.video.srcObject = playback?.stream ?? null;
        }
      },
    });
    tell(t("Connecting"));
    void watcher.run(watching.signal);
  }

  private stop(): void {
    this.watching?.abort();
    this.watching = null;
    this.playback = null;
    this.video.hidden = true;
    this.video.srcObject = null;
    [this.up, this.down] = [new DelayMeter("outbound-rtp"), new DelayMeter("inbound-rtp")];
    setText(this.button, t("Watch"));
    setText(element("arrival-note", HTMLElement), "");
    setText(element("arrival-delay", HTMLElement), "");
  }

  private async showDelay(own: boolean): Promise<void> {
    const { playback } = this;
    const [sent, got] = await Promise.all([this.uplink(), playback?.stats()]);
    const [up, down] = [this.up.read(sent?.values() ?? []), this.down.read(got?.values() ?? [])];
    if (playback === this.playback) {
      const partly = down === null || (own && this.up.part !== null);
      const text = partly ? partWords(own, (up ?? this.up.part) || null, down ?? this.down.part) : delayWords(own, up, down);
      setText(element("arrival-delay", HTMLElement), text);
    }
  }
}

/** The same for a browser that does not measure everything. */
function partWords(own: boolean, up: number | null, down: number | null): string {
  if (down === null) {
    return ""; // it comes in a moment
  }
  if (down === 0) {
    return t("This browser does not measure the delay.");
  }
  const words = own && up !== null
    ? t("At least {all} from your camera to here: {up} to the server, and {down} back. This browser does not measure all of it.",
      { all: format.delay(up + down), up: format.delay(up), down: format.delay(down) })
    : t("At least {down} from the server to here. This browser does not measure all of it.", { down: format.delay(down) });
  return own ? words : sentences(words, t("The way to the destination is not in it."));
}

/** What was measured, and what was not. */
function delayWords(own: boolean, up: number | null, down: number): string {
  if (!own) {
    return t("{down} from this server to here. The way to the destination is not in it.", { down: format.delay(down) });
  }
  return up === null ? t("{down} from the server to here.", { down: format.delay(down) })
    : t("About {all} from your camera to here: {up} to the server, and {down} back. What camera, server and screen add is not in it.",
      { all: format.delay(up + down), up: format.delay(up), down: format.delay(down) });
}
