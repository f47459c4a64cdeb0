import { Failure, type Reason } from "./failure.ts";
import { errorText, patienceMs, request } from "./http.ts";

/** What is asked of the server: to send a stream to an RTMP address. */
export interface PushRequest {
  streamName: string;
  rtmpUrl: string;
  /** The address ends in the name or key to publish under; otherwise the server adds rtmp_NAME. */
  rtmpTransponderFullUrl: boolean;
}

/** What the server says of a push at one moment. Numbers that it does not give are null. */
export interface PushInfo {
  id: string;
  /** As published at the far end. */
  streamName: string;
  rtmpUrl: string;
  status: string;
  reason: string;
  /** In words. */
  info: string;
  attempts: number | null;
  width: number;
  height: number;
  bitrateKbps: number | null;
  videoFrames: number | null;
  droppedFrames: number | null;
  keyIntervalMs: number | null;
}

/** The push methods of the server's REST API. Every failure is a Failure. */
export class PushClient {
  constructor(private readonly base = "") {}

  async startup(push: PushRequest, signal: AbortSignal): Promise<PushInfo> {
    const response = await this.post("startup", push, patienceMs.slow, signal);
    if (!response.ok) {
      throw new Failure(startupReason(response.status), await errorText(response));
    }
    return parsePush(await json(response));
  }

  /** The push with this id; null when the server no longer knows it. */
  async find(id: string, signal: AbortSignal): Promise<PushInfo | null> {
    const response = await this.post("find", { mediaSessionId: id }, patienceMs.quick, signal);
    if (response.status === 404) {
      return null;
    }
    if (!response.ok) {
      throw new Failure(commonReason(response.status), await errorText(response));
    }
    const found = await json(response);
    return Array.isArray(found) && found.length > 0 ? parsePush(found[0]) : null;
  }

  /** Ends a push politely. One that is gone already is what was wanted. */
  async terminate(id: string): Promise<void> {
    const response = await this.post("terminate", { mediaSessionId: id }, patienceMs.quick);
    if (!response.ok && response.status !== 404) {
      throw new Failure(commonReason(response.status), await errorText(response));
    }
  }

  private post(method: string, body: object, waitMs: number, signal?: AbortSignal): Promise<Response> {
    return request(`${this.base}/rest-api/push/${method}`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
    }, waitMs, signal);
  }
}

function startupReason(status: number): Reason {
  switch (status) {
    case 400: return "bad_request";
    case 404: return "stream_missing";
    case 409: return "already_pushed";
    case 501: return "unsupported_request";
    default: return commonReason(status);
  }
}

/** The reason behind a status that means the same in every method. */
export function commonReason(status: number): Reason {
  switch (status) {
    case 401:
    case 403: return "unauthorized";
    case 429:
    case 503: return "server_busy";
    default: return "server_error";
  }
}

async function json(response: Response): Promise<unknown> {
  try {
    return await response.json();
  } catch {
    throw new Failure("server_error", "the answer is not JSON");
  }
}

/** Reads a push from an answer; fields that are missing or of another type are taken as not given. */
export function parsePush(value: unknown): PushInfo {
  const fields = (typeof value === "object" && value !== null ? value : {}) as Record<string, unknown>;
  const text = (key: string): string => (typeof fields[key] === "string" ? fields[key] : "");
  const number = (key: string): number | null =>
    typeof fields[key] === "number" && Number.isFinite(fields[key]) ? fields[key] : null;
  const id = text("mediaSessionId");
  if (id === "") {
    throw new Failure("server_error", "the answer names no push");
  }
  return {
    id,
    streamName: text("streamName"),
    rtmpUrl: text("rtmpUrl"),
    status: text("status"),
    reason: text("reason"),
    info: text("info"),
    attempts: number("attempts"),
    width: number("width") ?? 0,
    height: number("height") ?? 0,
    bitrateKbps: number("bitrate"),
    videoFrames: number("videoFramesSent"),
    droppedFrames: number("droppedFrames"),
    keyIntervalMs: number("keyFrameIntervalMs"),
  };
}
