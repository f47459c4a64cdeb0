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

/** The level of a block of samples, from 0 (silence) to 1 (full scale), linear in decibels. */
export function level(samples: Float32Array): number {
  let sum = 0;
  for (const sample of samples) {
    sum += sample * sample;
  }
  const db = 10 * Math.log10(sum / Math.max(samples.length, 1) + 1e-12);
  return Math.min(1, Math.max(0, 1 - db / floorDB));
}

/** Where a peak stands in the bar, from 0 to 1. */
export function place(peakDB: number): number {
  return Math.min(1, Math.max(0, 1 - peakDB / floorDB));
}

export function highest(samples: Float32Array): number {
  let most = 0;
  for (const sample of samples) { // reduce would take much longer, ten times a second
    most = Math.max(most, Math.abs(sample));
  }
  return most;
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

/** A reading for each picture of the screen would cost as much as sending the stream: the browser paints the page each time. */
const readingMs = 100;

/** More than comes between two readings, so that no peak is missed. */
const newestSamples = 8192;

/** Shows the level of the louder channel of a sound until close is called. */
export class LevelMeter {
  private readonly audio = new AudioContext();
  private readonly source: MediaStreamAudioSourceNode;
  private readonly recent: AnalyserNode[];
  private readonly samples = new Float32Array(32_768); // the last two thirds of a second
  private readonly hold = new PeakHold();
  private timer = 0;
  private heard = false;
  private shown = 0;

  constructor(readonly track: MediaStreamTrack, private readonly show: (level: Level) => void) {
    this.source = this.audio.createMediaStreamSource(new MediaStream([track]));
    const splitter = this.audio.createChannelSplitter(2); // an analyser would mix the channels, and halve what is on one alone
    this.source.connect(splitter);
    this.recent = [0, 1].map((channel) => {
      const analyser = this.audio.createAnalyser();
      analyser.fftSize = this.samples.length;
      splitter.connect(analyser, channel);
      return analyser;
    });
    void this.audio.resume();
    this.timer = setInterval(() => this.tick(), readingMs);
  }

  close(): void {
    clearInterval(this.timer);
    this.show(silence);
    void this.audio.close();
  }

  /** Lets the user hear the sound, or not. */
  monitor(wanted: boolean): void {
    if (wanted !== this.heard) {
      this.heard = wanted;
      wanted ? this.source.connect(this.audio.destination) : this.source.disconnect(this.audio.destination);
    }
  }

  /** The largest sample of the last two thirds of a second, from 0 to 1; null while the browser gives no samples. */
  get peak(): number | null {
    return this.audio.state === "running" ? Math.max(...this.read(highest)) : null;
  }

  /** Measures each channel. */
  private read(measure: (samples: Float32Array) => number): number[] {
    return this.recent.map((analyser) => {
      analyser.getFloatTimeDomainData(this.samples);
      return measure(this.samples);
    });
  }

  private tick(): void {
    if (document.hidden) {
      return;
    }
    const peaks: number[] = [];
    const levels = this.read((samples) => {
      const newest = samples.subarray(-newestSamples);
      peaks.push(highest(newest));
      return level(newest);
    });
    // It rises at once and falls slowly, so that the eye can follow.
    this.shown = Math.max(...levels, this.shown - 0.12);
    this.show({ bar: this.shown, ...this.hold.read(Math.max(...peaks), performance.now()) });
  }
}
