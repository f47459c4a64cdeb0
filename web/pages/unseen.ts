// The server soon forgets a push that has failed. What failed while nobody was at the page stays in the list, and in the title, until somebody takes
// it out or starts it again.

import type { PushInfo } from "./push-client.ts";

/** The most pushes that are kept. The history of the server has the others. */
const mostKept = 200;

interface Failed {
  push: PushInfo;
  /** When the page has shown it first, as performance.now() counts; before all else if it was there when somebody opened the page. */
  since: number;
  /** The server has forgotten it. */
  kept: boolean;
}

export class Unseen {
  private readonly failed = new Map<string, Failed>();
  private touchedAt = 0; // when somebody last moved, pressed or turned something at the page
  private opened = false; // the page has shown pushes

  constructor() {
    for (const event of ["pointermove", "pointerdown", "keydown", "wheel"]) {
      addEventListener(event, () => (this.touchedAt = performance.now()), { capture: true, passive: true });
    }
  }

  /** The pushes that the server has, with those that failed unseen. */
  with(pushes: PushInfo[]): PushInfo[] {
    const there = new Set(pushes.map(({ id }) => id));
    for (const push of pushes) {
      if (push.status === "FAILED") {
        this.failed.set(push.id, { push, since: this.failed.get(push.id)?.since ?? (this.opened ? performance.now() : -1), kept: false });
      }
    }
    this.opened = true;
    for (const [id, one] of this.failed) {
      const seen = !one.kept && this.touchedAt > one.since;
      if (!there.has(id) && (seen || pushes.some((push) => follows(push, one.push)))) {
        this.failed.delete(id);
      } else {
        one.kept = !there.has(id);
      }
    }
    const kept = [...this.failed.values()].filter((one) => one.kept).map(({ push }) => push);
    this.forget(kept.splice(0, kept.length - mostKept).map(({ id }) => id));
    return kept.length === 0 ? pushes : [...pushes, ...kept].sort((a, b) => (a.startedAt ?? 0) - (b.startedAt ?? 0)); // as the server lists them
  }

  forget(ids: string[]): void {
    ids.forEach((id) => this.failed.delete(id));
  }

  clear(): void {
    this.failed.clear();
    this.opened = false;
  }
}

/** Whether a push goes on where one that has failed went: somebody has started it again. Of addresses with hidden keys nobody can tell. */
function follows(push: PushInfo, failed: PushInfo): boolean {
  return push.sourceName === failed.sourceName && push.rtmpUrl === failed.rtmpUrl && push.streamName === failed.streamName &&
    !`${push.rtmpUrl} ${push.streamName}`.includes("***") && (push.startedAt ?? 0) >= (failed.endedAt ?? Infinity);
}
