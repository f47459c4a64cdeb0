import { keepRunning } from "./sound-mixer.ts";

/** A microphone below this level counts as silent. */
const floorDB = -60;

/** The loudest sample stays on show for so long. */
const holdMs = 1500;

/** Samples above this were probably cut off. */
const clippedPeak = 0.985;

/** People are told for so long that samples were cut off. */
const clippedMs = 3000;

export interface Level {
  /** Of the last moment, from 0 (silence) to 1 (full scale), linear in decibels. */
  bar: number;
  /** The loudest sample of the last moments, in dBFS. */
  peakDB: number;
  clipped: boolean;
}

export const silence: Level = { bar: 0, peakDB: -Infinity, clipped: false };

/** What a block of samples holds. */
export interface Loudness {
  /** From 0 (silence) to 1 (full scale), linear in decibels. */
  level: number;
  /** The largest sample, from 0 to 1. */
  peak: number;
}

export function loudness(samples: Float32Array): Loudness {
  let sum = 0;
  let most = 0;
  let least = 0;
  for (const sample of samples) { // methods of the array would take much longer, ten times a second
    sum += sample * sample;
    if (sample > most) {
      most = sample;
    } else if (sample < least) {
      least = sample;
    }
  }
  const db = 10 * Math.log10(sum / Math.max(samples.length, 1) + 1e-12);
  return { level: Math.min(1, Math.max(0, 1 - db / floorDB)), peak: Math.max(most, -least) };
}

/** Where a peak stands in the bar, from 0 to 1. */
export function place(peakDB: number): number {
  return Math.min(1, Math.max(0, 1 - peakDB / floorDB));
}

/** Holds the loudest sample for a while, so that the eye can follow. */
export class PeakHold {
  private peak = 0;
  private peakAt = -Infinity;
  private clippedAt = -Infinity;

  read(peak: number, now: number): { peakDB: number; clipped: boolean } {
    if (peak >= this.peak || now - this.peakAt > holdMs) {
      this.peak = peak;
      this.peakAt = now;
    }
    if (peak > clippedPeak) {
      this.clippedAt = now;
    }
    return { peakDB: 20 * Math.log10(this.peak), clipped: now - this.clippedAt < clippedMs };
  }
}

/** More than comes between two readings, so that no peak is missed. */
const newestSamples = 8192;

/** The last two thirds of a second. */
const latestSamples = 32_768;

/** The newest samples of a sound, channel by channel. */
class Newest {
  private readonly analysers: AnalyserNode[];
  private readonly samples: Float32Array<ArrayBuffer>;

  /** count: a power of two, at most 32,768. */
  constructor(channels: ChannelSplitterNode, count: number) {
    this.samples = new Float32Array(count);
    this.analysers = Array.from({ length: channels.numberOfOutputs }, (_, channel) => {
      const analyser = channels.context.createAnalyser();
      analyser.fftSize = count;
      channels.connect(analyser, channel);
      return analyser;
    });
  }

  /** Of the loudest channel. */
  get loudness(): Loudness {
    const all = this.analysers.map((analyser) => {
      analyser.getFloatTimeDomainData(this.samples);
      return loudness(this.samples);
    });
    return { level: Math.max(...all.map(({ level }) => level)), peak: Math.max(...all.map(({ peak }) => peak)) };
  }
}

/** Shows the level of the louder channel of a sound, whenever it is read, until close is called. */
export class LevelMeter {
  private readonly audio = new AudioContext({ latencyHint: "playback" }); // it plays nothing: long blocks cost the browser less
  private readonly newest: Newest;
  private readonly latest: Newest;
  private readonly hold = new PeakHold();
  private readonly stream: MediaStream;
  private ear: AudioContext | null = null; // while the user hears the sound: with short blocks, so that he hears it at once
  private shown = 0;

  constructor(readonly track: MediaStreamTrack, private readonly show: (level: Level) => void) {
    this.stream = new MediaStream([track]);
    const splitter = this.audio.createChannelSplitter(track.getSettings().channelCount === 1 ? 1 : 2); // an analyser alone would mix two, and halve what is on one
    this.audio.createMediaStreamSource(this.stream).connect(splitter);
    this.newest = new Newest(splitter, newestSamples);
    this.latest = new Newest(splitter, latestSamples);
    keepRunning(this.audio);
  }

  close(): void {
    this.monitor(false);
    this.show(silence);
    void this.audio.close();
  }

  /** Lets the user hear the sound, or not. */
  monitor(wanted: boolean): void {
    if (!wanted) {
      void this.ear?.close();
      this.ear = null;
    } else if (!this.ear) {
      this.ear = new AudioContext();
      this.ear.createMediaStreamSource(this.stream).connect(this.ear.destination);
      keepRunning(this.ear);
    }
  }

  /** The largest sample of the last two thirds of a second, from 0 to 1; null while the browser gives no samples. */
  get peak(): number | null {
    return this.audio.state === "running" ? this.latest.loudness.peak : null;
  }

  /** Shows the level of now. */
  read(): void {
    const { level, peak } = this.newest.loudness;
    this.shown = Math.max(level, this.shown - 0.12); // it rises at once and falls slowly, so that the eye can follow
    this.show({ bar: this.shown, ...this.hold.read(peak, performance.now()) });
  }
}
