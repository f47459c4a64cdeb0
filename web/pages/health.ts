/** How well the stream gets from the browser to the server. An unknown number is null. */
export interface Health {
  width: number;
  height: number;
  framesPerSecond: number | null;
  kbps: number | null;
  /** The share of lost packets since the last reading, from 0 to 1. */
  loss: number | null;
  roundTripMs: number | null;
  /** What the browser believes that the network carries. */
  availableKbps: number | null;
  /** The reason why the picture has been worse than it could be for some time. Firefox tells none. */
  limit: Limit | null;
}

type Limit = "none" | "cpu" | "bandwidth";

/** A limit counts only after this time: every stream is limited at its start. */
const patienceMs = 10_000;

/** The counters of the browser that are needed here. */
interface Counts {
  at: number;
  bytes: number | null;
  packets: number | null;
  lost: number | null;
}

type Entry = Record<string, unknown> & { type?: string; kind?: string };

/** Turns the counters of the browser into rates since the last reading. */
export class HealthMeter {
  private last: Counts | null = null;
  private limit: Limit = "none";
  private limitedAt = 0;

  reset(): void {
    this.last = null;
    this.limit = "none";
  }

  /** entries: the values of an RTCStatsReport. */
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
      bytes: sent.map((entry) => number(entry["bytesSent"])).reduce((sum, bytes) => (sum === null || bytes === null ? null : sum + bytes), 0),
      packets: number(video["packetsSent"]),
      lost: number(heard?.["packetsLost"]),
    };
    const last = this.last;
    this.last = now;
    const pair = all.find((entry) => entry.type === "candidate-pair" && entry["nominated"] === true);
    const available = number(pair?.["availableOutgoingBitrate"]);
    const roundTrip = number(heard?.["roundTripTime"]) ?? number(pair?.["currentRoundTripTime"]);
    return {
      width: number(video["frameWidth"]) ?? 0,
      height: number(video["frameHeight"]) ?? 0,
      framesPerSecond: number(video["framesPerSecond"]),
      kbps: last && now.at > last.at && now.bytes !== null && last.bytes !== null ? ((now.bytes - last.bytes) * 8) / (now.at - last.at) : null,
      loss: last && loss(last, now),
      roundTripMs: roundTrip === null ? null : roundTrip * 1000,
      availableKbps: available === null ? null : available / 1000,
      limit: this.lasting(video["qualityLimitationReason"], now.at),
    };
  }

  private lasting(reason: unknown, at: number): Limit | null {
    if (typeof reason !== "string") {
      return null;
    }
    const limit = reason === "cpu" || reason === "bandwidth" ? reason : "none";
    if (limit !== this.limit) {
      this.limit = limit;
      this.limitedAt = at;
    }
    return at - this.limitedAt >= patienceMs ? limit : "none";
  }
}

/**
 * The counter of lost packets can go down: when a packet is sent again, or comes late. The first report of the far end is about all packets so far, and
 * not only about those since the last reading.
 */
function loss(last: Counts, now: Counts): number | null {
  if (now.lost === null || now.packets === null || last.packets === null) {
    return null;
  }
  const [lost, sent] = last.lost === null ? [now.lost, now.packets] : [now.lost - last.lost, now.packets - last.packets];
  return sent > 0 ? Math.min(1, Math.max(0, lost) / sent) : null;
}

function number(value: unknown): number | null {
  return typeof value === "number" && Number.isFinite(value) ? value : null;
}
