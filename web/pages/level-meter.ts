/** A microphone below this level counts as silent. */
const floorDB = -60;

/** The level of a block of samples, from 0 (silence) to 1 (full scale), linear in decibels. */
export function level(samples: Float32Array): number {
  let sum = 0;
  for (const sample of samples) {
    sum += sample * sample;
  }
  const db = 10 * Math.log10(sum / Math.max(samples.length, 1) + 1e-12);
  return Math.min(1, Math.max(0, 1 - db / floorDB));
}

/** Shows the level of a microphone until close is called. */
export class LevelMeter {
  private readonly audio = new AudioContext();
  private readonly analyser: AnalyserNode;
  private readonly samples: Float32Array<ArrayBuffer>;
  private frame = 0;
  private shown = 0;

  constructor(readonly track: MediaStreamTrack, private readonly show: (level: number) => void) {
    this.analyser = this.audio.createAnalyser();
    this.analyser.fftSize = 1024;
    this.samples = new Float32Array(this.analyser.fftSize);
    this.audio.createMediaStreamSource(new MediaStream([track])).connect(this.analyser);
    void this.audio.resume();
    this.tick();
  }

  close(): void {
    cancelAnimationFrame(this.frame);
    this.show(0);
    void this.audio.close();
  }

  private readonly tick = (): void => {
    this.analyser.getFloatTimeDomainData(this.samples);
    // It rises at once and falls slowly, so that the eye can follow.
    this.shown = Math.max(level(this.samples), this.shown - 0.02);
    this.show(this.shown);
    this.frame = requestAnimationFrame(this.tick);
  };
}
