import { Attempt } from "./attempt.ts";
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
export interface Link {
  /** Whether the session is established, so that the server gets messages. */
  readonly established: () => boolean;
  readonly mediaOptions: RTCConfiguration | undefined;
  readonly backoff: Backoff | undefined;
  send(name: string, data: unknown): void;
  /** Finds out soon whether the server can still be reached. */
  probe(): void;
  /** A new token in place of that of the session, if that one has expired and the page gives new ones. */
  renewed(): Promise<string> | undefined;
  /** All streams that are not over, by their ids. */
  readonly streams: Map<string, Stream>;
}

/** Runs the life of a stream: takes the steps of stream-state.ts, and does the work of each phase. It owns the attempts and the timer. */
export class StreamLife<S extends Stream> {
  state = newStream;
  /** The stream's id on the server. */
  id = randomId();
  /** The server's words for the last status; ERROR_INFO.LOCAL_ERROR if the browser has ended the stream. */
  info = "";
  /** The browser's words, if the browser has ended the stream. */
  errorInfo = "";
  /** The last attempt; it stays when the stream is over. */
  attempt: Attempt | null = null;
  readonly live = deferred<S>();
  readonly over = deferred<S>();
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
    this._pauses = new Pauses(_link.backoff ?? {});
    _link.streams.set(this.id, _stream);
  }

  /** Begins the first attempt. Resolves when the stream is live. */
  begin(mode: StreamMode, signal: AbortSignal | undefined): Promise<S> {
    if (this.state.phase !== "new") {
      return quiet(Promise.reject(this.wrongState()));
    }
    this.step({ type: "begin", mode });
    const live = abortable(this.live, signal, () => this.stop()); // at once, if the signal has aborted already
    this.step({ type: "due" });
    return live;
  }

  stop(): void {
    this.step({ type: isKnown(this.state) && this._link.established() ? "stop" : "drop" });
  }

  /** Restarts ICE of a live connection, if it has lost its network, or if the browser has just got another one. */
  async restart(another = false): Promise<void> {
    const { attempt, state } = this;
    const lost = /^(dis|f)/; // disconnected or failed
    if (state.phase === "live" && this._restarting !== state && (another || lost.test(attempt!.connection.iceConnectionState))) {
      this._restarting = state;
      this._link.probe();
      const sdp = await attempt!._offer({ iceRestart: true }).catch(() => ""); // the stream was stopped meanwhile
      this.state === state && this._link.send("restartIce", { mediaSessionId: this.id, sdp });
    }
  }

  /** Takes the server's answer to the offer; an empty one if it does not restart ICE. */
  async answered(sdp: string): Promise<void> {
    const { attempt } = this.state;
    const again = this._restarting === this.state;
    this._restarting = undefined;
    try {
      await this.attempt?.accept(sdp);
    } catch (error) {
      if (!again && attempt === this.state.attempt && isKnown(this.state)) {
        this._sendStop();
        this._fail(error as Error);
      }
    }
  }

  /** The server says that the stream is live. */
  toldLive(status: StreamStatus): void {
    if (this.state.phase === "stopping") {
      this._sendStop(); // the server did not know the stream yet when we sent the first one
    }
    this.step({ type: "live", status });
    void this.restart(!!this._restarting); // again, if the socket was lost with the last request
  }

  /** The server says that the stream has ended. */
  toldEnd(status: StreamStatus, error: SdkError): void {
    const again = status === "FAILED" && this._link.backoff && isRestorable(this.state, error.reason);
    const waitMs = again ? this._pauses.next() : null;
    this.step(waitMs === null ? { type: "end", status, error } : { type: "retry", error, waitMs });
  }

  /** The session is over. */
  closed(error: SdkError): void {
    if (this.state.phase !== "stopping") {
      this.info ||= STREAM_STATUS_INFO.STOPPED_BY_SESSION_DISCONNECT;
    }
    this.step({ type: "end", status: "FAILED", error });
  }

  /** Takes a step, and does the work of the new phase. */
  step(step: StreamStep): void {
    const before = this.state;
    const { error, phase, status, waitMs } = this.state = reduceStream(before, step);
    if (this.state === before) {
      return;
    }
    clearTimeout(this._timer);
    if (waitMs !== null) { // a timer that ends while there is no socket does nothing: "kept" or "relinked" follows
      this._timer = setTimeout(() => this._link.established() && this.step({ type: "due" }), waitMs);
    }
    switch (phase) {
      case "opening":
        void this._open();
        break;
      case "live":
        this._pauses.succeeded();
        this.live.resolve(this._stream);
        break;
      case "stopping":
        this._sendStop();
        this.attempt?.close();
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

  wrongState(wanted = ""): SdkError {
    return new SdkError("invalid_state", `Invalid stream state ${this.state.status}${wanted && `, not ${wanted}`}`);
  }

  /** Makes an attempt: opens the devices, makes the offer and sends it. */
  private async _open(): Promise<void> {
    const { attempt, mode, status } = this.state;
    const wanted = (): boolean => this.state.attempt === attempt && this.state.phase === "opening";
    try {
      const media = mode === "publish" ? await this._devices.open(wanted) : null;
      if (!wanted()) {
        return;
      }
      this.attempt?.close(); // not earlier: the old connection may still carry media until the session has a socket again
      this.attempt = new Attempt(this._link.mediaOptions, this._options);
      this.attempt.connection.oniceconnectionstatechange = () => void this.restart();
      this._show();
      const offered = media ? this.attempt.offerToSend(media) : this.attempt.offerToReceive((event) => this._player.show(event));
      if (!media && status === "PENDING") {
        this._stream._fire(status, this._stream); // pages look for the video now
      }
      const sdp = await offered;
      const token = this._options.token ?? await this._link.renewed();
      const asked = request({ ...this._options, token }, sdp, media);
      if (wanted()) {
        this.step({ type: this._link.established() ? "sent" : "unsent" });
        if (isKnown(this.state)) {
          this._link.send(media ? "publishStream" : "playStream", { ...this._description, ...asked });
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
    if (this.state.attempt > 1) {
      this._link.streams.delete(this.id);
      this.id = randomId();
      this._link.streams.set(this.id, this._stream);
    }
    if (this.state.mode === "play") {
      this._player.open();
    }
    const { video } = this._stream;
    if (video && video !== display && video !== remoteVideo) {
      video.id = this.id;
    }
  }

  /** Ends the stream because the browser refused something. */
  private _fail(error: Error): void {
    this.info = ERROR_INFO.LOCAL_ERROR;
    this.errorInfo = error.message;
    const reason = error instanceof SdkError ? error : new SdkError("failed", error.message, { cause: error });
    this.step({ type: "end", status: "FAILED", error: reason });
  }

  /** Releases everything that the stream holds. */
  private _close(reason: SdkError | null): void {
    this._link.streams.delete(this.id);
    this.attempt?.close();
    this._devices.close();
    this._player.close();
    this._stream._refuseQuestions(reason);
    this.live.reject(reason);
    this.over.resolve(this._stream);
  }

  private _sendStop(): void {
    this._link.send(this.state.mode === "publish" ? "unPublishStream" : "stopStream", this._description);
  }

  /** The description of the stream in messages to the server. */
  private get _description(): object {
    const { mode, status } = this.state;
    return {
      mediaSessionId: this.id, name: this._options.name, published: mode === "publish", hasVideo: true, hasAudio: true,
      status: status === "RESTORING" ? "PENDING" : status, record: false,
    };
  }
}
