/** The frame rate of a mixed picture. */
export const frameRate = 30;

const periodMs = 1000 / frameRate;

/**
 * Says when to paint. A picture of the leading source is painted at once, so that it is not late against the sound. If none comes in time, as
 * from a screen on which nothing moves, the clock has the last ones painted again.
 */
export class MixerClock {
  private last = -Infinity;
  private due = 0;

  constructor(private readonly paint: () => void) {}

  /** A picture of the leading source has come. */
  lead(now: number): void {
    if (now - this.last > 0.6 * periodMs) { // otherwise the source is faster than the show
      this.run(now, now + 1.5 * periodMs);
    }
  }

  /** Looks at the clock. Returns after how many ms to look again. */
  look(now: number): number {
    if (now >= this.due) {
      const late = now - this.due > periodMs; // the computer is busy: what was missed is not made up for
      this.run(now, (late ? now : this.due) + periodMs);
    }
    return Math.max(1, this.due - now);
  }

  private run(now: number, due: number): void {
    this.last = now;
    this.due = due;
    this.paint();
  }
}
