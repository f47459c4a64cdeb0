import { sleep } from "../sdk/src/backoff.ts";

/** Ends a wait early. A ring while nobody waits ends the next wait at once. */
export class Bell {
  private rung = new AbortController();

  ring(): void {
    this.rung.abort();
  }

  /** Waits for a ring, or so long. Rejects with the signal's reason if it aborts. */
  async wait(ms: number, signal: AbortSignal): Promise<void> {
    await sleep(ms, AbortSignal.any([signal, this.rung.signal])).catch(() => signal.throwIfAborted());
    this.rung = new AbortController();
  }
}

/** As good as for ever: the longest time that setTimeout can wait. */
export const longMs = 2 ** 31 - 1;
