import { CallAttempt, type Wanted } from "./call-attempt.ts";
import type { AnswerOptions, CallEvents, CallOptions, IncomingCall, TalkOptions, Transfer } from "./call-options.ts";
import { isFinal, newCall, reduceCall, type CallStep } from "./call-state.ts";
import { CALL_STATUS, type CallStatus } from "./call-status.ts";
import { ERROR_INFO } from "./constants.ts";
import { Devices, refuse } from "./devices.ts";
import { Emitter } from "./emitter.ts";
import { abortable, deferred, deviceError, quiet, SdkError } from "./errors.ts";
import { randomId } from "./id.ts";
import { Player } from "./player.ts";
import { Question } from "./question.ts";
import type { StreamStats } from "./stats.ts";
import type { Link } from "./stream-life.ts";
import type { Abortable, StreamOptions } from "./stream-options.ts";

/** How long the server may take to confirm the end of a call. After that the call counts as over. */
const hangupTimeoutMs = 5000;

/** A call to a phone or to another session, from `session.createCall` or the event INCOMING_CALL to the end. A call lives once. */
export class Call extends Emitter<CallEvents> {
  private readonly _id: string;
  private _state = newCall;
  private _options: TalkOptions;
  private _devices: Devices;
  private _player: Player;
  private _attempt: CallAttempt | null = null;
  private _errorInfo = "";
  private _restarting = false; // the server was asked to restart ICE, and has not answered yet
  private _timer: ReturnType<typeof setTimeout> | undefined;
  private readonly _answered = deferred<this>();
  private readonly _over = deferred<this>();
  private readonly _held = new Question<this>();
  private readonly _transferred = new Question<this>();

  /** @internal */
  constructor(
    private readonly _link: Link, private readonly _login: string, private readonly _about: CallOptions & Partial<IncomingCall>,
    private readonly _offer: string | undefined, private readonly _forget: () => void,
  ) {
    super();
    this._id = _about.callId ?? randomId();
    this._options = _about;
    this._devices = this._newDevices();
    this._player = this._newPlayer();
  }

  /** Opens camera and microphone and calls. It resolves when the other side answers, and rejects if it does not. The call must be new. */
  call(options: Abortable = {}): Promise<this> {
    return this._begin(this._offer === undefined, options, async (stream, attempt) => {
      const sdp = await attempt._offerToTalk(stream, this._wanted, this._player._show.bind(this._player));
      const { callee, custom, sipSDP, visibleName = this._login } = this._about;
      return ["call", { incoming: false, sdp, sipSDP, caller: this._login, callee, custom, visibleName, ...has(stream) }];
    });
  }

  /** Opens camera and microphone and answers an incoming call. It resolves when both sides hear each other. */
  answer(options: AnswerOptions = {}): Promise<this> {
    if (this._state._phase === "new") {
      this._options = { ...this._about, ...options };
      if (!/^m=video/m.test(this._offer ?? "")) {
        this._options.constraints = { ...this._options.constraints ?? { audio: true }, video: false };
      }
      this._devices = this._newDevices();
      this._player = this._newPlayer();
    }
    return this._begin(this._offer !== undefined, options, async (stream, attempt) => {
      const sdp = await attempt._answerOffer(this._offer!, stream, this._wanted, this._player._show.bind(this._player));
      const { callee, custom } = this._about;
      return ["answer", { incoming: true, sdp, sipSDP: this._options.sipSDP, callee, custom, ...has(stream) }];
    });
  }

  /** Hangs up, or declines an incoming call. It resolves when the call is over. It never rejects. */
  hangup(): Promise<this> {
    const { _phase: phase } = this._state;
    const known = phase === "asked" || phase === "up" || this._offer !== undefined;
    if (known && phase !== "over" && phase !== "closing") {
      this._send("hangup");
    }
    this._step({ type: known && this._link._isUp() ? "hangup" : "drop" });
    return this._over._promise;
  }

  /** Resolves when the call is over, whatever the cause. `status` and `error` say how it ended. */
  get ended(): Promise<this> {
    return this._over._promise;
  }

  /** Holds the call. It resolves when the other side agrees, and rejects if it does not. */
  hold(options: Abortable = {}): Promise<this> {
    return this._change("hold", {}, this._held, options);
  }

  /** Holds the call before `transfer`. */
  holdForTransfer(options: Abortable = {}): Promise<this> {
    return this._change("hold", { holdForTransfer: true }, this._held, options);
  }

  /** Ends the hold. */
  unhold(options: Abortable = {}): Promise<this> {
    return this._change("unhold", {}, this._held, options);
  }

  /** Asks the other side to call the target instead. It resolves when that has worked; the call is then over. */
  transfer(target: string, options: Abortable = {}): Promise<this> {
    return this._change("transfer", { target }, this._transferred, options);
  }

  /** Sends digits: 0 to 9, *, #, A to D; a comma is a pause of a second. The type is "RFC2833", "INFO" or "INFO_RELAY". */
  sendDTMF(digits: string | number, type = "RFC2833"): void {
    this._send("sendDtmf", { type, dtmf: String(digits) });
  }

  /** The id of the call. */
  id(): string {
    return this._id;
  }

  /** The present status, one of CALL_STATUS. */
  status(): CallStatus {
    return this._state.status;
  }

  /** Why the call is over; null before. */
  get error(): SdkError | null {
    return this._state.error;
  }

  /** Who calls. */
  caller(): string {
    return this._offer === undefined ? this._login : this._about.caller ?? "";
  }

  /** Who is called. */
  callee(): string {
    return this._about.callee;
  }

  /** The caller's name for people. */
  visibleName(): string {
    return this._about.visibleName ?? this._login;
  }

  /** ERROR_INFO.LOCAL_ERROR if the browser has ended the call, otherwise an empty text. */
  getInfo(): string {
    return this._errorInfo && ERROR_INFO.LOCAL_ERROR;
  }

  /** The browser's words, if `getInfo` returns ERROR_INFO.LOCAL_ERROR. */
  getErrorInfo(): string {
    return this._errorInfo;
  }

  /** Sends silence instead of sound. */
  muteAudio(): void {
    this._devices._enable("audio", false);
  }

  /** Sends sound again. */
  unmuteAudio(): void {
    this._devices._enable("audio", true);
  }

  /** Whether the call sends no sound. */
  isAudioMuted(): boolean {
    return !this._devices._track("audio")?.enabled;
  }

  /** Sends black pictures. */
  muteVideo(): void {
    this._devices._enable("video", false);
  }

  /** Sends pictures again. */
  unmuteVideo(): void {
    this._devices._enable("video", true);
  }

  /** Whether the call sends no pictures. */
  isVideoMuted(): boolean {
    return !this._devices._track("video")?.enabled;
  }

  /** Switches to the camera with this id, or to the next one, and resolves to the id. */
  async switchCam(deviceId?: string): Promise<string> {
    return this._talking()._switchTo("video", deviceId);
  }

  /** Switches to the microphone with this id, or to the next one, and resolves to the id. */
  async switchMic(deviceId?: string): Promise<string> {
    return this._talking()._switchTo("audio", deviceId);
  }

  /** Sends a screen or window in place of the camera. */
  async switchToScreen(..._vendors: unknown[]): Promise<void> {
    return this._talking()._toScreen(() => void this.switchToCam().catch(() => undefined));
  }

  /** Sends the camera again in place of the screen. */
  async switchToCam(): Promise<void> {
    return this._talking()._toCamera();
  }

  /** Sets the volume of the other side: 0 to 100. */
  setVolume(volume: number): void {
    const { _element: element } = this._player;
    if (element) {
      element.volume = volume / 100;
    }
  }

  /** The volume of the other side: 0 to 100, or -1 before the call has an element. */
  getVolume(): number {
    const { _element: element } = this._player;
    return element ? element.volume * 100 : -1;
  }

  /** Plays through another loudspeaker. */
  async setAudioOutputId(id: string): Promise<void> {
    await this._player._element?.setSinkId(id).catch(refuse);
  }

  /** The statistics of the connection; with `native`, the browser's own reports. */
  getStats(listener?: ((stats: any) => void) | null, native = false): Promise<StreamStats | RTCStatsReport> {
    return quiet(this._readStats(native).then((stats) => {
      listener?.(stats);
      return stats;
    }));
  }

  /** Returns the console, for pages of the vendor's SDK. */
  getLogger(): Console {
    return console;
  }

  /** @internal The server sent a message about this call. */
  _received(name: string, data: any, sdp: unknown): void {
    switch (name) {
      case "setRemoteSDP":
        void this._accept(String(sdp));
        break;
      case "notifyDtmf":
        this._fire("DTMF", String(data.dtmf));
        break;
      case "notifyTransferEvent":
        this._fire("TRANSFER", data as Transfer);
        data.status === "COMPLETED" && this._transferred._answer(this);
        data.status === "FAILED" && this._transferred._refuse(new SdkError("failed"));
        break;
      case "fail":
        if (data.apiMethod === "restartIce") {
          this._restarting = false;
          break;
        }
        (data.apiMethod === "transfer" ? this._transferred : this._held)._refuse(new SdkError("failed", data.info));
        break;
      default:
        if (data.status in CALL_STATUS) {
          this._step({ type: "told", status: data.status });
          this._state._phase === "up" && this._held._answer(this); // though a hold of a call that is held changes nothing
        }
    }
  }

  /** @internal Restarts ICE of a call that was answered, if it has lost its network, or if the browser has just got another one. */
  async _restart(another = false): Promise<void> {
    const { _attempt: attempt } = this;
    const wanted = (): boolean => this._state._phase === "up";
    if (wanted() && !this._restarting && (another || /^(dis|f)/.test(attempt!._connection.iceConnectionState))) {
      this._restarting = true;
      this._link._probe();
      const sdp = await attempt!._offer({ iceRestart: true }).catch(() => ""); // the call has ended meanwhile
      wanted() && this._link._send("restartIce", { mediaSessionId: this._id, sdp });
    }
  }

  /** @internal The session has a socket again. */
  _relinked(): void {
    const again = this._restarting;
    this._restarting = false;
    void this._restart(again); // the last request may be lost
  }

  /** @internal The session is over, or the server has forgotten the call. */
  _closed(error: SdkError): void {
    this._step({ type: "fail", error });
  }

  /** Takes the server's answer to an offer. A call goes on if only the answer to a restart is of no use. */
  private async _accept(sdp: string): Promise<void> {
    const again = this._restarting;
    this._restarting = false;
    await this._attempt?._accept(sdp).catch((error) => again || this._broken(error));
  }

  private _newDevices(): Devices {
    return new Devices({ ...this._media, display: this._options.localVideoDisplay ?? null }, (kind) => this._attempt?._sender(kind));
  }

  private _newPlayer(): Player {
    return new Player({ ...this._media, display: this._options.remoteVideoDisplay ?? null }, () => undefined);
  }

  /** The options as those of a stream. */
  private get _media(): StreamOptions {
    return { ...this._options, name: this._id };
  }

  private get _wanted(): Wanted {
    return { audio: this._options.receiveAudio ?? true, video: this._options.receiveVideo ?? true };
  }

  /** Opens the devices and a connection, and sends what ask makes of them. Resolves when the other side has answered. */
  private _begin(
    allowed: boolean, { signal }: Abortable, ask: (stream: MediaStream, attempt: CallAttempt) => Promise<[string, object]>,
  ): Promise<this> {
    if (!allowed || !this._step({ type: "begin" })) {
      return quiet(Promise.reject(this._wrongState()));
    }
    const answered = abortable(this._answered, signal, () => void this.hangup()); // at once, if the signal has aborted already
    void this._ask(ask);
    return answered;
  }

  private async _ask(ask: (stream: MediaStream, attempt: CallAttempt) => Promise<[string, object]>): Promise<void> {
    const wanted = (): boolean => this._state._phase === "opening";
    try {
      const stream = await this._devices.open(wanted);
      if (!wanted()) {
        return;
      }
      this._attempt = new CallAttempt(this._link, this._media);
      this._attempt._connection.oniceconnectionstatechange = () => void this._restart();
      this._player.open();
      const [message, data] = await ask(stream, this._attempt);
      if (wanted()) {
        this._send(message, { status: "PENDING", mediaProvider: "WebRTC", ...data });
        this._step({ type: "sent" });
      }
    } catch (error) {
      this._broken(error as Error);
    }
  }

  /** The browser cannot go on with the call. */
  private _broken(error: Error): void {
    const { _phase: phase } = this._state;
    if (phase !== "over") {
      this._errorInfo = error.message;
      if (phase !== "opening" || this._offer !== undefined) {
        this._send("hangup");
      }
      this._step({ type: "fail", error: deviceError(error) });
    }
  }

  /** Takes a step, and does the work of the new phase. Returns false if the step changed nothing. */
  private _step(step: CallStep): boolean {
    const before = this._state;
    const { error, _phase: phase, status } = this._state = reduceCall(before, step);
    if (this._state === before) {
      return false;
    }
    if (phase === "closing" && before._phase !== phase) {
      this._timer = setTimeout(() => this._step({ type: "due" }), hangupTimeoutMs);
      this._release();
    }
    if (phase === "up") {
      this._answered._resolve(this);
    }
    if (phase === "over") {
      clearTimeout(this._timer);
      this._forget();
      this._release();
      this._answered._reject(error);
      this._held._refuse(error);
      this._transferred._refuse(error);
    }
    if (status !== before.status) {
      this._fire(status, this);
    }
    phase === "over" && this._over._resolve(this);
    return true;
  }

  /** Releases what the call holds. */
  private _release(): void {
    this._attempt?.close();
    this._player.close();
    this._devices.close();
  }

  private _send(message: string, data?: object): void {
    this._link._send(message, { callId: this._id, ...data });
  }

  private _change(message: string, data: object, question: Question<this>, { signal }: Abortable): Promise<this> {
    if (this._state._phase !== "up" || !this._link._isUp()) {
      return quiet(Promise.reject(this._wrongState()));
    }
    this._send(message, data);
    return question._wait(signal);
  }

  private async _readStats(native: boolean): Promise<StreamStats | RTCStatsReport> {
    if (!this._attempt) {
      throw this._wrongState();
    }
    return native ? this._attempt._connection.getStats() : this._attempt._stats();
  }

  /** The devices of a call that was answered; throws before. */
  private _talking(): Devices {
    if (this._state._phase !== "up") {
      throw this._wrongState();
    }
    return this._devices;
  }

  private _wrongState(): SdkError {
    return new SdkError("invalid_state", `Invalid call state ${isFinal(this.status()) ? "over" : this.status()}`);
  }
}

function has(stream: MediaStream): object {
  return { hasAudio: stream.getAudioTracks().length > 0, hasVideo: stream.getVideoTracks().length > 0 };
}
