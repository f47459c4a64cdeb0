import { type Backoff, Pauses, sleep } from "./backoff.ts";
import { type Reason, SdkError } from "./errors.ts";
import { type ServerEvent, serverEvents, silenceTimer } from "./sse.ts";
import type { Abortable } from "./stream-options.ts";

/** The address of the REST API, and the login. */
export interface RestOptions {
  /** Such as `https://host:8444`; by default the server of the page. */
  url?: string;
  /** The name, with `password`, for servers that ask for a login. */
  user?: string;
  password?: string;
  /** A token (JWT) or a key, in place of name and password. */
  token?: string;
  /** When `push.states` opens a lost connection again. */
  reconnect?: Backoff;
}

/** When a push reconnects; see docs/rest.md. */
export interface RestorePolicy {
  attempts: number | "unlimited";
  firstPauseMs?: number;
  factor?: number;
  maxPauseMs?: number;
  jitter?: number;
  healthyForMs?: number;
}

/** The options of a push; see docs/rest.md. */
export interface PushOptions {
  action?: "mute" | "sound_on";
  soundFile?: string;
  loop?: boolean;
  restore?: RestorePolicy;
  onSourceLoss?: "end" | "hold";
  holdMs?: number;
  resumeMs?: number;
  slate?: string;
  picture?: string;
  audioCodec?: "aac" | "pcma" | "pcmu" | "speex";
  audioBitrate?: number;
  audioRate?: number;
  audioChannels?: number;
  bitrate?: number;
  fit?: "letterbox";
  codecs?: ("hevc" | "av1" | "vp9" | "opus")[];
  backupUrls?: string[];
  failBack?: boolean;
  simultaneous?: boolean;
  /** Sent when the stream fails, in this order. */
  backupStreams?: string[];
  backupAfterMs?: number;
  return?: "auto" | "manual";
}

/** The request for a push; see docs/rest.md. */
export interface PushRequest {
  /** The name of the stream on this server. */
  streamName: string;
  /** rtmp:// or rtmps://. */
  rtmpUrl: string;
  /** The address ends with the name to publish under, such as the stream key of a platform. */
  rtmpTransponderFullUrl?: boolean;
  rtmpFlashVersion?: string;
  width?: number;
  height?: number;
  keyFrameInterval?: number;
  fps?: number;
  options?: PushOptions;
}

/** The states of a push. ENDED and FAILED are final. */
export type PushStatus = "STARTING" | "CONNECTING" | "PUBLISHING" | "DEGRADED" | "HOLDING" | "RECONNECTING" | "DRAINING"
  | "AWAITING" | "ENDED" | "FAILED";

/** The state of a push, as `push.states` gives it. */
export interface PushState {
  status: PushStatus;
  /** Why the push is not live, from the list in docs/rest.md; empty if it is live. */
  reason: string;
  /** The class of the reason, which says whether the push can recover. */
  reasonClass: "" | "permanent" | "transient" | "policy" | "source" | "operator";
  /** The reason in words. */
  info: string;
  attempts: number;
  /** When this state began. All times are milliseconds since 1970. */
  since: number;
  /** When the next attempt begins; only in RECONNECTING. */
  nextRetryAt?: number;
  /** Bytes that the RTMP server has acknowledged. */
  bytesAcked: number;
}

/** One of several addresses of a push. */
export interface PushAddress {
  /** Without secrets. */
  target: string;
  /** Of the push at this address; STANDBY: the stream does not go there. */
  status: PushStatus | "STANDBY";
  /** Why the last connection to this address failed or ended; empty if there was none since the server took the stream. */
  reason: string;
  /** The reason in words. */
  info: string;
  failedAt?: number;
  attempts: number;
  bytesSent: number;
  bytesAcked: number;
}

/** Everything that the server tells about a push. */
export interface PushInfo extends PushState {
  mediaSessionId: string;
  /** The server that runs the push. */
  nodeId?: string;
  /** The server that runs the push does not answer: this is what was written last. */
  stale?: boolean;
  /** The name at the RTMP server. */
  streamName: string;
  /** The address as it was given, secrets included. */
  rtmpUrl: string;
  /** The address without secrets, to be shown to people. */
  target: string;
  /** streamName was a part of rtmpUrl, so it may be a stream key. */
  secretName: boolean;
  width: number;
  height: number;
  muted: boolean;
  soundEnabled: boolean;
  soundFile?: string;
  options: PushOptions;
  /** If there are several: that of rtmpUrl, then those of options.backupUrls. */
  addresses?: PushAddress[];
  sourceStreamName: string;
  /** The stream that is sent now; only with `backupStreams`. */
  activeStreamName?: string;
  sourceSwitches?: number;
  /** What about the stream breaks the rules of the platform that it goes to; absent while nothing does. */
  health?: { code: string; info: string }[];
  startedAt: number;
  endedAt?: number;
  bytesSent: number;
  videoFramesSent: number;
  audioFramesSent: number;
  droppedFrames: number;
  droppedMs?: number;
  transcoderDropped?: number;
  bufferDelayMs?: number;
  bufferings?: number;
  queuedBytes: number;
  queuedMs: number;
  /** kbit/s. */
  bitrate: number;
  keyFrameIntervalMs: number;
}

/** A stream of the server. */
export interface StreamDescription {
  mediaSessionId: string;
  name: string;
  published: boolean;
  status: string;
  hasVideo: boolean;
  hasAudio: boolean;
  audioCodec?: string;
  videoCodec?: string;
  width: number;
  height: number;
  /** kbit/s. */
  bitrate: number;
  fps?: number;
  [more: string]: unknown;
}

/** The reasons for the statuses of REST; any other status but 200 is a server_error. */
const byStatus: Record<number, Reason> = {
  400: "bad_request", 401: "unauthorized", 403: "unauthorized", 404: "not_found", 409: "conflict",
  429: "busy", // too many wrong logins
  501: "unsupported", 503: "busy",
};

/** The reason for a status that is not 200. */
export function reasonOf(status: number): Reason {
  return byStatus[status] ?? "server_error";
}

/** The header that tells the server who asks (RFC 7617, in UTF-8). */
export function authorization(user: string, password: string): Record<string, string> {
  const bytes = new TextEncoder().encode(`${user}:${password}`);
  return { Authorization: `Basic ${btoa(String.fromCharCode(...bytes))}` };
}

/** A client of the server's REST API: pushes of streams to RTMP servers, and the streams. See docs/rest.md. */
export class RestApi {
  private readonly _base: string;
  private readonly _headers: Record<string, string>;

  /** @internal */
  readonly _backoff: Backoff;

  constructor({ password = "", reconnect = {}, token, url = globalThis.location?.origin, user }: RestOptions = {}) {
    this._backoff = reconnect;
    if (!url) {
      throw new TypeError("options.url must be provided");
    }
    this._base = `${url.replace(/\/+$/, "")}/rest-api`;
    this._headers = token ? { Authorization: `Bearer ${token}` } : user === undefined ? {} : authorization(user, password);
  }

  /** Starts a push to an RTMP server. Resolves when the push exists; it connects after that. */
  async push(request: PushRequest, options: Abortable = {}): Promise<Push> {
    return new Push(this, await this._post("/push/startup", request, options));
  }

  /** The pushes with this id, stream name or address; all pushes without a filter. */
  async find(filter: { mediaSessionId?: string; streamName?: string; rtmpUrl?: string } = {}, options: Abortable = {}): Promise<Push[]> {
    return (await this._list<PushInfo>("/push/find", filter, options)).map((info) => new Push(this, info));
  }

  /** The pushes that have ended, the newest first. */
  history(limit = 100, options: Abortable = {}): Promise<PushInfo[]> {
    return this._request(`/push/history?limit=${limit}`, options as RequestInit, (response) => response.json());
  }

  /** The streams with this name or id; all streams of the server without a filter. */
  streams(filter: { name?: string; mediaSessionId?: string } = {}, options: Abortable = {}): Promise<StreamDescription[]> {
    return this._list("/stream/find", filter, options);
  }

  /** Ends a stream and the pushes of that stream. */
  async terminateStream(filter: { name?: string; mediaSessionId?: string }, options: Abortable = {}): Promise<void> {
    await this._post("/stream/terminate", filter, options, "text");
  }

  /** @internal Reads the answer as JSON. Methods that answer with nothing need "text". */
  _post(path: string, body: object, options: Abortable = {}, as: "json" | "text" = "json"): Promise<any> {
    const headers = { "Content-Type": "application/json" };
    return this._request(path, { ...(options as RequestInit), method: "POST", headers, body: JSON.stringify(body) }, (response) => response[as]());
  }

  /** @internal The events of one push, or of all pushes. */
  _events(query: string, signal: AbortSignal): Promise<AsyncGenerator<ServerEvent>> {
    return this._request(`/push/events?${query}`, { signal }, ({ body }) => serverEvents(body as ReadableStream<Uint8Array>));
  }

  /** @internal The API answers 404 if nothing matches; here that is an empty list. */
  async _list<T>(path: string, filter: object, options: Abortable): Promise<T[]> {
    try {
      return await this._post(path, filter, options);
    } catch (error) {
      if ((error as SdkError | null)?.reason === "not_found") {
        return [];
      }
      throw error;
    }
  }

  /** @internal Sends one request, and reads the answer. An answer other than 200 is an error. */
  async _request<T>(path: string, init: RequestInit, read: (response: Response) => T | Promise<T>): Promise<T> {
    let response: Response | undefined;
    try {
      response = await fetch(this._base + path, { ...init, headers: { ...init.headers, ...this._headers } });
      if (response.status === 200) {
        return await read(response);
      }
    } catch (error) {
      init.signal?.throwIfAborted();
      if (error instanceof SyntaxError) {
        throw new SdkError("server_error", "the answer is not JSON", { cause: error });
      }
      const { location } = globalThis; // a browser does not tell the page that CORS forbids the answer
      const foreign = !response && location && new URL(this._base, location.href).origin !== location.origin;
      const hint = foreign ? `; or its rest_access_control_allow_origin lacks ${location.origin}` : "";
      throw new SdkError("unreachable", (error as Error).message + hint, { cause: error });
    }
    throw await this._refusal(response);
  }

  /** @internal The error for an answer other than 200. */
  async _refusal(response: Response): Promise<Error> {
    const body = await response.json().catch(() => undefined);
    return new SdkError(reasonOf(response.status), body?.message ?? `status ${response.status}`);
  }
}

/** One push of a stream to one address. */
export class Push {
  private _last: PushInfo;

  /** @internal */
  constructor(private readonly _api: RestApi, info: PushInfo) {
    this._last = info;
  }

  /** The id of the push; REST calls it mediaSessionId. */
  get id(): string {
    return this._last.mediaSessionId;
  }

  /** The latest information from the server; `refresh` asks again. */
  get info(): PushInfo {
    return this._last;
  }

  /** Asks the server for the latest information. A push that has ended is looked up in the history. */
  async refresh(options: Abortable = {}): Promise<PushInfo> {
    const [found] = await this._api._list<PushInfo>("/push/find", { mediaSessionId: this.id }, options);
    const info = found ?? (await this._api.history(1000, options)).find(({ mediaSessionId }) => mediaSessionId === this.id);
    if (!info) {
      throw new SdkError("not_found", "the server no longer knows the push");
    }
    this._last = info;
    return info;
  }

  /**
   * The state now and after each change, until the push has ended. A lost or silent connection is opened again, and continues
   * after the last event. If the server no longer has the events in between, the present state is read instead.
   */
  async *states({ signal }: Abortable = {}): AsyncGenerator<PushState, void> {
    let aborter: AbortController | undefined; // of the present attempt
    const abort = (): void => aborter?.abort(signal?.reason);
    const heard = silenceTimer(abort);
    signal?.addEventListener("abort", abort);
    const pauses = new Pauses(this._api._backoff);
    let after = "";
    let known: PushState | null = null;
    try {
      for (;;) {
        signal?.throwIfAborted();
        aborter = new AbortController();
        heard();
        try {
          const query = new URLSearchParams({ mediaSessionId: this.id, ...(after && { after }) });
          for await (const { data, event, id } of await this._api._events(String(query), aborter.signal)) {
            heard();
            pauses._succeeded();
            const unsure: boolean = after === "" || event === "missed";
            after = id;
            const state: PushState | null = unsure ? await this.refresh({ signal: aborter.signal }) : event === "push" ? stateOf(data) : null;
            if (!state || !isNews(state, known)) {
              continue;
            }
            known = state;
            heard(false); // the caller may take long
            yield state;
            if (state.status === "ENDED" || state.status === "FAILED") {
              return;
            }
            heard();
          }
        } catch (error) {
          signal?.throwIfAborted();
          if (error instanceof SdkError && !["unreachable", "busy", "server_error"].includes(error.reason)) {
            throw error; // another attempt would fail too
          }
        } finally {
          heard(false);
        }
        const pause = pauses._next();
        if (pause === null) {
          throw new SdkError("unreachable", "the server tells no states");
        }
        await sleep(pause, signal);
      }
    } finally {
      signal?.removeEventListener("abort", abort);
    }
  }

  /** Sends silence. */
  mute(options: Abortable = {}): Promise<void> {
    return this._act("mute", {}, options);
  }

  /** Sends sound again after `mute`. */
  unmute(options: Abortable = {}): Promise<void> {
    return this._act("unmute", {}, options);
  }

  /** Plays a WAV file of the server in place of the stream's sound. */
  soundOn(sound: { soundFile: string; loop?: boolean }, options: Abortable = {}): Promise<void> {
    return this._act("sound_on", sound, options);
  }

  /** Sends the stream's own sound again after `soundOn`. */
  soundOff(options: Abortable = {}): Promise<void> {
    return this._act("sound_off", {}, options);
  }

  /** Sends this stream of the push; the one that the options prefer, if no name is given. */
  useSource(streamName = "", options: Abortable = {}): Promise<void> {
    return this._act("source", { streamName }, options);
  }

  /** Ends the push. Resolves when it has ended. */
  terminate(options: Abortable = {}): Promise<void> {
    return this._act("terminate", {}, options);
  }

  private async _act(method: string, more: object, options: Abortable): Promise<void> {
    await this._api._post(`/push/${method}`, { mediaSessionId: this.id, ...more }, options, "text");
  }
}

/** The state in an event; see docs/rest.md. */
function stateOf(data: string): PushState {
  const { at, attempt, bytesAcked, class: reasonClass, info, nextRetryAt, reason, to } = JSON.parse(data);
  return {
    status: to, reason, reasonClass, info, attempts: attempt, since: Date.parse(at), bytesAcked,
    ...(nextRetryAt && { nextRetryAt: Date.parse(nextRetryAt) }),
  };
}

/** A state that was read may be newer than events that arrive after it. */
function isNews(state: PushState, known: PushState | null): boolean {
  return !known || state.since > known.since || (state.since === known.since && state.status !== known.status);
}
