import type { Attempt, VideoSettings } from "./attempt.ts";
import type { STREAM_EVENT_TYPE, StreamStatus } from "./constants.ts";
import { Devices, refuse } from "./devices.ts";
import { Emitter } from "./emitter.ts";
import { notHere, quiet, SdkError, streamError } from "./errors.ts";
import { Player } from "./player.ts";
import { Question } from "./question.ts";
import type { StreamStats } from "./stats.ts";
import { type Link, StreamLife } from "./stream-life.ts";
import type { Abortable, MuteState, StreamEvent, StreamEvents, StreamOptions } from "./stream-options.ts";

/** What the server says of a stream with its status. */
interface StreamInfo {
  mediaSessionId?: string;
  status?: string;
  info?: string;
  reason?: string;
  audioState?: MuteState;
  videoState?: MuteState;
  streamerVideoWidth?: number;
  streamerVideoHeight?: number;
}

type EventType = (typeof STREAM_EVENT_TYPE)[keyof typeof STREAM_EVENT_TYPE];

const terminal: string[] = ["FAILED", "STOPPED", "UNPUBLISHED"];

/** A stream that is published or played, from `session.createStream` to the end. A stream lives once: create a new one each time. */
export class Stream extends Emitter<StreamEvents> {
  private readonly _devices: Devices; // used by a publisher
  private readonly _player: Player; // used by a player
  /** @internal */
  readonly _life: StreamLife<this>;
  private readonly _availability = new Question<this>();
  private readonly _picture = new Question<string>();
  private _resolution: { width?: number; height?: number } = {};
  private _bandwidth: [remote: number, network: number] = [-1, -1];
  private _audioState: MuteState | undefined;
  private _videoState: MuteState | undefined;

  /** @internal */
  constructor(private readonly _link: Link, private readonly _options: StreamOptions) {
    super();
    this._devices = new Devices(_options, (kind) => this._life._attempt?._sender(kind));
    this._player = new Player(_options, () => this._fire("STREAM_EVENT", { mediaSessionId: this.id(), type: "unmuteRequired" }));
    this._life = new StreamLife(this, _link, _options, this._devices, this._player);
    _options.record && notHere("record");
  }

  /** Opens camera and microphone and publishes them. It resolves when the server has them. The stream must be new. */
  publish(options: Abortable = {}): Promise<this> {
    return this._life._begin("publish", options.signal);
  }

  /** Plays the stream from the server. It resolves when the stream is live. The stream must be new. */
  play(options: Abortable = {}): Promise<this> {
    return this._life._begin("play", options.signal);
  }

  /** Ends the stream. It resolves when the server has confirmed the end, so that the name is free. It never rejects. */
  stop(): Promise<this> {
    this._life._stop();
    return this._life._over._promise;
  }

  /** Resolves when the stream is over, whatever the cause. `status` and `error` say how it ended. */
  get ended(): Promise<this> {
    return this._life._over._promise;
  }

  /** The id of the stream on the server (mediaSessionId), and of the video element. It changes when the stream is restored. */
  id(): string {
    return this._life._id;
  }

  /** The name of the stream on the server. */
  name(): string {
    return this._options.name;
  }

  /** The present status, one of STREAM_STATUS. */
  status(): StreamStatus {
    return this._life._state.status;
  }

  /** Whether the stream is published; false before `publish`. */
  published(): boolean {
    return this._life._state._mode === "publish";
  }

  /** Why the stream failed, or why it is being restored; null in any other status. */
  get error(): SdkError | null {
    const { error, status } = this._life._state;
    return status === "RESTORING" || status === "FAILED" ? error : null;
  }

  /** The server's words for the last change of status, from STREAM_STATUS_INFO. */
  getInfo(): string {
    return this._life._info;
  }

  /** The browser's words, if `getInfo` returns ERROR_INFO.LOCAL_ERROR. */
  getErrorInfo(): string {
    return this._life._errorInfo;
  }

  /** The media that are sent or played; null if there are none yet. */
  get mediaStream(): MediaStream | null {
    return this._devices._local?._stream ?? this._player._stream;
  }

  /** The video element that shows the stream; null if there is none. */
  get video(): HTMLVideoElement | null {
    return this._devices._local?.video ?? this._player._element;
  }

  /** Asks the server whether the stream is published. If it is not, this rejects with the reason `stream_not_found` or `not_ready`. */
  available(options: Abortable = {}): Promise<this> {
    return this._ask(this._availability, "availableStream", options);
  }

  /** Takes a picture of the stream of this name: a `data:` URL of a PNG. The stream need not be played here. */
  snapshot(options: Abortable = {}): Promise<string> {
    return this._ask(this._picture, "snapshot", options);
  }

  /** Sends an object to all players of the stream. They get a StreamEvent of the type `data`. */
  sendData(payload: unknown): void {
    this._sending();
    this._sendEvent("data", payload);
  }

  /** Sends silence instead of sound, and tells the players. */
  muteAudio(): void {
    this._enable("audio", false);
  }

  /** Sends sound again, and tells the players. */
  unmuteAudio(): void {
    this._enable("audio", true);
  }

  /** Whether the stream sends no sound. */
  isAudioMuted(): boolean {
    return !this._devices._track("audio")?.enabled;
  }

  /** Sends black pictures, and tells the players. */
  muteVideo(): void {
    this._enable("video", false);
  }

  /** Sends pictures again, and tells the players. */
  unmuteVideo(): void {
    this._enable("video", true);
  }

  /** Whether the stream sends no pictures. */
  isVideoMuted(): boolean {
    return !this._devices._track("video")?.enabled;
  }

  /** Whether the publisher of a played stream has muted the sound; undefined if that is not known. */
  getAudioState(): MuteState | undefined {
    return this._audioState;
  }

  /** Whether the publisher of a played stream has muted the pictures; undefined if that is not known. */
  getVideoState(): MuteState | undefined {
    return this._videoState;
  }

  /** Switches to the microphone with this id, or to the next one, and resolves to the id. If it rejects, the old microphone stays. */
  async switchMic(deviceId?: string): Promise<string> {
    return this._sending()._switchTo("audio", deviceId);
  }

  /** Switches to the camera with this id, or to the next one, and resolves to the id. If it rejects, the old camera stays. */
  async switchCam(deviceId?: string): Promise<string> {
    return this._sending()._switchTo("video", deviceId);
  }

  /** Sends a screen or window in place of the camera. The browser lets the person pick it. */
  async switchToScreen(..._vendors: unknown[]): Promise<void> {
    return this._sending()._toScreen(() => void this.switchToCam().catch(() => undefined));
  }

  /** Sends the camera again in place of the screen. */
  async switchToCam(): Promise<void> {
    return this._sending()._toCamera();
  }

  /** Sends a track of the page in place of the track of the same kind, which stays open. The end of the stream stops the new track. */
  async switchToTrack(track: MediaStreamTrack): Promise<void> {
    return this._sending()._toTrack(track);
  }

  /** Changes bandwidth, frame rate and scale of the published pictures. */
  async updateVideoSettings(settings: VideoSettings): Promise<RTCRtpEncodingParameters[]> {
    return this._needAttempt()._set(settings).catch(refuse);
  }

  /** Changes the size of the camera's pictures while they are published. */
  async updateVideoResolution(resolution: { width?: number; height?: number }): Promise<void> {
    await this._sending()._apply(resolution);
  }

  /** The zoom range of the camera; null if it cannot zoom, or if the browser does not say. */
  getZoomCapabilities(): { min: number; max: number; step: number } | null {
    return (this._devices._track("video")?.getCapabilities?.() as any)?.zoom ?? null;
  }

  /** The present zoom of the camera; null if it cannot zoom. */
  getZoom(): number | null {
    return (this._devices._track("video")?.getSettings() as any)?.zoom ?? null;
  }

  /** Zooms the camera. It rejects if the camera cannot zoom. */
  async setZoom(zoom: number): Promise<void> {
    await this._sending()._apply({ advanced: [{ zoom } as MediaTrackConstraintSet] });
  }

  /** Does nothing but warn in the console; it is there for pages of the vendor's SDK. */
  setMicrophoneGain(_volume: number): void {
    notHere("setMicrophoneGain");
  }

  /** Returns an empty text, for pages of the vendor's SDK: nothing is recorded. */
  getRecordInfo(): string {
    return "";
  }

  /** Returns the console, for pages of the vendor's SDK. */
  getLogger(): Console {
    return console;
  }

  /** The size of the played picture, as the server tells it. */
  videoResolution(): { width?: number; height?: number } {
    return this._resolution;
  }

  /** Sets the volume of a played stream: 0 to 100. */
  setVolume(volume: number): void {
    const { _element: element } = this._player;
    if (element) {
      element.volume = volume / 100;
    }
  }

  /** The volume of a played stream: 0 to 100, or -1 if nothing is played. */
  getVolume(): number {
    const { _element: element } = this._player;
    return element ? element.volume * 100 : -1;
  }

  /** Plays without sound. */
  muteRemoteAudio(): void {
    const { _element: element } = this._player;
    if (element) {
      element.muted = true;
    }
  }

  /** Plays with sound. Browsers may require a click first. */
  unmuteRemoteAudio(): void {
    const { _element: element } = this._player;
    if (element) {
      element.muted = false;
    }
  }

  /** Whether a played stream plays without sound. */
  isRemoteAudioMuted(): boolean {
    return this._player._element?.muted ?? true;
  }

  /** Plays through another loudspeaker. */
  async setAudioOutputId(id: string): Promise<void> {
    await this._player._element?.setSinkId(id).catch(refuse);
  }

  /** Shows the video on the full screen, or ends that. */
  fullScreen(): void {
    const change = document.fullscreenElement ? document.exitFullscreen() : this.video?.requestFullscreen();
    change?.catch(() => undefined); // the browser requires a click, and its console says so
  }

  /** The statistics of the connection; with `native`, the browser's own reports. */
  getStats(listener?: ((stats: any) => void) | null, native = false): Promise<StreamStats | RTCStatsReport> {
    return quiet(this._readStats(native).then((stats) => {
      listener?.(stats);
      return stats;
    }));
  }

  /** The publisher's bit/s in the server's last NOT_ENOUGH_BANDWIDTH; -1 if there was none. */
  getRemoteBitrate(): number {
    return this._bandwidth[0];
  }

  /** The bit/s that this player can receive in the server's last NOT_ENOUGH_BANDWIDTH; -1 if there was none. */
  getNetworkBandwidth(): number {
    return this._bandwidth[1];
  }

  /** @internal The server sent a message about this stream. */
  _received(name: string, data: any, sdp: unknown): void {
    switch (name) {
      case "setRemoteSDP":
        void this._life._answered(String(sdp));
        break;
      case "notifyStreamStatusEvent":
      case "notifyVideoFormat":
        this._told(data);
        break;
      case "notifyStreamEvent":
        this._happened(data);
        break;
      case "availableStream":
        this._life._info = data.info ?? "";
        data.status === "true" ? this._availability._answer(this) : this._availability._refuse(streamError(this._life._info));
        break;
      case "inboundVideoRate":
      case "outboundVideoRate":
        void this._measure(data.videoRate);
        break;
      case "fail":
        data.apiMethod === "StreamStatusEvent" ? this._told({ status: "FAILED", ...data })
          : data.apiMethod === "restartIce" && void this._life._answered("");
        break;
    }
  }

  /** @internal The session has lost its socket, and opens another. */
  _lost(error: SdkError): void {
    this._refuseQuestions(error);
    this._life._step({ type: "lost", error });
  }

  /** @internal The session has a socket again. A server that kept the session now says how its streams are. */
  _relinked(kept: boolean): void {
    this._life._step({ type: kept ? "kept" : "relinked" });
  }

  /** @internal The session is over. */
  _closed(error: SdkError): void {
    this._life._closed(error);
  }

  /** @internal Rejects the questions that wait: nobody answers them any more. */
  _refuseQuestions(error: SdkError | null): void {
    this._availability._refuse(error);
    this._picture._refuse(error);
  }

  /** The server reports a status. */
  private _told(info: StreamInfo): void {
    const { status = "" } = info;
    this._audioState = info.audioState ?? this._audioState;
    this._videoState = info.videoState ?? this._videoState;
    this._life._info = info.info ?? this._life._info;
    if (terminal.includes(status)) {
      this._life._toldEnd(status as StreamStatus, streamError(info.info ?? "", info.reason));
    } else if (status === "PUBLISHING" || status === "PLAYING") {
      this._life._toldLive(status);
    } else if (status === "RESIZE" || status === "NOT_ENOUGH_BANDWIDTH" || status === "SNAPSHOT_COMPLETE") {
      this._resized(info);
      this._fire(status, this);
    }
  }

  /** The server reports an event. */
  private _happened(event: StreamEvent): void {
    const { payload, type } = event;
    switch (type as EventType) {
      case "resize":
        this._resized(payload ?? {});
        break;
      case "notEnoughBandwidth": {
        const [remote, network] = String(payload?.info).split("/").map(Number);
        this._bandwidth = [remote ?? -1, network ?? -1];
        break;
      }
      case "snapshotCompleted":
        this._picture._answer(`data:image/png;base64,${payload?.snapshot}`);
        break;
      case "snapshotFailed":
        this._picture._refuse(new SdkError("snapshot_failed", payload?.info));
        break;
    }
    this._fire("STREAM_EVENT", event);
  }

  /** The server reports how many bit/s it receives or sends. */
  private async _measure(serverBPS: number): Promise<void> {
    const result = await this._life._attempt?._measure(serverBPS).catch(() => null);
    if (result) {
      this._fire("UPDATE", ...result);
    }
  }

  private _ask<T>(question: Question<T>, message: string, { signal }: Abortable): Promise<T> {
    if (!this._link._isUp()) {
      return quiet(Promise.reject(this._link._wrongState()));
    }
    this._link._send(message, { mediaSessionId: this.id(), name: this.name() });
    return question._wait(signal);
  }

  private _resized({ streamerVideoHeight, streamerVideoWidth }: StreamInfo): void {
    if (streamerVideoWidth && streamerVideoHeight) {
      this._resolution = { width: streamerVideoWidth, height: streamerVideoHeight };
    }
  }

  private _enable(kind: "audio" | "video", enabled: boolean): void {
    if (this._devices._enable(kind, enabled)) {
      this._sendEvent(`${kind}${enabled ? "Unmuted" : "Muted"}`);
    }
  }

  private _sendEvent(type: EventType, payload?: unknown): void {
    this._link._send("sendStreamEvent", { mediaSessionId: this.id(), type, payload });
  }

  private async _readStats(native: boolean): Promise<StreamStats | RTCStatsReport> {
    const attempt = this._needAttempt();
    return native ? attempt._connection.getStats() : attempt._stats();
  }

  /** The devices of a stream that is being published; throws if it is not. */
  private _sending(): Devices {
    if (this.status() !== "PUBLISHING") {
      throw this._life._wrongState("PUBLISHING");
    }
    return this._devices;
  }

  private _needAttempt(): Attempt {
    if (!this._life._attempt) {
      throw this._life._wrongState();
    }
    return this._life._attempt;
  }
}
