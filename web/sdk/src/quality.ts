import { CONNECTION_QUALITY, type ConnectionQuality } from "./constants.ts";

/** Below this a rate says little: only a big difference counts. */
const lowRateBPS = 50_000;

/** The share of the old value in a smoothed one: a second that is unlike the others is no news. */
const inertia = 0.7;

/** Compares the rate that one side sends with the one that the other side gets. */
export class QualityMeter {
  private bytes = 0;
  private at = 0;
  private ours = 0;
  private theirs = 0;

  /** bytes have been sent or received by now in all, and the server saw so many bit/s; null when that tells nothing yet. */
  measure(bytes: number, serverBPS: number, now = Date.now()): [quality: ConnectionQuality, ours: number, theirs: number] | null {
    const rate = ((bytes - this.bytes) * 8000) / (now - this.at);
    const first = this.at === 0;
    this.bytes = bytes;
    this.at = now;
    if (first || !(rate > 0) || !Number.isFinite(rate)) {
      return null;
    }
    this.ours = smooth(this.ours, rate);
    this.theirs = smooth(this.theirs, serverBPS);
    return [this.grade(), this.ours, this.theirs];
  }

  private grade(): ConnectionQuality {
    const difference = (Math.abs(this.theirs - this.ours) / ((this.theirs + this.ours) / 2)) * 100;
    if (Math.min(this.ours, this.theirs) < lowRateBPS) {
      return difference > 150 ? CONNECTION_QUALITY.BAD : CONNECTION_QUALITY.PERFECT;
    }
    if (difference > 50) {
      return CONNECTION_QUALITY.BAD;
    }
    return difference > 20 ? CONNECTION_QUALITY.GOOD : CONNECTION_QUALITY.PERFECT;
  }
}

function smooth(old: number, value: number): number {
  return old === 0 ? value : old * inertia + value * (1 - inertia);
}
