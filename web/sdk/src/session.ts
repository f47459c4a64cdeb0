import { type Backoff, Pauses } from "./backoff.ts";
import type { SessionStatus } from "./constants.ts";
import { Emitter } from "./emitter.ts";
import { abortable, type Deferred, deferred, notHere, type Reason, SdkError } from "./errors.ts";
import { randomId } from "./id.ts";
import type { SessionEvents, SessionOptions } from "./session-options.ts";
import { isRestorable, newSession, reduceSession, type SessionStep } from "./session-state.ts";
import { Signalling } from "./signalling.ts";
import { Stream } from "./stream.ts";
import type { Abortable, StreamOptions } from "./stream-options.ts";
import { hasExpired, withToken } from "./token.ts";

const sessions = new Set<Session>();

/** All sessions that are not over. */
export function getSessions(): Session[] {
  return [...sessions];
}

/** The connection to a server, to which streams belong. `Flashphoner.createSession` makes it. */
export class Session extends Emitter<SessionEvents> {
  /** Resolves when the session is established for the first time, so that streams can be created. Rejects if that fails. */
  readonly connected: Promise<this>;

  private readonly _sessionId = randomId();
  private _state = newSession;
  private _signalling: Signalling | null = null;
  private _token: string | undefined; // shows the server which kept session is ours
  private _bearer: string | undefined; // the last value of the option token
  private _refusal: SdkError | undefined; // why the server closes the socket
  private _timer: ReturnType<typeof setTimeout> | undefined;
  private readonly _pauses: Pauses;
  private readonly _up = deferred<this>();
  private readonly _down = deferred<void>();
  /** @internal The option `reconnect`. */
  readonly _backoff: Backoff | undefined;
  /** @internal */
  _iceServers!: RTCIceServer[];
  /** @internal */
  readonly _streams = new Map<string, Stream>();
  private readonly _operations = new Map<string, Deferred<unknown>>(); // calls of sendData without an answer yet, by their ids

  /** @internal */
  constructor(readonly _options: SessionOptions) {
    super();
    const { authToken, custom, lbUrl, reconnect, signal, token } = _options;
    lbUrl && notHere("lbUrl");
    token && withToken(custom, "a"); // to see whether it has a place
    this._backoff = reconnect === true ? {} : reconnect || undefined;
    this._pauses = new Pauses(this._backoff ?? {});
    this._token = authToken;
    this.connected = abortable(this._up, signal, () => void this.disconnect()); // at once, if the signal has aborted already
    this._step({ type: "connect" });
  }

  /** The id of the session in this page. */
  id(): string {
    return this._sessionId;
  }

  /** The present status, one of SESSION_STATUS. */
  status(): SessionStatus {
    return this._state.status;
  }

  /** Why the session failed, or why it reconnects; null in any other status. */
  get error(): SdkError | null {
    const { error, status } = this._state;
    return status === "RECONNECTING" || status === "FAILED" ? error : null;
  }

  /** The option `urlServer`. */
  getServerUrl(): string {
    return this._options.urlServer;
  }

  /** Creates a stream, to publish or to play. The session must be ESTABLISHED. */
  createStream(options: StreamOptions): Stream {
    if (!this._isUp()) {
      throw this._wrongState();
    }
    if (!options?.name) {
      throw new TypeError(`options${options ? ".name" : ""} must be provided`);
    }
    return new Stream(this, options);
  }

  /** A method of the SDK with calls. Without them it throws `unsupported`. */
  createCall(_options?: unknown): unknown {
    throw new SdkError("unsupported", "another build has calls");
  }

  /** Returns the console, for pages of the vendor's SDK. */
  getLogger(): Console {
    return console;
  }

  /** The stream with this id, if it is not over. */
  getStream(id: string): Stream | undefined {
    return this._streams.get(id);
  }

  /** All streams of this session that are not over. */
  getStreams(): Stream[] {
    return [...this._streams.values()];
  }

  /** Ends the session and all its streams. It resolves when they have ended. */
  disconnect(): Promise<void> {
    if (this._keepAlive) { // otherwise the server would keep the streams with the session
      this.getStreams().forEach((stream) => void stream.stop());
    }
    this._step({ type: "close" });
    return this._down._promise;
  }

  /** Sends data to the server's application. It resolves with the answer, or rejects with `data_refused` if the application refuses. */
  sendData(payload: unknown, options: Abortable = {}): Promise<unknown> {
    const operationId = randomId();
    const answer = deferred<unknown>();
    if (this._isUp()) {
      this._operations.set(operationId, answer);
      this._send("sendData", { operationId, payload });
    } else {
      answer._reject(this._wrongState());
    }
    return abortable(answer, options.signal, () => this._operations.delete(operationId));
  }

  /** Sends an object to the people who run the server. */
  submitBugReport(report: object): void {
    this._send("submitBugReport", report);
  }

  /** Asks the server to log more of this session. */
  startDebug(): void {
    this._send("sessionDebug", { command: "start" });
  }

  /** Ends the logging that `startDebug` asked for. */
  stopDebug(): void {
    this._send("sessionDebug", { command: "stop" });
  }

  /** @internal */
  _isUp(): boolean {
    return this._state.status === "ESTABLISHED";
  }

  /** @internal */
  _send(name: string, data: unknown): void {
    this._signalling?._send(name, data);
  }

  /** @internal */
  _probe(): void {
    this._backoff && this._signalling?._probe();
  }

  /** @internal */
  _renewed(): Promise<string> | undefined {
    return typeof this._options.token === "function" && this._bearer && hasExpired(this._bearer) ? this._ask() : undefined;
  }

  private get _keepAlive(): boolean {
    return this._options.keepAlive ?? this._backoff !== undefined;
  }

  /** Takes a step, and does the work of the new phase. Returns false if the step changed nothing. */
  private _step(step: SessionStep): boolean {
    const before = this._state;
    const { error, _phase: phase, status, _waitMs: waitMs } = this._state = reduceSession(before, step);
    if (this._state === before) {
      return false;
    }
    clearTimeout(this._timer);
    if (waitMs !== null) {
      this._timer = setTimeout(() => this._step({ type: "due" }), waitMs);
    }
    switch (phase) {
      case "connecting":
        this._open();
        sessions.add(this);
        globalThis.addEventListener?.("online", this._online);
        this._keepAlive && globalThis.addEventListener?.("pagehide", this.disconnect);
        break;
      case "reconnecting":
        this._open();
        break;
      case "waiting":
        if (before._phase === "established") {
          this._refuseOperations(error);
          this.getStreams().forEach((stream) => stream._lost(error!));
        }
        break;
      case "closing":
        this._signalling ? this._signalling.close() : this._step({ type: "end", error: new SdkError("disconnected") });
        break;
      case "over":
        this._close(error!);
        break;
    }
    if (status !== before.status && status !== "ESTABLISHED") { // _established tells that status, with the server's description
      this._fire(status, this);
    }
    return true;
  }

  /** @internal The browser has a network again. */
  _online(): void {
    this._step({ type: "online" });
    this._streams.forEach(({ _life }) => void _life._restart(true)); // the network may be another one
  }

  private _open(): void {
    const { token } = this._options;
    this._refusal = undefined;
    if (typeof token !== "function") {
      this._bearer = token;
      this._connect();
      return;
    }
    const state = this._state;
    const wanted = (): boolean => this._state === state;
    this._ask().then(() => wanted() && this._connect()).catch((error: Error) => {
      wanted() && this._closed(error instanceof SdkError ? error.reason : "unauthorized", error.message);
    });
  }

  /** Asks the page for a token. */
  private async _ask(): Promise<string> {
    const { token } = this._options;
    return this._bearer = await (token as () => string | Promise<string>)();
  }

  private _connect(): void {
    const { pingInterval = 0, probesInterval = 5000, receiveProbes = 6, timeout = 0, urlServer } = this._options;
    try {
      this._signalling = new Signalling(urlServer, {
        _timeoutMs: timeout, _pingMs: pingInterval, _silenceMs: receiveProbes * probesInterval,
      }, this);
    } catch (error) { // urlServer is no WebSocket address, or the page may not use it
      throw new SdkError(globalThis.WebSocket ? "invalid_option" : "unsupported_browser", (error as Error).message, { cause: error });
    }
  }

  /** @internal The socket is open. */
  _opened(): void {
    const { appKey = "defaultApp", custom } = this._options;
    this._step({ type: "opened" });
    this._send("connection", {
      appKey, mediaProviders: ["WebRTC"], keepAlive: this._keepAlive || undefined, authToken: this._token, clientVersion: "2.0",
      clientOSVersion: globalThis.navigator?.appVersion, clientBrowserVersion: globalThis.navigator?.userAgent, msePacketizationVersion: 2,
      custom: withToken(custom, this._bearer),
      ...this._sip(),
    });
  }

  /** @internal The account for calls, for the server. */
  _sip(): object | void {
    this._options.sipOptions && notHere("sipOptions");
  }

  /** @internal The server sent a message. */
  _received(name: string, first: any, second: unknown): void {
    this._streams.get(first?.mediaSessionId ?? first?.id ?? first)?._received(name, first, second);
    switch (name) {
      case "getUserData":
        this._established(first);
        break;
      case "DataStatusEvent":
        this._answered(first ?? {});
        break;
      case "OnDataEvent":
        this._fire("APP_DATA", first);
        break;
      case "notifySessionDebugEvent":
        this._fire("DEBUG", first);
        break;
      case "fail":
        if (first?.apiMethod === "connect") {
          this._refusal = new SdkError("restricted", first.reason ?? first.info);
        }
        this._fire("WARN", first);
        break;
    }
  }

  private _established(connection: any): void {
    const kept = this._state._phase === "reconnecting" && connection?.authToken === this._token;
    if (this._step({ type: "established" })) {
      this._token = connection?.authToken;
      this._iceServers = connection?.iceServers;
      this._pauses._succeeded();
      this._up._resolve(this);
      this._fire("ESTABLISHED", this, connection);
      this._restored(kept);
    }
  }

  /** @internal The session has a socket, and perhaps the server has kept what it knew of the session. */
  _restored(kept: boolean): void {
    this.getStreams().forEach((stream) => stream._relinked(kept));
  }

  private _answered({ operationId, status, ...answer }: { operationId?: string; status?: string; info?: string }): void {
    const operation = this._operations.get(operationId!);
    this._operations.delete(operationId!);
    status === "ACCEPTED" ? operation?._resolve({ status, ...answer }) : operation?._reject(new SdkError("data_refused", answer.info));
  }

  /** @internal The socket is closed. */
  _closed(reason: Reason, words: string): void {
    const refusal = this._refusal;
    const error = refusal ?? new SdkError(reason, words);
    if (refusal || this._state._phase === "reconnecting" && reason === "disconnected") {
      this._token = undefined; // the server closed the socket instead of answering, or has ended the session: it has not kept the session
    }
    // The same token would be refused again. A function may have another, once a token that was good has ended.
    const hopeless = refusal && !(typeof this._options.token === "function" && this._state._phase === "established");
    const waitMs = this._backoff && !hopeless && isRestorable(this._state) ? this._pauses._next() : null;
    this._step(waitMs === null ? { type: "end", error } : { type: "retry", error, _waitMs: waitMs });
  }

  /** @internal Releases everything that the session holds. */
  _close(error: SdkError): void {
    sessions.delete(this);
    globalThis.removeEventListener?.("online", this._online);
    globalThis.removeEventListener?.("pagehide", this.disconnect);
    this._signalling?.close();
    this._refuseOperations(error);
    this.getStreams().forEach((stream) => stream._closed(error));
    this._up._reject(error);
    this._down._resolve();
  }

  private _refuseOperations(error: SdkError | null): void {
    this._operations.forEach(({ _reject: reject }) => reject(error));
    this._operations.clear();
  }

  /** @internal */
  _wrongState(): SdkError {
    return new SdkError("invalid_state", `Invalid session state ${this.status()}`);
  }
}
