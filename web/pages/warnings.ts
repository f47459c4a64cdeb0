import { type Failure, pushFailure } from "./failure.ts";
import { bitrate } from "./format.ts";
import type { Health } from "./health.ts";
import { sentences, t } from "./language.ts";
import type { PictureReading } from "./picture-probe.ts";
import type { PushState } from "./push-state.ts";
import { explain, type Words } from "./words.ts";

/** What the page sees of a running show at one moment. */
export interface Observation {
  /** ms since 1970 */
  at: number;
  /** The camera in the preview; null while there is none, or while the browser does not show the page. */
  picture: PictureReading | null;
  /** The screen, in the same way. */
  screen: PictureReading | null;
  /** The largest sample of the last moment, from 0 to 1; null if no sound is sent. */
  peak: number | null;
  muted: boolean;
  health: Health | null;
  /** The bit rate of the chosen quality. */
  wantedKbps: number;
  /** The server gets only a part of the stream, for this reason; null if it gets everything. */
  missing: string | null;
  destinations: { name: string; state: PushState }[];
  /** Why the recording of the show has stopped; null if it has not. */
  recording: Failure | null;
}

export interface Warning extends Words {
  /** Equal for two warnings about the same matter. */
  code: string;
  /** It is about the way to this server. */
  upload: boolean;
}

/** About -60 dBFS: a microphone that works is louder, even in a quiet room. */
const silentPeak = 0.001;

/** Samples above this were probably cut off. */
const clippedPeak = 0.985;

/** In a black picture no part is brighter than this, of 255. */
const blackest = 28;

/** The server holds media back for a destination for so long when the way there is too slow. */
const lateMs = 3000;

/** Sound is too loud if so many of the last ten readings were cut off. */
const loudReadings = 3;

/** A warning stays for so long after its cause has gone, so that people can read it. */
const lingerMs = 3000;

const uploads = ["missing", "loss", "cpu", "upload"];

interface Found {
  warning: Warning;
  /** How long it must last before it counts. */
  afterMs: number;
}

/** Turns observations of a show, about one a second, into warnings. Each says what is wrong and what to do. */
export class Watchdog {
  private readonly since = new Map<string, number>();
  private readonly shown = new Map<string, { warning: Warning; seen: number }>();
  private loud: boolean[] = [];

  /** A show begins, or nothing is sent any more. */
  reset(): void {
    this.since.clear();
    this.shown.clear();
    this.loud = [];
  }

  /** The warnings that hold now, the oldest first. */
  read(now: Observation): Warning[] {
    this.loud = now.peak === null ? [] : [...this.loud, now.peak > clippedPeak].slice(-10);
    const found = new Map(this.find(now).map((one) => [one.warning.code, one]));
    for (const code of this.since.keys()) {
      if (!found.has(code)) {
        this.since.delete(code);
      }
    }
    for (const [code, { afterMs, warning }] of found) {
      const since = this.since.get(code) ?? now.at;
      this.since.set(code, since);
      if (now.at - since >= afterMs) {
        this.shown.set(code, { warning, seen: now.at });
      }
    }
    for (const [code, { seen }] of this.shown) {
      if (now.at - seen >= lingerMs) {
        this.shown.delete(code);
      }
    }
    return [...this.shown.values()].map(({ warning }) => warning);
  }

  private find(now: Observation): Found[] {
    const found: Found[] = [];
    const add = (code: string, afterMs: number, title: string, advice: string): void => {
      found.push({ warning: { code, title, advice, upload: uploads.includes(code) }, afterMs });
    };
    this.findPicture(now, add);
    this.findSound(now, add);
    findUpload(now, add);
    if (now.recording) {
      const { title, advice } = explain(now.recording);
      add("recording", 0, title, advice);
    }
    for (const { name, state } of now.destinations) {
      findDestination(name, state, add);
    }
    return found;
  }

  private findPicture({ picture, screen }: Observation, add: Add): void {
    if (screen && screen.brightest < blackest) {
      add("black screen", 5000, t("The shared screen is black."),
        t("Share another screen or window. If all are black, allow the browser to record the screen in the system's settings."));
    }
    if (picture && picture.brightest < blackest) {
      add("black", 5000, t("The picture is black."), t("Open the cover of the camera, turn on a light, or pick another camera."));
    } else if (picture && !picture.changed) {
      add("still", 5000, t("The picture stands still."), t("Pick the camera again in the list, or plug it in again."));
    }
  }

  private findSound({ muted, peak }: Observation, add: Add): void {
    if (muted) {
      add("muted", 10_000, t("Your microphone is muted."), t("Viewers do not hear you. Press “Unmute microphone” to be heard."));
    } else if (peak !== null && peak < silentPeak) {
      add("silent", 10_000, t("Your microphone is silent."), t("Check its own mute switch and the system's settings, or pick another microphone."));
    }
    if (this.loud.filter(Boolean).length >= loudReadings) {
      add("loud", 0, t("Your sound is too loud and distorts."), t("Turn the microphone down in the system's settings, or keep more distance."));
    }
  }
}

type Add = (code: string, afterMs: number, title: string, advice: string) => void;

function findUpload({ health, missing, wantedKbps }: Observation, add: Add): void {
  if (missing !== null) {
    const { title, advice } = explain(pushFailure(missing, ""));
    add("missing", 0, title, advice);
  }
  if (!health) {
    return;
  }
  if ((health.loss ?? 0) > 0.05) {
    add("loss", 3000, t("Part of the stream is lost on its way to the server."), t("Use a cable in place of Wi-Fi, or pick a lower quality."));
  }
  if (health.limit === "cpu") {
    add("cpu", 0, t("This computer cannot keep up with the picture."), t("Close other programs, or pick a lower quality."));
  }
  const { availableKbps } = health;
  if (health.limit === "bandwidth") {
    const carries = availableKbps === null || availableKbps >= wantedKbps ? ""
      : t("It carries about {available} of {wanted}.", { available: bitrate(availableKbps), wanted: bitrate(wantedKbps) });
    add("upload", 0, t("Your network is too slow for this quality."),
      sentences(carries, t("Pick a lower quality, or use a cable in place of Wi-Fi.")));
  }
}

function findDestination(name: string, { failure, phase, push }: PushState, add: Add): void {
  if (phase === "idle" || phase === "stopping") {
    if (failure) {
      const { advice, title } = explain(failure);
      add(`ended ${name}`, 0, t("{name} does not get the stream.", { name }), sentences(title, advice));
    }
    return;
  }
  if (push?.status === "RECONNECTING") {
    const why = push.reason === "" ? "" : explain(pushFailure(push.reason, "")).title;
    add(`lost ${name}`, 0, t("The connection to {name} is lost.", { name }), sentences(why, t("The server tries again by itself.")));
  }
  if (push && (push.reason === "peer_slow" || push.reason === "peer_stalled" || (push.queuedMs ?? 0) > lateMs)) {
    add(`late ${name}`, 2000, t("{name} gets the stream late.", { name }), t("The way from this server to it is too slow. Pick a lower quality if it lasts."));
  }
  for (const { code, info } of push?.findings ?? []) {
    add(`${code} ${name}`, 0, t("{name} may not take the stream well.", { name }), info);
  }
}
