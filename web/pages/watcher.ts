import { sleep } from "../sdk/src/backoff.ts";
import { longMs } from "./bell.ts";
import { asFailure, type Failure } from "./failure.ts";
import type { Playback, PlaybackOptions } from "./playback.ts";

/** What a viewer sees of a stream. */
export type Sight =
  | "connecting" // nothing is known yet
  | "playing"
  | "interrupted" // the publisher is away, and the server waits for it
  | "offline" // nobody publishes it, and this page has not seen it
  | "ended" // nobody publishes it any more
  | "unauthorized" // the server wants to know who watches
  | "forbidden"
  | "busy"
  | "away" // the server does not answer
  | "failed"; // media cannot come, or not be shown

export interface Audience {
  sight: (sight: Sight, failure: Failure | null) => void;
  /** The server lets this page play, and the stream has not come yet. */
  accepted?: () => void;
  /** The session that plays; null when it has ended. */
  playback: (playback: Playback | null) => void;
}

/** A stream that is not there is asked for after this pause; after a minute, more seldom. */
const soonMs = 2000;
const laterMs = 5000;
const manyTries = 30;

/** Plays a stream, and again whenever it comes back. It waits for wake() where only a person can help. */
export class Watcher {
  private woken = new AbortController();
  private seen = false;

  /** open: Playback.open, or another one in tests. token is asked before each attempt. */
  constructor(
    private readonly open: (options: PlaybackOptions, signal: AbortSignal) => Promise<Pick<Playback, "ended" | "close">>,
    private readonly name: string,
    private readonly token: () => Promise<string>,
    private readonly audience: Audience,
  ) {}

  /** Tries again at once, as after somebody has signed in. */
  wake(): void {
    this.woken.abort();
  }

  /** Plays until the signal aborts. It never fails. */
  async run(signal: AbortSignal): Promise<void> {
    for (let tries = 0; !signal.aborted; tries++) {
      const failure = await this.play(signal).catch(asFailure);
      if (signal.aborted) {
        return;
      }
      if (failure === null) {
        tries = 0; // it has played until now: perhaps the next publisher is there already
      }
      const sight = failure ? this.sightOf(failure) : null;
      if (sight) {
        this.audience.sight(sight, failure);
      }
      this.woken = new AbortController();
      const stuck = sight === "unauthorized" || sight === "forbidden";
      const pauseMs = stuck ? longMs : tries > manyTries || sight === "busy" ? laterMs : failure ? soonMs : 200;
      await sleep(pauseMs, AbortSignal.any([signal, this.woken.signal])).catch(() => undefined);
    }
  }

  /** Resolves to null when a session has ended that has played. */
  private async play(signal: AbortSignal): Promise<null> {
    const playback = await this.open({
      name: this.name, token: await this.token(), onAccepted: () => this.audience.accepted?.(), onAway: (away) => this.audience.sight(away ? "interrupted" : "playing", null),
    }, signal);
    try {
      this.seen = true;
      this.audience.playback(playback as Playback);
      this.audience.sight("playing", null);
      await playback.ended(signal);
      return null;
    } finally {
      void playback.close();
      this.audience.playback(null);
    }
  }

  private sightOf({ reason }: Failure): Sight {
    switch (reason) {
      case "not_found": return this.seen ? "ended" : "offline";
      case "unauthorized": return "unauthorized";
      case "forbidden": return "forbidden";
      case "too_many_tries":
      case "busy": return "busy";
      case "server_gone": return "away";
      default: return "failed";
    }
  }
}
