import type { PushRequest } from "../sdk/src/rest.ts";
import { asFailure, Failure, type Reason } from "./failure.ts";
import { inTime, patienceMs } from "./http.ts";
import { asList, Fields, type Rest } from "./rest.ts";

/** The state of a push at one moment, as the server tells it. Missing numbers are null; times are ms since 1970. */
export interface PushInfo {
  id: string;
  /** The name at the destination. */
  streamName: string;
  /** The name on this server. */
  sourceName: string;
  rtmpUrl: string;
  /** The address without secrets. */
  target: string;
  /** streamName is secret, so it must not be shown. */
  secretName: boolean;
  status: string;
  /** When that status began; 0 if unknown. */
  since: number;
  reason: string;
  /** The reason in words. */
  info: string;
  attempts: number | null;
  startedAt: number | null;
  endedAt: number | null;
  width: number;
  height: number;
  bitrateKbps: number | null;
  videoFrames: number | null;
  droppedFrames: number | null;
  queuedMs: number | null;
  keyIntervalMs: number | null;
  /** How the stream breaks the rules of the platform, in the server's words. */
  findings: { code: string; info: string }[];
  muted: boolean;
  /** The file that plays in place of the stream's sound; "" for none. */
  soundFile: string;
  /** Who has asked for it; null if nobody knows. */
  startedBy: Starter | null;
  /** The server of the cluster that runs the push. */
  node: string;
  /** That server does not answer, or has died: this is what was written last. */
  stale: boolean;
}

/** Who has asked for a push, and how. */
export interface Starter {
  /** How he has shown who he is, such as "user" or "local"; "" for the server itself. */
  kind: string;
  /** "" if he has none, or if the person at the page may not know. */
  name: string;
  via: string;
}

/** Which pushes of the history are wanted. A text that is "" and a time that is 0 match all. */
export interface PastFilter {
  text?: string;
  streamName?: string;
  status?: string;
  reason?: string;
  /** When the push ended, ms since 1970. */
  from?: number;
  to?: number;
  /** The id of the last push that is known, and when that one ended. */
  after?: string;
  afterEnded?: number;
  limit: number;
}

export type PushFilter = { streamName: string } | { mediaSessionId: string } | Record<string, never>;

/** The push methods of the REST API. Every error is a Failure. */
export class PushClient {
  constructor(private readonly rest: Rest) {}

  async startup(push: PushRequest): Promise<PushInfo> {
    return parsePush(await this.rest.ask("/push/startup", push, patienceMs.slow));
  }

  /** The pushes that match. Pushes that have ended are soon no longer among them. */
  async find(filter: PushFilter, signal?: AbortSignal): Promise<PushInfo[]> {
    return (await this.rest.search("/push/find", filter, signal)).map(parsePush);
  }

  /** The pushes that have ended, the newest first. */
  async history(limit: number, signal?: AbortSignal): Promise<PushInfo[]> {
    return asList(await inTime(patienceMs.quick, signal, (either) => this.rest.history(limit, { signal: either }))).map(parsePush);
  }

  /** The pushes that have ended and match, the newest first. */
  async past(filter: PastFilter): Promise<PushInfo[]> {
    const query = new URLSearchParams();
    for (const [name, value] of Object.entries(filter)) {
      if (value !== "" && value !== 0) {
        query.set(name, String(value));
      }
    }
    return asList(await inTime(patienceMs.quick, undefined, (signal) =>
      this.rest._request(`/push/history?${query}`, { signal }, (response) => response.json()))).map(parsePush);
  }

  /** Starts a push that is over again, with the same address and options. */
  async retry(id: string): Promise<PushInfo> {
    return parsePush(await this.rest.ask("/push/retry", { mediaSessionId: id }, patienceMs.slow));
  }

  /** Ends a push. The server first sends the media that it still holds. */
  terminate(id: string): Promise<void> {
    return this.rest.tell("/push/terminate", { mediaSessionId: id });
  }

  /** Sends silence, or sound again. */
  mute(id: string, muted: boolean): Promise<void> {
    return this.rest.tell(`/push/${muted ? "mute" : "unmute"}`, { mediaSessionId: id });
  }

  /** Sends a sound file of the server in place of the stream's sound. */
  async soundOn(id: string, file: string, loop: boolean): Promise<void> {
    try {
      await this.rest.order("/push/sound_on", { mediaSessionId: id, soundFile: file, loop }, patienceMs.slow);
    } catch (error) {
      const { reason, detail } = asFailure(error);
      throw new Failure(soundReasons.get(reason) ?? reason, detail);
    }
  }

  /** Sends the stream's own sound again. */
  soundOff(id: string): Promise<void> {
    return this.rest.tell("/push/sound_off", { mediaSessionId: id });
  }
}

/** The reasons of REST that mean something else for a sound file. */
const soundReasons = new Map<Reason, Reason>([["bad_request", "sound_refused"], ["not_found", "sound_missing"]]);

/** Reads a push from an answer. */
export function parsePush(value: unknown): PushInfo {
  const fields = new Fields(value);
  const id = fields.text("mediaSessionId");
  if (id === "") {
    throw new Failure("server_error", "the answer names no push");
  }
  return {
    id,
    streamName: fields.text("streamName"),
    sourceName: fields.text("sourceStreamName"),
    rtmpUrl: fields.text("rtmpUrl"),
    target: fields.text("target"),
    secretName: fields.value("secretName") !== false, // a name is secret unless the server says that it is not
    status: fields.text("status"),
    since: fields.number("since") ?? 0,
    reason: fields.text("reason"),
    info: fields.text("info"),
    attempts: fields.number("attempts"),
    startedAt: fields.number("startedAt"),
    endedAt: fields.number("endedAt"),
    width: fields.number("width") ?? 0,
    height: fields.number("height") ?? 0,
    bitrateKbps: fields.number("bitrate"),
    videoFrames: fields.number("videoFramesSent"),
    droppedFrames: fields.number("droppedFrames"),
    queuedMs: fields.number("queuedMs"),
    keyIntervalMs: fields.number("keyFrameIntervalMs"),
    findings: asList(fields.value("health")).map((one) => new Fields(one)).map((one) => ({ code: one.text("code"), info: one.text("info") })),
    muted: fields.flag("muted"),
    soundFile: fields.text("soundFile"),
    startedBy: parseStarter(fields.value("startedBy")),
    node: fields.text("nodeId"),
    stale: fields.flag("stale"),
  };
}

function parseStarter(value: unknown): Starter | null {
  const fields = new Fields(value);
  const via = fields.text("via");
  return via === "" ? null : { kind: fields.text("kind"), name: fields.text("name"), via };
}
