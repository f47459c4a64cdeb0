/** Keeps the screen on while a stream runs: a phone whose screen goes dark stops its camera. Browsers that cannot do that do nothing. */
export class Awake {
  private wanted = false;
  private lock: Promise<WakeLockSentinel | null> | null = null;

  constructor() {
    // The browser takes the lock away from a page that nobody sees, and gives it to a page that is seen.
    document.addEventListener("visibilitychange", () => {
      if (this.wanted && document.visibilityState === "visible") {
        this.ask();
      }
    });
  }

  keep(wanted: boolean): void {
    if (wanted === this.wanted) {
      return;
    }
    this.wanted = wanted;
    if (wanted) {
      this.ask();
    } else {
      void this.lock?.then((lock) => lock?.release());
      this.lock = null;
    }
  }

  private ask(): void {
    this.lock = "wakeLock" in navigator ? navigator.wakeLock.request("screen").catch(() => null) : null;
  }
}
