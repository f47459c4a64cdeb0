import type { ConnectionQuality } from "./constants.ts";

/** Below this rate, only a big difference counts: small rates vary much. */
const lowRateBPS = 50_000;

/** The share of the old value in a smoothed value. It keeps one unusual second from changing the grade. */
const inertia = 0.7;

/** Compares the rate that one side sends with the rate that the other side receives. */
export class QualityMeter {
  private _bytes = 0;
  private _at = NaN;
  private _ours = 0;
  private _theirs = 0;

  /** Takes the total of bytes sent or received so far, and the rate that the server counts. Returns null if there is no rate yet. */
  _measure(bytes: number, serverBPS: number, now = Date.now()): [quality: ConnectionQuality, ours: number, theirs: number] | null {
    const rate = ((bytes - this._bytes) * 8000) / (now - this._at);
    this._bytes = bytes;
    this._at = now;
    if (!(rate > 0 && rate < Infinity)) {
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
