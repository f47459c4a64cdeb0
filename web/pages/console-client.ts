import { Fields, type Rest } from "./rest.ts";

/** A stream that somebody publishes to the server, or plays from it. */
export interface StreamInfo {
  id: string;
  name: string;
  width: number;
  height: number;
  framesPerSecond: number | null;
  videoCodec: string;
  audioCodec: string;
  /** Of picture and sound together. */
  bitrateKbps: number | null;
  /** A player of the stream, not its publisher. */
  plays: boolean;
  /** The protocol, such as WebRTC. */
  provider: string;
  createdAt: number | null;
}

/** How a stream gets to the server. Numbers of packets count since it began, and are null if it does not come over WebRTC. */
export interface PublisherInfo extends StreamInfo {
  /** False: it said that it would send sound only. */
  hasVideo: boolean;
  transport: string;
  keyIntervalMs: number | null;
  packets: number | null;
  lost: number | null;
  jitterMs: number | null;
  roundTripMs: number | null;
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

/** A server of the cluster. */
export interface NodeInfo {
  id: string;
  /** It is the server that answers. */
  self: boolean;
  /** ready, full or draining. */
  state: string;
  version: string;
  cores: number;
  /** 0: there is no limit. */
  coresAllowed: number;
  streams: number;
  pushes: number;
  players: number;
  startedAt: number | null;
}

/** The requests of the console, except those about pushes. Every error is a Failure. */
export class ConsoleClient {
  constructor(private readonly rest: Rest) {}

  async streams(): Promise<StreamInfo[]> {
    return (await this.rest.search("/stream/find_all", {})).map(parseStream);
  }

  /** The publisher of a stream, and how many play it; null if nobody publishes it. */
  async stream(name: string): Promise<{ publisher: PublisherInfo; players: number } | null> {
    const all = (await this.rest.search("/stream/find", { name })).map((one) => new Fields(one));
    const publisher = all.find((one) => one.flag("published") && !one.flag("standby"));
    return publisher ? { publisher: parsePublisher(publisher), players: all.filter((one) => !one.flag("published")).length } : null;
  }

  /** The names and labels of the destinations that the person at the page may push to. */
  async destinations(): Promise<(readonly [name: string, label: string])[]> {
    return (await this.rest.search("/destination/find_all", {})).map((one) => new Fields(one)).map((one) => [one.text("name"), one.text("label")] as const);
  }

  async sessions(): Promise<SessionInfo[]> {
    return (await this.rest.search("/connection/find_all", {})).map(parseSession);
  }

  async nodes(): Promise<NodeInfo[]> {
    return (await this.rest.search("/node/find_all", {})).map(parseNode);
  }

  /** The server takes no new streams, and stops when its last one has ended, at the latest after a time. */
  drain(node: string, finishMs: number): Promise<void> {
    return this.rest.tell("/node/drain", { nodeId: node, finishMs });
  }

  /** Takes drain back. */
  resume(node: string): Promise<void> {
    return this.rest.tell("/node/resume", { nodeId: node });
  }

  stopStream(id: string): Promise<void> {
    return this.rest.tell("/stream/terminate", { mediaSessionId: id });
  }

  endSession(id: string): Promise<void> {
    return this.rest.tell("/connection/terminate", { sessionId: id });
  }
}

export function parseStream(value: unknown): StreamInfo {
  return parseStreamFields(new Fields(value));
}

function parseStreamFields(fields: Fields): StreamInfo {
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

function parsePublisher(fields: Fields): PublisherInfo {
  const reception = new Fields(fields.value("reception"));
  const [fps, gop] = [fields.number("fps") ?? 0, fields.number("gop") ?? 0];
  return {
    ...parseStreamFields(fields),
    hasVideo: fields.flag("hasVideo"),
    transport: fields.text("transport"),
    keyIntervalMs: fps > 0 && gop > 0 ? (gop / fps) * 1000 : null,
    packets: reception.number("packets"),
    lost: reception.number("lost"),
    jitterMs: reception.number("jitterMs"),
    roundTripMs: reception.number("roundTripMs"),
  };
}

export function parseNode(value: unknown): NodeInfo {
  const fields = new Fields(value);
  return {
    id: fields.text("nodeId"),
    self: fields.flag("self"),
    state: fields.text("state"),
    version: fields.text("version"),
    cores: fields.number("cores") ?? 0,
    coresAllowed: fields.number("coresAllowed") ?? 0,
    streams: fields.number("streams") ?? 0,
    pushes: fields.number("pushes") ?? 0,
    players: fields.number("players") ?? 0,
    startedAt: fields.number("startedAt"),
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
