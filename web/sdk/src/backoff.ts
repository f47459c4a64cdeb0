/** How often, and how patiently, what was lost is opened anew. */
export interface Backoff {
  /** Attempts in a row before giving up; 20 if absent, and Infinity may be said. */
  attempts?: number;
  /** The pause before the first attempt; 500 ms if absent. */
  firstPauseMs?: number;
  /** Each pause is so many times the one before; 2 if absent. */
  factor?: number;
  /** But no longer than this; 10,000 ms if absent. */
  maxPauseMs?: number;
  /** The share, 0 to 1, by which a pause is shortened at random, so that not all come back at once; 0.3 if absent. */
  jitter?: number;
}

/** What held for so long was well: attempts and pauses begin anew. */
const healthyMs = 10_000;

/** The pauses between attempts. */
export class Pauses {
  private readonly policy: Required<Backoff>;
  private used = 0;
  private since = Infinity;

  constructor(policy: Backoff) {
    this.policy = { attempts: 20, firstPauseMs: 500, factor: 2, maxPauseMs: 10_000, jitter: 0.3, ...policy };
  }

  /** The last attempt succeeded. */
  succeeded(): void {
    this.since = Date.now();
  }

  /** The pause before the next attempt; null when there is none left. */
  next(): number | null {
    const { attempts, factor, firstPauseMs, jitter, maxPauseMs } = this.policy;
    if (Date.now() - this.since >= healthyMs) {
      this.used = 0;
    }
    this.since = Infinity;
    if (this.used >= attempts) {
      return null;
    }
    const pause = Math.min(firstPauseMs * factor ** this.used++, maxPauseMs);
    return pause * (1 - jitter * Math.random());
  }
}

/** Rejects with the signal's reason when it aborts. */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = (): void => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", abort);
      resolve();
    }, ms);
    signal?.aborted ? abort() : signal?.addEventListener("abort", abort, { once: true });
  });
}
