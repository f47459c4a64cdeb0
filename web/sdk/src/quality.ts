import type { ConnectionQuality } from "./constants.ts";

/** Below this a rate says little: only a big difference counts. */
const lowRateBPS = 50_000;

/** The share of the old value in a smoothed one: a second that is unlike the others is no news. */
const inertia = 0.7;

/** Compares the rate that one side sends with the one that the other side gets. */
export class QualityMeter {
  private _bytes = 0;
  private _at = 0;
  private _ours = 0;
  private _theirs = 0;

  /** bytes have been sent or received by now in all, and the server saw so many bit/s; null when that tells nothing yet. */
  measure(bytes: number, serverBPS: number, now = Date.now()): [quality: ConnectionQuality, ours: number, theirs: number] | null {
    const rate = ((bytes - this._bytes) * 8000) / (now - this._at);
    const first = this._at === 0;
    this._bytes = bytes;
    this._at = now;
    if (first || !(rate > 0) || !Number.isFinite(rate)) {
      return null;
    }
    this._ours = smooth(this._ours, rate);
    this._theirs = smooth(this._theirs, serverBPS);
    return [this._grade(), this._ours, this._theirs];
  }

  private _grade(): ConnectionQuality {
    const difference = (Math.abs(this._theirs - this._ours) / ((this._theirs + this._ours) / 2)) * 100;
    if (Math.min(this._ours, this._theirs) < lowRateBPS) {
      return difference > 150 ? "BAD" : "PERFECT";
    }
    if (difference > 50) {
      return "BAD";
    }
    return difference > 20 ? "GOOD" : "PERFECT";
  }
}

function smooth(old: number, value: number): number {
  return old === 0 ? value : old * inertia + value * (1 - inertia);
}
