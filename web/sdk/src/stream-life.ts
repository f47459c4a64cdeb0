import { Attempt, type Network } from "./attempt.ts";
import { type Backoff, Pauses } from "./backoff.ts";
import { ERROR_INFO, STREAM_STATUS_INFO, type StreamStatus } from "./constants.ts";
import type { Devices } from "./devices.ts";
import { abortable, deferred, quiet, SdkError } from "./errors.ts";
import { randomId } from "./id.ts";
import type { Player } from "./player.ts";
import { request } from "./request.ts";
import type { Stream } from "./stream.ts";
import type { StreamOptions } from "./stream-options.ts";
import { isKnown, isRestorable, newStream, reduceStream, type StreamMode, type StreamState, type StreamStep } from "./stream-state.ts";

/** The part of a session that its streams use. */
export interface Link extends Network {
  readonly _backoff: Backoff | undefined;
  /** All streams that are not over, by their ids. */
  readonly _streams: Map<string, Stream>;
  /** Whether the session is established, so that the server gets messages. */
  _isUp(): boolean;
  /** The error for what needs an established session. */
  _wrongState(): SdkError;
  _send(name: string, data: unknown): void;
  /** Finds out soon whether the server can still be reached. */
  _probe(): void;
  /** A new token in place of the session's token, if that one has expired and the page gives new ones. */
  _renewed(): Promise<string> | undefined;
}

/** Runs the life of a stream: takes the steps of stream-state.ts, and does the work of each phase. It owns the attempts and the timer. */
export class StreamLife<S extends Stream> {
  _state = newStream;
  /** The stream's id on the server. */
  _id = randomId();
  /** The server's words for the last status; ERROR_INFO.LOCAL_ERROR if the browser has ended the stream. */
  _info = "";
  /** The browser's words, if the browser has ended the stream. */
  _errorInfo = "";
  /** The last attempt; it stays when the stream is over. */
  _attempt: Attempt | null = null;
  readonly _live = deferred<S>();
  readonly _over = deferred<S>();
  private readonly _pauses: Pauses;
  private _restarting: StreamState | undefined; // the server was asked to restart ICE in this state, and has not answered yet
  private _timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly _stream: S,
    private readonly _link: Link,
    private readonly _options: StreamOptions,
    private readonly _devices: Devices,
    private readonly _player: Player,
  ) {
    this._pauses = new Pauses(_link._backoff ?? {});
    _link._streams.set(this._id, _stream);
  }

  /** Begins the first attempt. Resolves when the stream is live. */
  _begin(mode: StreamMode, signal: AbortSignal | undefined): Promise<S> {
    if (this._state._phase !== "new") {
      return quiet(Promise.reject(this._wrongState()));
    }
    this._step({ type: "begin", _mode: mode });
    const live = abortable(this._live, signal, () => this._stop()); // at once, if the signal has aborted already
    this._step({ type: "due" });
    return live;
  }

  _stop(): void {
    this._step({ type: isKnown(this._state) && this._link._isUp() ? "stop" : "drop" });
  }

  /** Restarts ICE of a live connection, if it has lost its network, or if the browser has just got another one. */
  async _restart(another = false): Promise<void> {
    const { _attempt: attempt, _state: state } = this;
    const lost = /^(dis|f)/; // disconnected or failed
    if (state._phase === "live" && this._restarting !== state && (another || lost.test(attempt!._connection.iceConnectionState))) {
      this._restarting = state;
      this._link._probe();
      const sdp = await attempt!._offer({ iceRestart: true }).catch(() => ""); // the stream was stopped meanwhile
      this._state === state && this._link._send("restartIce", { mediaSessionId: this._id, sdp });
    }
  }

  /** Takes the server's answer to the offer; an empty one if it does not restart ICE. */
  async _answered(sdp: string): Promise<void> {
    const { _attempt: attempt } = this._state;
    const again = this._restarting === this._state;
    this._restarting = undefined;
    try {
      await this._attempt?._accept(sdp);
    } catch (error) {
      if (!again && attempt === this._state._attempt && isKnown(this._state)) {
        this._sendStop();
        this._fail(error as Error);
      }
    }
  }

  /** The server says that the stream is live. */
  _toldLive(status: StreamStatus): void {
    if (this._state._phase === "stopping") {
      this._sendStop(); // the server did not know the stream yet when we sent the first one
    }
    this._step({ type: "live", status });
    void this._restart(!!this._restarting); // again, if the socket was lost with the last request
  }

  /** The server says that the stream has ended. */
  _toldEnd(status: StreamStatus, error: SdkError): void {
    const again = status === "FAILED" && this._link._backoff && isRestorable(this._state, error.reason);
    const waitMs = again ? this._pauses._next() : null;
    this._step(waitMs === null ? { type: "end", status, error } : { type: "retry", error, _waitMs: waitMs });
  }

  /** The session is over. */
  _closed(error: SdkError): void {
    if (this._state._phase !== "stopping") {
      this._info ||= STREAM_STATUS_INFO.STOPPED_BY_SESSION_DISCONNECT;
    }
    this._step({ type: "end", status: "FAILED", error });
  }

  /** Takes a step, and does the work of the new phase. */
  _step(step: StreamStep): void {
    const before = this._state;
    const { error, _phase: phase, status, _waitMs: waitMs } = this._state = reduceStream(before, step);
    if (this._state === before) {
      return;
    }
    clearTimeout(this._timer);
    if (waitMs !== null) { // a timer that ends while there is no socket does nothing: "kept" or "relinked" follows
      this._timer = setTimeout(() => this._link._isUp() && this._step({ type: "due" }), waitMs);
    }
    switch (phase) {
      case "opening":
        void this._open();
        break;
      case "live":
        this._pauses._succeeded();
        this._live._resolve(this._stream);
        break;
      case "stopping":
        this._sendStop();
        this._attempt?.close();
        break;
      case "over":
        this._close(error);
        break;
    }
    // The page is told each new status, and these two phases each time. _open tells PENDING.
    if (phase === "live" || phase === "unlinked" || status !== before.status && status !== "PENDING") {
      this._stream._fire(status, this._stream);
    }
  }

  _wrongState(wanted = ""): SdkError {
    return new SdkError("invalid_state", `Invalid stream state ${this._state.status}${wanted && `, not ${wanted}`}`);
  }

  /** Makes an attempt: opens the devices, makes the offer and sends it. */
  private async _open(): Promise<void> {
    const { _attempt: attempt, _mode: mode, status } = this._state;
    const wanted = (): boolean => this._state._attempt === attempt && this._state._phase === "opening";
    try {
      const media = mode === "publish" ? await this._devices.open(wanted) : null;
      if (!wanted()) {
        return;
      }
      this._attempt?.close(); // not earlier: the old connection may still carry media until the session has a socket again
      this._attempt = new Attempt(this._link, this._options);
      this._attempt._connection.oniceconnectionstatechange = () => void this._restart();
      this._show();
      const offered = media ? this._attempt._offerToSend(media) : this._attempt._offerToReceive((event) => this._player._show(event));
      if (!media && status === "PENDING") {
        this._stream._fire(status, this._stream); // pages look for the video now
      }
      const sdp = await offered;
      const token = this._options.token ?? await this._link._renewed();
      const asked = request({ ...this._options, token }, sdp, media);
      if (wanted()) {
        this._step({ type: this._link._isUp() ? "sent" : "unsent" });
        if (isKnown(this._state)) {
          this._link._send(media ? "publishStream" : "playStream", { ...this._description, ...asked });
        }
      }
    } catch (error) {
      if (wanted()) {
        this._fail(error as Error);
      }
    }
  }

  /** Gives the attempt an id, and shows it. Later attempts get a new id: the server may still use the old one for the lost socket. */
  private _show(): void {
    const { display, remoteVideo } = this._options;
    if (this._state._attempt > 1) {
      this._link._streams.delete(this._id);
      this._id = randomId();
      this._link._streams.set(this._id, this._stream);
    }
    if (this._state._mode === "play") {
      this._player.open();
    }
    const { video } = this._stream;
    if (video && video !== display && video !== remoteVideo) {
      video.id = this._id;
    }
  }

  /** Ends the stream because the browser refused something. */
  private _fail(error: Error): void {
    this._info = ERROR_INFO.LOCAL_ERROR;
    this._errorInfo = error.message;
    const reason = error instanceof SdkError ? error : new SdkError("failed", error.message, { cause: error });
    this._step({ type: "end", status: "FAILED", error: reason });
  }

  /** Releases everything that the stream holds. */
  private _close(reason: SdkError | null): void {
    this._link._streams.delete(this._id);
    this._attempt?.close();
    this._devices.close();
    this._player.close();
    this._stream._refuseQuestions(reason);
    this._live._reject(reason);
    this._over._resolve(this._stream);
  }

  private _sendStop(): void {
    this._link._send(this._state._mode === "publish" ? "unPublishStream" : "stopStream", this._description);
  }

  /** The description of the stream in messages to the server. */
  private get _description(): object {
    const { _mode: mode, status } = this._state;
    return {
      mediaSessionId: this._id, name: this._options.name, published: mode === "publish", hasVideo: true, hasAudio: true,
      status: status === "RESTORING" ? "PENDING" : status, record: false,
    };
  }
}
