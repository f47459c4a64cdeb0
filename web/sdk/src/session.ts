import { type Backoff, Pauses } from "./backoff.ts";
import { SESSION_STATUS, STREAM_STATUS, type SessionStatus } from "./constants.ts";
import { Emitter } from "./emitter.ts";
import { abortable, type Deferred, deferred, notHere, type Reason, SdkError } from "./errors.ts";
import { randomId } from "./id.ts";
import { Signalling } from "./signalling.ts";
import { type Link, Stream } from "./stream.ts";
import type { Abortable, StreamOptions } from "./stream-options.ts";

/** How to reach the server, and what to tell it. */
export interface SessionOptions extends Abortable {
  /** The server's socket, such as `wss://host:8443`, or `wss://host:8444/ws` where only that port is open. */
  urlServer: string;
  /**
   * true, or how patiently: a lost socket is opened anew, and streams that were live come back. The server is asked to keep the
   * session meanwhile, so that they flow on, if it can. If absent, the session ends with its socket, as in the vendor's SDK.
   */
  reconnect?: boolean | Backoff;
  /** The application on the server; "defaultApp" if absent. */
  appKey?: string;
  /** Anything that the server's application is to be told, up to 8 KiB as JSON. */
  custom?: unknown;
  /** How long opening the socket may take, in ms; if absent, as long as the browser lets it. */
  timeout?: number;
  /** Ping the server so often, in ms; its own pings are enough, if absent. */
  pingInterval?: number;
  /** With probesInterval: so many intervals of silence end the socket; 6 if absent, 0 for never. */
  receiveProbes?: number;
  /** In ms; 5000 if absent. The server says something each 5 seconds. */
  probesInterval?: number;
  /** What goes to each RTCPeerConnection, such as iceServers. */
  mediaOptions?: RTCConfiguration;
  /** Asks the server to keep the session for a while when its socket is lost; true if absent and `reconnect` is not. */
  keepAlive?: boolean;
  /** Of a session that was kept, as its ESTABLISHED told it. */
  authToken?: string;
  /** Of the vendor's SDK, for calls: not supported here. */
  sipOptions?: unknown;
  /** Of the vendor's SDK, for its load balancer: not supported here. */
  lbUrl?: string;
  /** Of the vendor's SDK: taken, and passed over. */
  flashProto?: string;
  /** Of the vendor's SDK: taken, and passed over. */
  flashPort?: number;
  /** Of the vendor's SDK: taken, and passed over. */
  logger?: unknown;
}

/** What `session.on` tells of, and with what. */
export interface SessionEvents {
  PENDING: [session: Session];
  CONNECTED: [session: Session];
  /** With the server's description of the session, which has its `authToken`. */
  ESTABLISHED: [session: Session, connection: any];
  RECONNECTING: [session: Session];
  DISCONNECTED: [session: Session];
  FAILED: [session: Session];
  WARN: [warning: any];
  DEBUG: [event: any];
  APP_DATA: [data: any];
  SEND_DATA_STATUS: [data: any];
  REGISTERED: [session: Session];
  UNREGISTERED: [session: Session];
  INCOMING_CALL: [call: any];
}

/** How long a server may take to answer a close, before the session counts as closed without. */
const closeTimeoutMs = 3000;

const sessions = new Map<string, Session>();

/** All sessions that are not over. */
export function getSessions(): Session[] {
  return [...sessions.values()];
}

/** The connection to a server, which streams belong to. Made by `Flashphoner.createSession`. */
export class Session extends Emitter<SessionEvents> {
  /** Resolves when streams can be made for the first time; rejects when that failed. */
  readonly connected: Promise<this>;

  private readonly sessionId = randomId();
  private state: SessionStatus = SESSION_STATUS.PENDING;
  private cause: SdkError | null = null;
  private signalling: Signalling | null = null;
  private token: string | undefined;
  private closing = false;
  private cancelRetry = (): void => undefined;
  private readonly pauses: Pauses | null;
  private readonly backoff: Backoff | undefined;
  private readonly up = deferred<this>();
  private readonly down = deferred<void>();
  private readonly streams = new Map<string, Stream>();
  private readonly operations = new Map<string, Deferred<unknown>>();

  /** @internal */
  constructor(private readonly options: SessionOptions) {
    super();
    const { lbUrl, reconnect, signal, sipOptions } = options;
    sipOptions && notHere("sipOptions");
    lbUrl && notHere("lbUrl");
    this.backoff = reconnect === true ? {} : reconnect || undefined;
    this.pauses = this.backoff ? new Pauses(this.backoff) : null;
    this.token = options.authToken;
    this.connected = abortable(this.up, signal, () => void this.disconnect());
    if (!signal?.aborted) {
      this.open();
      sessions.set(this.sessionId, this);
    }
    if (this.keepAlive) {
      globalThis.addEventListener?.("pagehide", this.leave);
    }
  }

  /** The session's id on this side. */
  id(): string {
    return this.sessionId;
  }

  /** What the session is now, of SESSION_STATUS. */
  status(): SessionStatus {
    return this.state;
  }

  /** Why the session failed, or why it is being opened anew; null if neither. */
  get error(): SdkError | null {
    return this.cause;
  }

  /** The address that it was made with. */
  getServerUrl(): string {
    return this.options.urlServer;
  }

  /** Makes a stream, to be published or played. The session must be ESTABLISHED. */
  createStream(options: StreamOptions): Stream {
    if (this.state !== SESSION_STATUS.ESTABLISHED) {
      throw new SdkError("invalid_state", `Invalid session state ${this.state}`);
    }
    if (!options?.name) {
      throw new TypeError(`options${options ? ".name" : ""} must be provided`);
    }
    return new Stream(this.link, options);
  }

  /** Of the vendor's SDK: this server has no calls, so it throws `unsupported`. */
  createCall(_options?: unknown): never {
    throw new SdkError("unsupported", "no calls");
  }

  /** The console: for pages of the vendor's SDK. */
  getLogger(): Console {
    return console;
  }

  /** The stream with this id, if it is not over. */
  getStream(id: string): Stream | undefined {
    return this.streams.get(id);
  }

  /** All streams of this session that are not over. */
  getStreams(): Stream[] {
    return [...this.streams.values()];
  }

  /** Ends the session and all its streams; resolves when that is done. */
  disconnect(): Promise<void> {
    if (!this.closing && sessions.has(this.sessionId)) {
      this.closing = true;
      this.cancelRetry();
      if (this.keepAlive) { // the server would keep the streams, too
        this.getStreams().forEach((stream) => void stream.stop());
      }
      if (this.state === SESSION_STATUS.RECONNECTING) {
        this.end(SESSION_STATUS.DISCONNECTED, new SdkError("disconnected"));
      } else {
        this.signalling?.close();
        const late = setTimeout(() => this.end(SESSION_STATUS.DISCONNECTED, new SdkError("disconnected")), closeTimeoutMs);
        void this.down.promise.then(() => clearTimeout(late));
      }
    } else if (!sessions.has(this.sessionId)) {
      this.down.resolve();
    }
    return this.down.promise;
  }

  /** Sends data to the server's application; resolves with its answer, and rejects with `data_refused` if it says no. */
  sendData(payload: unknown, options: Abortable = {}): Promise<unknown> {
    const operationId = randomId();
    const answer = deferred<unknown>();
    if (this.state === SESSION_STATUS.ESTABLISHED) {
      this.operations.set(operationId, answer);
      this.signalling?.send("sendData", { operationId, payload });
    } else {
      answer.reject(new SdkError("invalid_state", `Invalid session state ${this.state}`));
    }
    return abortable(answer, options.signal, () => this.operations.delete(operationId));
  }

  /** Sends any object to whoever runs the server. */
  submitBugReport(report: object): void {
    this.signalling?.send("submitBugReport", report);
  }

  /** Asks the server to log more of this session. */
  startDebug(): void {
    this.signalling?.send("sessionDebug", { command: "start" });
  }

  /** Ends what `startDebug` began. */
  stopDebug(): void {
    this.signalling?.send("sessionDebug", { command: "stop" });
  }

  private readonly leave = (): void => void this.disconnect();

  private get keepAlive(): boolean {
    return this.options.keepAlive ?? this.backoff !== undefined;
  }

  /** What streams may do with the session. */
  private get link(): Link {
    const session = this;
    return {
      get established() {
        return session.state === SESSION_STATUS.ESTABLISHED;
      },
      backoff: this.backoff,
      mediaOptions: this.options.mediaOptions,
      send: (name, data) => this.signalling?.send(name, data),
      register: (id, stream) => this.streams.set(id, stream),
      unregister: (id) => this.streams.delete(id),
    };
  }

  private open(): void {
    const { pingInterval = 0, probesInterval = 5000, receiveProbes = 6, timeout = 0, urlServer } = this.options;
    try {
      this.signalling = new Signalling(urlServer, {
        timeoutMs: timeout, pingMs: pingInterval, silenceMs: receiveProbes * probesInterval,
      }, {
        opened: () => this.opened(),
        received: (name, data) => this.received(name, data[0], data[1]),
        closed: (reason, words) => this.closed(reason, words),
      });
    } catch (error) { // no address of a socket, or one that the page may not use
      throw new SdkError(globalThis.WebSocket ? "invalid_option" : "unsupported_browser", (error as Error).message, { cause: error });
    }
  }

  private opened(): void {
    const { appKey = "defaultApp", custom } = this.options;
    if (this.state === SESSION_STATUS.PENDING) {
      this.change(SESSION_STATUS.CONNECTED);
    }
    this.signalling?.send("connection", {
      appKey, mediaProviders: ["WebRTC"], keepAlive: this.keepAlive || undefined, authToken: this.token, clientVersion: "2.0",
      clientOSVersion: globalThis.navigator?.appVersion, clientBrowserVersion: globalThis.navigator?.userAgent, msePacketizationVersion: 2, custom,
    });
  }

  private received(name: string, first: any, second: unknown): void {
    const stream = this.streams.get(first?.mediaSessionId ?? first?.id ?? first);
    switch (name) {
      case "getUserData":
        this.established(first);
        break;
      case "setRemoteSDP":
        void stream?.answered(String(second));
        break;
      case "notifyStreamStatusEvent":
      case "notifyVideoFormat":
        stream?.told(first);
        break;
      case "notifyStreamEvent":
        stream?.happened(first);
        break;
      case "availableStream":
        stream?.toldAvailable(first.status, first.info ?? "");
        break;
      case "inboundVideoRate":
      case "outboundVideoRate":
        void stream?.toldRate(first.videoRate);
        break;
      case "DataStatusEvent":
        this.answered(first ?? {});
        break;
      case "OnDataEvent":
        this.fire(SESSION_STATUS.APP_DATA, first);
        break;
      case "notifySessionDebugEvent":
        this.fire(SESSION_STATUS.DEBUG, first);
        break;
      case "fail":
        if (first?.apiMethod === "StreamStatusEvent") {
          stream?.told({ status: STREAM_STATUS.FAILED, ...first });
        }
        this.fire(SESSION_STATUS.WARN, first);
        break;
    }
  }

  private established(connection: any): void {
    const kept = this.state === SESSION_STATUS.RECONNECTING && connection?.authToken === this.token;
    this.token = connection?.authToken;
    this.pauses?.succeeded();
    this.cause = null;
    this.state = SESSION_STATUS.ESTABLISHED;
    this.up.resolve(this);
    this.fire(SESSION_STATUS.ESTABLISHED, this, connection);
    this.getStreams().forEach((stream) => stream.relinked(kept));
  }

  private answered({ operationId, status, ...answer }: { operationId?: string; status?: string; info?: string }): void {
    const operation = this.operations.get(operationId ?? "");
    this.operations.delete(operationId ?? "");
    status === "ACCEPTED" ? operation?.resolve({ status, ...answer }) : operation?.reject(new SdkError("data_refused", answer.info));
  }

  private closed(reason: Reason, words: string): void {
    const error = new SdkError(reason, words);
    if (this.closing) {
      this.end(SESSION_STATUS.DISCONNECTED, error);
      return;
    }
    if (this.state === SESSION_STATUS.RECONNECTING && reason === "disconnected") {
      this.token = undefined; // opened, and closed instead of an answer: the server has not kept the session
    }
    const wasUp = this.state === SESSION_STATUS.ESTABLISHED || this.state === SESSION_STATUS.RECONNECTING;
    const pause = wasUp && this.pauses ? this.pauses.next() : null;
    if (pause === null) {
      this.end(reason === "disconnected" ? SESSION_STATUS.DISCONNECTED : SESSION_STATUS.FAILED, error);
      return;
    }
    this.retryIn(pause);
    this.cause = error;
    if (this.state !== SESSION_STATUS.RECONNECTING) {
      this.rejectOperations(error);
      this.getStreams().forEach((stream) => stream.lost(error));
      this.change(SESSION_STATUS.RECONNECTING);
    }
  }

  /** Opens the socket anew after a pause, or as soon as the browser says that there is a network again. */
  private retryIn(pause: number): void {
    const again = (): void => {
      this.cancelRetry();
      this.open();
    };
    const timer = setTimeout(again, pause);
    globalThis.addEventListener?.("online", again);
    this.cancelRetry = () => {
      clearTimeout(timer);
      globalThis.removeEventListener?.("online", again);
    };
  }

  private end(state: SessionStatus, error: SdkError): void {
    if (!sessions.delete(this.sessionId)) {
      return;
    }
    globalThis.removeEventListener?.("pagehide", this.leave);
    this.state = state; // streams are told first, and may ask
    this.cause = state === SESSION_STATUS.FAILED ? error : null;
    this.rejectOperations(error);
    this.getStreams().forEach((stream) => stream.unlinked(error));
    this.up.reject(error);
    this.down.resolve();
    this.fire(state, this);
  }

  private rejectOperations(error: SdkError): void {
    this.operations.forEach(({ reject }) => reject(error));
    this.operations.clear();
  }

  private change(state: SessionStatus): void {
    this.state = state;
    this.fire(state, this);
  }
}
