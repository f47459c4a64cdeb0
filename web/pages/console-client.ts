import { Failure } from "./failure.ts";
import { errorText } from "./http.ts";
import { commonReason } from "./push-client.ts";
import { Fields, json, type Rest } from "./rest.ts";

/** A stream that somebody publishes to the server, or plays from it. */
export interface StreamInfo {
  id: string;
  name: string;
  width: number;
  height: number;
  framesPerSecond: number | null;
  videoCodec: string;
  audioCodec: string;
  /** Of picture and sound. */
  bitrateKbps: number | null;
  /** It is played: it leaves the server. */
  plays: boolean;
  /** How it comes or goes, such as WebRTC. */
  provider: string;
  createdAt: number | null;
}

/** A session of the Web SDK's signalling. */
export interface SessionInfo {
  id: string;
  app: string;
  connected: boolean;
  address: string;
  origin: string;
  publishers: number;
  players: number;
  createdAt: number | null;
}

/** What the console asks of the server beside pushes. Every failure is a Failure. */
export class ConsoleClient {
  constructor(private readonly rest: Rest) {}

  async streams(signal: AbortSignal): Promise<StreamInfo[]> {
    return (await this.list("/stream/find_all", signal)).map(parseStream);
  }

  async sessions(signal: AbortSignal): Promise<SessionInfo[]> {
    return (await this.list("/connection/find_all", signal)).map(parseSession);
  }

  stopStream(id: string): Promise<void> {
    return this.tell("/stream/terminate", { mediaSessionId: id });
  }

  endSession(id: string): Promise<void> {
    return this.tell("/connection/terminate", { sessionId: id });
  }

  /** Nothing found is 404, unless an empty list is asked for, of which the browser does not complain. */
  private async list(path: string, signal: AbortSignal): Promise<unknown[]> {
    const response = await this.rest.post(path, { empty: true }, signal);
    if (response.status === 404) {
      return [];
    }
    if (!response.ok) {
      throw new Failure(commonReason(response.status), await errorText(response));
    }
    const found = await json(response);
    return Array.isArray(found) ? found : [];
  }

  private async tell(path: string, body: object): Promise<void> {
    const response = await this.rest.post(path, body);
    if (!response.ok && response.status !== 404) {
      throw new Failure(commonReason(response.status), await errorText(response));
    }
  }
}

export function parseStream(value: unknown): StreamInfo {
  const fields = new Fields(value);
  const video = fields.number("bitrate");
  return {
    id: fields.text("mediaSessionId"),
    name: fields.text("name"),
    width: fields.number("width") ?? 0,
    height: fields.number("height") ?? 0,
    framesPerSecond: fields.number("fps"),
    videoCodec: fields.text("videoCodec"),
    audioCodec: fields.text("audioCodec"),
    bitrateKbps: video === null ? null : video + (fields.number("audioBitrate") ?? 0),
    plays: fields.text("mediaType") === "play",
    provider: fields.text("mediaProvider"),
    createdAt: fields.number("createDate"),
  };
}

export function parseSession(value: unknown): SessionInfo {
  const fields = new Fields(value);
  return {
    id: fields.text("sessionId"),
    app: fields.text("appKey"),
    connected: fields.text("status") !== "DISCONNECTED",
    address: fields.text("clientAddress"),
    origin: fields.text("origin"),
    publishers: fields.number("publishers") ?? 0,
    players: fields.number("players") ?? 0,
    createdAt: fields.number("createDate"),
  };
}
