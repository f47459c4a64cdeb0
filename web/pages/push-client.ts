import { Failure, type Reason } from "./failure.ts";
import { errorText, patienceMs } from "./http.ts";
import { Fields, json, type Rest } from "./rest.ts";

/** What is asked of the server: to send a stream to an RTMP address. */
export interface PushRequest {
  streamName: string;
  rtmpUrl: string;
  /** The address ends in the name or key to publish under; otherwise that is the stream's name with the server's prefix. */
  rtmpTransponderFullUrl: boolean;
}

/** What the server says of a push at one moment. Numbers that it does not give are null; moments are ms since 1970. */
export interface PushInfo {
  id: string;
  /** As published at the far end. */
  streamName: string;
  /** As published to this server. */
  sourceName: string;
  rtmpUrl: string;
  /** Where it goes, without secrets. */
  target: string;
  /** streamName is not to be shown. */
  secretName: boolean;
  status: string;
  /** When that status began, 0 if it is not said. */
  since: number;
  reason: string;
  /** In words. */
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
  muted: boolean;
  /** The file that is heard in place of the stream's sound; "" for none. */
  soundFile: string;
}

export type PushFilter = { streamName: string } | { mediaSessionId: string } | Record<string, never>;

/** The push methods of the server's REST API. Every failure is a Failure. */
export class PushClient {
  constructor(private readonly rest: Rest) {}

  async startup(push: PushRequest): Promise<PushInfo> {
    const response = await this.rest.post("/push/startup", push, undefined, patienceMs.slow);
    if (!response.ok) {
      throw new Failure(startupReason(response.status), await errorText(response));
    }
    return parsePush(await json(response));
  }

  /** The pushes that match; those that are over are not among them, or not for long. */
  async find(filter: PushFilter, signal?: AbortSignal): Promise<PushInfo[]> {
    const response = await this.rest.post("/push/find", { ...filter, empty: true }, signal);
    return response.status === 404 ? [] : this.list(response);
  }

  /** Pushes that are over, the newest first. */
  async history(limit: number, signal?: AbortSignal): Promise<PushInfo[]> {
    return this.list(await this.rest.get(`/push/history?limit=${limit}`, signal));
  }

  /** Ends a push politely. One that is gone already is what was wanted. */
  terminate(id: string): Promise<void> {
    return this.tell("terminate", { mediaSessionId: id });
  }

  /** Silences a push, or lets it be heard again. */
  mute(id: string, muted: boolean): Promise<void> {
    return this.tell(muted ? "mute" : "unmute", { mediaSessionId: id });
  }

  /** Lets a file of the server be heard in place of the stream's sound. */
  async soundOn(id: string, file: string, loop: boolean): Promise<void> {
    const response = await this.rest.post("/push/sound_on", { mediaSessionId: id, soundFile: file, loop }, undefined, patienceMs.slow);
    if (!response.ok) {
      throw new Failure(soundReason(response.status), await errorText(response));
    }
  }

  soundOff(id: string): Promise<void> {
    return this.tell("sound_off", { mediaSessionId: id });
  }

  private async tell(method: string, body: object): Promise<void> {
    const response = await this.rest.post(`/push/${method}`, body);
    if (!response.ok && response.status !== 404) {
      throw new Failure(commonReason(response.status), await errorText(response));
    }
  }

  private async list(response: Response): Promise<PushInfo[]> {
    if (!response.ok) {
      throw new Failure(commonReason(response.status), await errorText(response));
    }
    const found = await json(response);
    return Array.isArray(found) ? found.map(parsePush) : [];
  }
}

function startupReason(status: number): Reason {
  switch (status) {
    case 400: return "bad_request";
    case 404: return "stream_missing";
    case 409: return "already_pushed";
    default: return commonReason(status);
  }
}

function soundReason(status: number): Reason {
  switch (status) {
    case 400: return "sound_refused";
    case 404: return "sound_missing";
    default: return commonReason(status);
  }
}

/** The reason behind a status that means the same in every method. */
export function commonReason(status: number): Reason {
  switch (status) {
    case 401:
    case 403: return "login_needed";
    case 429:
    case 503: return "server_busy";
    case 501: return "unsupported_request";
    default: return "server_error";
  }
}

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
    secretName: fields.value("secretName") !== false, // what nobody has called harmless is not
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
    muted: fields.flag("muted"),
    soundFile: fields.text("soundFile"),
  };
}
