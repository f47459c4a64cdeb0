import type { Stream } from "./index.ts";

/** The stream is looked at in this interval. */
const intervalMs = 1000;

/** A publisher that has sent nothing for so long is away. The browser asks for the server's answer about every 2.5 s. */
const awayAfterMs = 3000;

/**
 * Finds out whether the publisher of a played stream is away: nothing of sound and pictures arrives, although the server answers. The server
 * then waits for the publisher, by default for 30 s. It says nothing to players until it has given up the publisher.
 */
export class Presence {
  private timer: ReturnType<typeof setInterval> | undefined;
  private bytes = -1;
  private answers = 0;
  private since = 0;
  private away = false;

  /** Calls `told` with true when the publisher is away, and with false when sound or pictures come again. */
  constructor(private readonly stream: Stream, private readonly told: (away: boolean) => void) {}

  /** Begins to look. The publisher counts as being here at first. */
  start(): void {
    this.stop();
    this.bytes = -1;
    this.timer = setInterval(() => void this.look().catch(() => undefined), intervalMs); // the stream may have ended
  }

  /** Looks no more. */
  stop(): void {
    clearInterval(this.timer);
    this.away = false;
  }

  private async look(): Promise<void> {
    const { timer } = this;
    const reports = await this.stream.getStats(null, true) as RTCStatsReport;
    if (timer === this.timer) {
      this.judge(reports, performance.now());
    }
  }

  private judge(reports: RTCStatsReport, now: number): void {
    let [bytes, answers] = [0, 0];
    reports.forEach(({ bytesReceived = 0, nominated, responsesReceived = 0, type }) => {
      bytes += type === "inbound-rtp" ? bytesReceived : 0;
      answers += type === "candidate-pair" && nominated ? responsesReceived : 0;
    });
    if (bytes !== this.bytes) {
      this.bytes = bytes;
      this.answers = answers;
      this.since = now;
    }
    const away = now - this.since >= awayAfterMs && answers > this.answers;
    if (away !== this.away && (away || this.since === now)) {
      this.away = away;
      this.told(away);
    }
  }
}
