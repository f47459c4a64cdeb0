/** How well the stream gets from the browser to the server. What is not known is null. */
export interface Health {
  width: number;
  height: number;
  framesPerSecond: number | null;
  kbps: number | null;
  /** Of the packets in the last moments, 0 to 1. */
  loss: number | null;
  roundTripMs: number | null;
  /** What has kept the picture from being better for a while. */
  limit: Limit;
}

type Limit = "none" | "cpu" | "bandwidth";

/** Every stream is limited while it begins. */
const patienceMs = 10_000;

/** What the browser counts, as far as it matters here. */
interface Counts {
  at: number;
  bytes: number;
  packets: number;
  lost: number | null;
}

type Entry = Record<string, unknown> & { type?: string; kind?: string };

/** Turns what the browser counts into what happened since the last time. */
export class HealthMeter {
  private last: Counts | null = null;
  private limit: Limit = "none";
  private limitedAt = 0;

  reset(): void {
    this.last = null;
    this.limit = "none";
  }

  /** entries are those of an RTCStatsReport. */
  read(entries: Iterable<unknown>): Health | null {
    const all = [...entries] as Entry[];
    const sent = all.filter(({ type }) => type === "outbound-rtp");
    const video = sent.find(({ kind }) => kind === "video");
    if (!video) {
      return null;
    }
    const heard = all.find(({ type, kind }) => type === "remote-inbound-rtp" && kind === "video");
    const now: Counts = {
      at: number(video["timestamp"]) ?? 0,
      bytes: sent.reduce((sum, entry) => sum + (number(entry["bytesSent"]) ?? 0), 0),
      packets: number(video["packetsSent"]) ?? 0,
      lost: number(heard?.["packetsLost"]),
    };
    const last = this.last;
    this.last = now;
    const pair = all.find((entry) => entry.type === "candidate-pair" && entry["nominated"] === true);
    const roundTrip = number(heard?.["roundTripTime"]) ?? number(pair?.["currentRoundTripTime"]);
    return {
      width: number(video["frameWidth"]) ?? 0,
      height: number(video["frameHeight"]) ?? 0,
      framesPerSecond: number(video["framesPerSecond"]),
      kbps: last && now.at > last.at ? ((now.bytes - last.bytes) * 8) / (now.at - last.at) : null,
      loss: last && loss(last, now),
      roundTripMs: roundTrip === null ? null : roundTrip * 1000,
      limit: this.lasting(video["qualityLimitationReason"], now.at),
    };
  }

  private lasting(reason: unknown, at: number): Limit {
    const limit = reason === "cpu" || reason === "bandwidth" ? reason : "none";
    if (limit !== this.limit) {
      this.limit = limit;
      this.limitedAt = at;
    }
    return at - this.limitedAt >= patienceMs ? limit : "none";
  }
}

/** The count of lost packets goes down when one is sent again, or comes late. */
function loss(last: Counts, now: Counts): number | null {
  const sent = now.packets - last.packets;
  if (now.lost === null || sent <= 0) {
    return null;
  }
  return Math.min(1, Math.max(0, now.lost - (last.lost ?? 0)) / sent);
}

function number(value: unknown): number | null {
  return typeof value === "number" && Number.isFinite(value) ? value : null;
}
