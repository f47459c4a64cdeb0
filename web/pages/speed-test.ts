import { sleep } from "../sdk/src/backoff.ts";
import { randomId } from "../sdk/src/id.ts";
import { Failure } from "./failure.ts";
import { Publisher } from "./publisher.ts";
import type { Ticket } from "./ticket.ts";

/** What the way to the server carried. */
export interface Speed {
  kbps: number;
  /** It may carry more: this computer did not send more. */
  atLeast: boolean;
  roundTripMs: number | null;
}

const lastsMs = 10_000;
const readingMs = 500;

/** The congestion control raises the bit rate to this, if the way carries it. The best quality needs half of it. */
const mostKbps = 10_000;

/** The estimate is of the last readings: the bit rate rises during the first ones. */
const lastReadings = 6;

/** So many steps at the top are enough. */
const enough = 3;

/** The best so many steps count: another program may have held this computer up during the others. */
const best = 4;

/**
 * Measures the upload to this server by publishing noise to it for ten seconds: over the same port and with the same congestion control as a
 * show. It needs the same right as a show, so the server has no door more for strangers. The noise has a stream name of
 * its own, so no destination gets it.
 */
export async function testUpload(
  name: string, ticket: (name: string) => Promise<Ticket>, onProgress: (share: number) => void, signal: AbortSignal,
): Promise<Speed> {
  const stream = noise();
  const own = `${name.slice(0, 80)}-speed-${randomId().slice(0, 8)}`;
  let held: Ticket | null = null;
  let publisher: Publisher | null = null;
  try {
    held = await ticket(own);
    signal.throwIfAborted();
    publisher = await Publisher.connect({
      name: own, stream: stream.media, kinds: ["video"], ticket: held, maxBitrateKbps: mostKbps, onChange: () => undefined,
    }, signal);
    return await measure(publisher, onProgress, signal);
  } finally {
    stream.end();
    await publisher?.close();
    held?.release();
  }
}

async function measure(publisher: Publisher, onProgress: (share: number) => void, signal: AbortSignal): Promise<Speed> {
  const readings: Reading[] = [];
  const began = Date.now();
  while (Date.now() - began < lastsMs) {
    await sleep(readingMs, signal);
    if (!publisher.connected) {
      throw new Failure("disconnected");
    }
    readings.push(read([...(await publisher.stats()).values()] as Entry[]));
    onProgress((Date.now() - began) / lastsMs);
    if (readings.length > enough && arrived(readings.slice(-enough - 1)) >= mostKbps) {
      break;
    }
  }
  return judge(readings);
}

interface Reading {
  /** ms */
  at: number;
  bytes: number;
  /** What the browser believes that the network carries, in kbit/s; null if it does not tell. */
  available: number | null;
  roundTripMs: number | null;
}

type Entry = Record<string, unknown> & { type?: string };

/** entries: the values of an RTCStatsReport. */
export function read(entries: Entry[]): Reading {
  const sent = entries.find(({ type }) => type === "outbound-rtp");
  const heard = entries.find(({ type }) => type === "remote-inbound-rtp");
  const pair = entries.find((entry) => entry.type === "candidate-pair" && entry["nominated"] === true);
  const number = (value: unknown): number | null => (typeof value === "number" && Number.isFinite(value) ? value : null);
  const lost = number(heard?.["packetsLost"]) ?? 0;
  const packets = number(sent?.["packetsSent"]) ?? 0;
  const bytes = ((number(sent?.["bytesSent"]) ?? 0) + (number(sent?.["headerBytesSent"]) ?? 0)) * (packets > 0 ? Math.max(0, 1 - lost / packets) : 1);
  const available = number(pair?.["availableOutgoingBitrate"]);
  const roundTrip = number(pair?.["currentRoundTripTime"]) ?? number(heard?.["roundTripTime"]);
  return {
    at: number(sent?.["timestamp"]) ?? 0, bytes, available: available === null ? null : available / 1000, roundTripMs: roundTrip === null ? null : roundTrip * 1000,
  };
}

/**
 * What got to the server in the best two seconds. The browser's own estimate, from the times at which the server got the packets, counts only where
 * it is lower: after a burst that a router let through it is too high.
 */
export function judge(readings: Reading[]): Speed {
  const end = readings.at(-1);
  if (!end || readings.length < 2) {
    throw new Failure("server_error", "the browser measured nothing");
  }
  const estimates = readings.slice(-lastReadings).map(({ available }) => available).filter((one) => one !== null).sort((a, b) => a - b);
  const estimate = estimates[Math.floor(estimates.length / 2)] ?? Infinity;
  const windows = readings.slice(Math.min(best, readings.length - 1)).map((_, i) => readings.slice(i, i + best + 1));
  const got = Math.max(...windows.map(arrived));
  return { kbps: Math.min(got, estimate, mostKbps), atLeast: got >= mostKbps || (got < 0.8 * estimate && estimate < Infinity), roundTripMs: end.roundTripMs };
}

/** The bit rate that got to the server between the first and the last of these readings. */
function arrived(readings: Reading[]): number {
  const [first, end] = [readings[0], readings.at(-1)];
  return first && end && end.at > first.at ? ((end.bytes - first.bytes) * 8) / (end.at - first.at) : 0;
}

/**
 * Grain that no frame predicts from the last one, and so faint that an encoder can make it as large or as small as the bit rate asks: strong noise would
 * be too large for a slow way, and the encoder would leave frames out.
 */
function noise(): { media: MediaStream; end: () => void } {
  const [width, height] = [640, 360];
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  const tile = new OffscreenCanvas(256, 256);
  const drawn = tile.getContext("2d");
  if (!context || !drawn) {
    throw new Failure("unsupported_browser");
  }
  const grain = drawn.createImageData(256, 256);
  const words = new Uint32Array(grain.data.buffer);
  for (let i = 0; i < words.length; i++) {
    words[i] = 0xff00_0000 + (108 + Math.floor(Math.random() * 40)) * 0x1_0101;
  }
  drawn.putImageData(grain, 0, 0);
  const draw = (): void => {
    const [left, up] = [Math.random() * 256, Math.random() * 256];
    for (let x = -left; x < width; x += 256) {
      for (let y = -up; y < height; y += 256) {
        context.drawImage(tile, x, y);
      }
    }
  };
  draw();
  const timer = setInterval(draw, 33); // a page in the background gets no animation frames
  const media = canvas.captureStream(30);
  return { media, end: () => { clearInterval(timer); media.getTracks().forEach((track) => track.stop()); } };
}
