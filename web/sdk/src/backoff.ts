import { abortable, deferred } from "./errors.ts";

/** How often a lost connection is opened again, and after which pauses. */
export interface Backoff {
  /** Attempts in a row before giving up; 20 by default. It may be Infinity. */
  attempts?: number;
  /** The pause before the first attempt; 500 ms by default. */
  firstPauseMs?: number;
  /** Each pause is this many times as long as the one before; 2 by default. */
  factor?: number;
  /** The longest pause; 10,000 ms by default. */
  maxPauseMs?: number;
  /** Each pause is shortened at random by up to this share (0 to 1), so that clients do not all come back at once; 0.3 by default. */
  jitter?: number;
}

/** After a connection has held for so long, attempts and pauses are counted from the start again. */
const healthyMs = 10_000;

/** The pauses between attempts. */
export class Pauses {
  private readonly _policy: Required<Backoff>;
  private _used = 0;
  private _since = Infinity;

  constructor(policy: Backoff) {
    this._policy = { attempts: 20, firstPauseMs: 500, factor: 2, maxPauseMs: 10_000, jitter: 0.3, ...policy };
  }

  /** The last attempt succeeded. */
  _succeeded(): void {
    this._since = Date.now();
  }

  /** The pause before the next attempt; null if no attempt is left. */
  _next(): number | null {
    const { attempts, factor, firstPauseMs, jitter, maxPauseMs } = this._policy;
    if (Date.now() - this._since >= healthyMs) {
      this._used = 0;
    }
    this._since = Infinity;
    if (this._used >= attempts) {
      return null;
    }
    const pause = Math.min(firstPauseMs * factor ** this._used++, maxPauseMs);
    return pause * (1 - jitter * Math.random());
  }
}

/** Waits. Rejects with the signal's reason if it aborts. */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  const over = deferred<void>();
  const timer = setTimeout(over._resolve, ms);
  return abortable(over, signal, () => clearTimeout(timer));
}
