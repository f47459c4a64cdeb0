import { type Backoff, Pauses } from "./backoff.ts";
import { CONNECTION_QUALITY, ERROR_INFO, STREAM_EVENT, STREAM_EVENT_TYPE, STREAM_STATUS,
  STREAM_STATUS_INFO, type StreamStatus } from "./constants.ts";
import { Emitter } from "./emitter.ts";
import { abortable, type Deferred, deferred, deviceError, notHere, quiet, type Reason, SdkError, streamError } from "./errors.ts";
import { randomId } from "./id.ts";
import { type AudioConstraints, elementIn, isLive, LocalMedia, mediaDevices, nextDevice,
  openDevice, openInPlaceOf, removeFrom, type VideoConstraints } from "./media.ts";
import { Attempt, type VideoSettings } from "./attempt.ts";
import { QualityMeter } from "./quality.ts";
import type { StreamStats } from "./stats.ts";
import type { Abortable, MuteState, StreamEvent, StreamEvents, StreamOptions } from "./stream-options.ts";

/** The server's description of a stream, with the end of it, perhaps. @internal */
export interface StreamInfo {
  mediaSessionId?: string;
  status?: string;
  info?: string;
  audioState?: MuteState;
  videoState?: MuteState;
  streamerVideoWidth?: number;
  streamerVideoHeight?: number;
}

/** What a stream needs of its session. @internal */
export interface Link {
  readonly established: boolean;
  readonly mediaOptions: RTCConfiguration | undefined;
  readonly backoff: Backoff | undefined;
  send(name: string, data: unknown): void;
  register(id: string, stream: Stream): void;
  unregister(id: string): void;
}

/** How long the server may take to confirm the end of a stream, before it counts as ended without. */
const stopTimeoutMs = 5000;

/** How long a server that kept the session may take to tell of a stream, before that is opened anew. */
const keptTimeoutMs = 3000;

const terminal: string[] = [STREAM_STATUS.FAILED, STREAM_STATUS.STOPPED, STREAM_STATUS.UNPUBLISHED];

/** Ends of a live stream after which it is opened anew. A name in use may be our own, of the session that was lost. */
const passing: Reason[] = ["ice_failed", "media_lost", "disconnected", "failed", "name_in_use", "not_ready"];

/** The same, of players alone: the publisher may come back. */
const passingForPlayers: Reason[] = ["publisher_stopped", "stream_not_found"];

/** A stream that is published or played, from `session.createStream` to its end. It lives once: make a new one for each. */
export class Stream extends Emitter<StreamEvents> {
  private mode: "publish" | "play" | null = null;
  private state: StreamStatus = STREAM_STATUS.NEW;
  private mediaSessionId = randomId();
  private info = "";
  private errorInfo = "";
  private cause: SdkError | null = null;

  private peer: Attempt | null = null;
  private local: LocalMedia | null = null;
  private camera: MediaStreamTrack | null = null; // kept while the screen is shared
  private changing: Promise<unknown> = Promise.resolve();
  private remote: MediaStream | null = null;
  private element: HTMLVideoElement | null = null; // of a player
  private resolution: { width?: number; height?: number } = {};
  private bandwidth: [remote: number, network: number] = [-1, -1];
  private audioState: MuteState | undefined;
  private videoState: MuteState | undefined;
  private quality = new QualityMeter();

  private attempts = 0; // what comes from an earlier one, late, counts for nothing
  private asked = false; // the server knows of the attempt
  private stopping = false;
  private flowing = false; // was live when the socket was lost
  private timer: ReturnType<typeof setTimeout> | undefined;
  private readonly pauses: Pauses;
  private readonly live = deferred<this>();
  private readonly over = deferred<this>();
  private availabilities: Deferred<this>[] = [];
  private snapshots: Deferred<string>[] = [];

  /** @internal */
  constructor(private readonly link: Link, private readonly options: StreamOptions) {
    super();
    this.pauses = new Pauses(link.backoff ?? {});
    options.record && notHere("record");
    link.register(this.mediaSessionId, this);
  }

  /** Opens camera and microphone and sends them; resolves when the server has them. The stream must be new. */
  publish(options: Abortable = {}): Promise<this> {
    return this.begin("publish", options.signal);
  }

  /** Gets the stream from the server and shows it; resolves when it comes. The stream must be new. */
  play(options: Abortable = {}): Promise<this> {
    return this.begin("play", options.signal);
  }

  /** Ends the stream; resolves when the server has confirmed that, so that its name is free. It never rejects. */
  stop(): Promise<this> {
    if (this.state === STREAM_STATUS.NEW) {
      this.end(STREAM_STATUS.FAILED, new SdkError("stopped"));
    } else if (!terminal.includes(this.state) && !this.stopping) {
      this.stopping = true;
      if (!this.asked || !this.link.established) {
        this.endStopped();
      } else {
        this.sendStop();
        this.peer?.close();
        this.timer = setTimeout(() => this.endStopped(), stopTimeoutMs);
      }
    }
    return this.over.promise;
  }

  /** Resolves when the stream is over, however it ended; `status` and `error` tell how. */
  get ended(): Promise<this> {
    return this.over.promise;
  }

  /** The stream's id on the server (mediaSessionId), and of the video that shows it. It changes when a stream is restored. */
  id(): string {
    return this.mediaSessionId;
  }

  /** What the stream is called on the server. */
  name(): string {
    return this.options.name;
  }

  /** What the stream is now, of STREAM_STATUS. */
  status(): StreamStatus {
    return this.state;
  }

  /** Whether it is a publisher; false before `publish`. */
  published(): boolean {
    return this.mode === "publish";
  }

  /** Why the stream failed, or why it is being restored; null if neither. */
  get error(): SdkError | null {
    return this.cause;
  }

  /** The server's words for the last change of status, of STREAM_STATUS_INFO. */
  getInfo(): string {
    return this.info;
  }

  /** The browser's words, if `getInfo` gives ERROR_INFO.LOCAL_ERROR. */
  getErrorInfo(): string {
    return this.errorInfo;
  }

  /** What is sent or played; null while there is nothing. */
  get mediaStream(): MediaStream | null {
    return this.local?.stream ?? this.remote;
  }

  /** The element that shows it; null if there is none. */
  get video(): HTMLVideoElement | null {
    return this.local?.video ?? this.element;
  }

  /** Asks whether somebody publishes under the name; rejects with the reason `stream_not_found` or `not_ready` if not. */
  available(options: Abortable = {}): Promise<this> {
    return this.ask(this.availabilities, "availableStream", options);
  }

  /** Takes a picture of the stream of this name as it is now, which need not be played here: a `data:` URL of a PNG. */
  snapshot(options: Abortable = {}): Promise<string> {
    return this.ask(this.snapshots, "snapshot", options);
  }

  /** Sends an object to everybody who plays the stream, who get a StreamEvent of the type `data`. */
  sendData(payload: unknown): void {
    this.need(STREAM_STATUS.PUBLISHING);
    this.sendEvent(STREAM_EVENT_TYPE.DATA, payload);
  }

  /** Sends silence from now on, and tells the players. */
  muteAudio(): void {
    this.enable("audio", false, STREAM_EVENT_TYPE.AUDIO_MUTED);
  }

  /** Ends what `muteAudio` began. */
  unmuteAudio(): void {
    this.enable("audio", true, STREAM_EVENT_TYPE.AUDIO_UNMUTED);
  }

  /** Whether no sound is sent. */
  isAudioMuted(): boolean {
    return !this.track("audio")?.enabled;
  }

  /** Sends a black picture from now on, and tells the players. */
  muteVideo(): void {
    this.enable("video", false, STREAM_EVENT_TYPE.VIDEO_MUTED);
  }

  /** Ends what `muteVideo` began. */
  unmuteVideo(): void {
    this.enable("video", true, STREAM_EVENT_TYPE.VIDEO_UNMUTED);
  }

  /** Whether no picture is sent. */
  isVideoMuted(): boolean {
    return !this.track("video")?.enabled;
  }

  /** Whether the publisher of a played stream is mute; undefined while that is not known. */
  getAudioState(): MuteState | undefined {
    return this.audioState;
  }

  /** Whether the publisher of a played stream sends no picture; undefined while that is not known. */
  getVideoState(): MuteState | undefined {
    return this.videoState;
  }

  /** Sends another microphone: the one with this id, or the next. Resolves to its id; when it rejects, the old one goes on. */
  switchMic(deviceId?: string): Promise<string> {
    return this.switchDevice("audio", deviceId);
  }

  /** Sends another camera: the one with this id, or the next. Resolves to its id; when it rejects, the old one goes on. */
  switchCam(deviceId?: string): Promise<string> {
    return this.switchDevice("video", deviceId);
  }

  /** Sends a screen or window, which the browser lets the person pick, in place of the camera. */
  switchToScreen(..._vendors: unknown[]): Promise<void> {
    return this.inTurn("video", async () => {
      const [screen] = (await mediaDevices().getDisplayMedia({ video: true })).getVideoTracks();
      if (screen) {
        const camera = this.camera ?? this.track("video") ?? null;
        await this.send(screen, !this.camera);
        this.camera = camera;
        screen.addEventListener("ended", () => void this.switchToCam().catch(() => undefined)); // by the browser's own button
      }
    });
  }

  /** Sends the camera again. */
  switchToCam(): Promise<void> {
    return this.inTurn("video", async () => {
      const { camera } = this;
      if (camera) {
        await this.send(isLive(camera) ? camera : await this.openDevice("video", camera.getSettings().deviceId));
        this.camera = null;
      }
    });
  }

  /** Changes bandwidth, frame rate and scale of what is published. */
  async updateVideoSettings(settings: VideoSettings): Promise<RTCRtpEncodingParameters[]> {
    const peer = this.needPeer();
    return peer.set(settings).catch(refuse);
  }

  /** Changes the camera's picture while it is published. */
  async updateVideoResolution(resolution: { width?: number; height?: number }): Promise<void> {
    this.need(STREAM_STATUS.PUBLISHING);
    await this.track("video")?.applyConstraints(resolution).catch(refuse);
  }

  /** How far the camera in use zooms; null where it does not, or the browser does not tell. */
  getZoomCapabilities(): { min: number; max: number; step: number } | null {
    return (this.track("video")?.getCapabilities?.() as any)?.zoom ?? null;
  }

  /** The camera's zoom; null where there is none. */
  getZoom(): number | null {
    return (this.track("video")?.getSettings() as any)?.zoom ?? null;
  }

  /** Zooms the camera; rejects where that cannot be. */
  async setZoom(zoom: number): Promise<void> {
    this.need(STREAM_STATUS.PUBLISHING);
    await this.track("video")?.applyConstraints({ advanced: [{ zoom } as MediaTrackConstraintSet] }).catch(refuse);
  }

  /** Does nothing, and warns: for pages of the vendor's SDK. */
  setMicrophoneGain(_volume: number): void {
    notHere("setMicrophoneGain");
  }

  /** Empty, as nothing is recorded: for pages of the vendor's SDK. */
  getRecordInfo(): string {
    return "";
  }

  /** The console: for pages of the vendor's SDK. */
  getLogger(): Console {
    return console;
  }

  /** The size of the played picture, as the server tells it. */
  videoResolution(): { width?: number; height?: number } {
    return this.resolution;
  }

  /** How loud a played stream is: 0 to 100. */
  setVolume(volume: number): void {
    if (this.element) {
      this.element.volume = volume / 100;
    }
  }

  /** How loud a played stream is: 0 to 100, -1 while there is none. */
  getVolume(): number {
    return this.element ? this.element.volume * 100 : -1;
  }

  /** Plays without sound. */
  muteRemoteAudio(): void {
    if (this.element) {
      this.element.muted = true;
    }
  }

  /** Plays with sound; browsers may want a click before. */
  unmuteRemoteAudio(): void {
    if (this.element) {
      this.element.muted = false;
    }
  }

  /** Whether a played stream is without sound. */
  isRemoteAudioMuted(): boolean {
    return this.element?.muted ?? true;
  }

  /** Plays through another loudspeaker. */
  async setAudioOutputId(id: string): Promise<void> {
    await this.element?.setSinkId(id).catch(refuse);
  }

  /** Fills the screen with the picture, or ends that. */
  fullScreen(): void {
    const change = document.fullscreenElement ? document.exitFullscreen() : this.video?.requestFullscreen();
    change?.catch(() => undefined); // the browser wants a click, and says so itself
  }

  /** The connection's counters; with `native`, the browser's own reports. */
  getStats(listener?: ((stats: any) => void) | null, native = false): Promise<StreamStats | RTCStatsReport> {
    return quiet(this.readStats(native).then((stats) => {
      listener?.(stats);
      return stats;
    }));
  }

  /** The publisher's bit/s when the server last said that they are too many for this player; -1 if it never did. */
  getRemoteBitrate(): number {
    return this.bandwidth[0];
  }

  /** The bit/s that this player can get when the server last said that they are too few; -1 if it never did. */
  getNetworkBandwidth(): number {
    return this.bandwidth[1];
  }

  /** @internal The server's answer. */
  async answered(sdp: string): Promise<void> {
    const attempt = this.attempts;
    try {
      await this.peer?.accept(this.options.sdpHook?.({ sdpString: sdp }) || sdp);
    } catch (error) {
      if (attempt === this.attempts && !this.stopping) {
        this.sendStop();
        this.failLocally(error as Error);
      }
    }
  }

  /** @internal The server tells a status. */
  told(info: StreamInfo): void {
    const { status = "" } = info;
    this.audioState = info.audioState ?? this.audioState;
    this.videoState = info.videoState ?? this.videoState;
    this.info = info.info ?? this.info;
    if (terminal.includes(status)) {
      this.toldEnd(status as StreamStatus, info.info ?? "");
    } else if (status === STREAM_STATUS.PUBLISHING || status === STREAM_STATUS.PLAYING) {
      this.toldLive(status);
    } else if (status === STREAM_STATUS.RESIZE) {
      this.resized(info);
      this.fire(status, this);
    } else if (status === STREAM_STATUS.NOT_ENOUGH_BANDWIDTH || status === STREAM_STATUS.SNAPSHOT_COMPLETE) {
      this.fire(status, this);
    }
  }

  /** @internal The server tells an event. */
  happened(event: StreamEvent): void {
    const { payload, type } = event;
    switch (type) {
      case STREAM_EVENT_TYPE.RESIZE:
        this.resized(payload ?? {});
        break;
      case STREAM_EVENT_TYPE.NOT_ENOUGH_BANDWIDTH: {
        const [remote, network] = String(payload?.info).split("/").map(Number);
        this.bandwidth = [remote ?? -1, network ?? -1];
        break;
      }
      case STREAM_EVENT_TYPE.SNAPSHOT_COMPLETED:
        this.snapshots.splice(0).forEach(({ resolve }) => resolve(`data:image/png;base64,${payload?.snapshot}`));
        break;
      case STREAM_EVENT_TYPE.SNAPSHOT_FAILED:
        this.snapshots.splice(0).forEach(({ reject }) => reject(new SdkError("snapshot_failed", payload?.info)));
        break;
    }
    this.fire(STREAM_EVENT, event);
  }

  /** @internal The server tells whether the stream is available. */
  toldAvailable(status: unknown, info: string): void {
    this.info = info;
    for (const { reject, resolve } of this.availabilities.splice(0)) {
      status === "true" ? resolve(this) : reject(streamError(info));
    }
  }

  /** @internal The server tells how many bit/s it gets or sends. */
  async toldRate(serverBPS: number): Promise<void> {
    const bytes = await this.peer?.videoBytes().catch(() => 0);
    const result = bytes ? this.quality.measure(bytes, serverBPS) : null;
    if (result) {
      this.fire(CONNECTION_QUALITY.UPDATE, ...result);
    }
  }

  /** @internal The socket is lost and will be opened anew. What still flows may flow until then. */
  lost(error: SdkError): void {
    clearTimeout(this.timer);
    this.forgetQuestions(error);
    if (this.stopping) {
      this.endStopped();
    } else if (this.asked) { // else it is being opened, and sees by itself
      this.cause = error;
      this.flowing ||= this.state === STREAM_STATUS.PUBLISHING || this.state === STREAM_STATUS.PLAYING;
      this.change(STREAM_STATUS.RESTORING);
    }
  }

  /** @internal The socket is there again; a server that kept the session tells at once how its streams are. */
  relinked(kept: boolean): void {
    if (this.state === STREAM_STATUS.RESTORING) {
      this.asked &&= kept;
      this.timer = setTimeout(() => void this.attempt(), kept && this.flowing ? keptTimeoutMs : 0);
    }
  }

  /** @internal The session is over. */
  unlinked(error: SdkError): void {
    if (this.stopping) {
      this.endStopped();
    } else {
      this.info ||= STREAM_STATUS_INFO.STOPPED_BY_SESSION_DISCONNECT;
      this.end(STREAM_STATUS.FAILED, error);
    }
  }

  private begin(mode: "publish" | "play", signal: AbortSignal | undefined): Promise<this> {
    if (this.state !== STREAM_STATUS.NEW) {
      return quiet(Promise.reject(new SdkError("invalid_state", `Invalid stream state ${this.state}`)));
    }
    this.mode = mode;
    this.state = STREAM_STATUS.PENDING;
    const live = abortable(this.live, signal, () => void this.stop());
    if (!signal?.aborted) {
      void this.attempt();
    }
    return live;
  }

  /** Opens the stream, for the first time or anew. */
  private async attempt(): Promise<void> {
    const attempt = ++this.attempts;
    clearTimeout(this.timer);
    this.asked = this.flowing = false;
    try {
      const media = this.mode === "publish" ? await this.openLocal() : null;
      if (attempt !== this.attempts) {
        return;
      }
      this.peer?.close(); // only now: until the server is reached, the old one may still carry something
      const peer = this.peer = new Attempt(this.link.mediaOptions, this.wishes);
      this.rename();
      const offered = media ? peer.offerToSend(media.stream) : peer.offerToReceive(this.wanted, (event) => this.show(event));
      if (this.mode === "play" && this.state === STREAM_STATUS.PENDING) {
        this.fire(STREAM_STATUS.PENDING, this); // pages look for the video now
      }
      const sdp = await offered;
      if (attempt === this.attempts && !this.link.established) {
        this.change(STREAM_STATUS.RESTORING); // the socket was lost meanwhile
      } else if (attempt === this.attempts) {
        this.asked = true;
        this.link.send(media ? "publishStream" : "playStream", { ...this.description, ...this.request(sdp, media) });
      }
    } catch (error) {
      if (attempt === this.attempts) {
        this.failLocally(error as Error);
      }
    }
  }

  private async openLocal(): Promise<LocalMedia> {
    const { constraints, display, useControls } = this.options;
    if (!this.local?.usable) {
      const attempt = this.attempts;
      const local = await LocalMedia.open(constraints, display ?? null, useControls).catch((error) => {
        if (this.local?.stream.getTracks().some(isLive)) {
          return this.local; // better than nothing
        }
        throw error;
      });
      if (local === this.local) {
        return local;
      }
      local.use();
      if (attempt !== this.attempts) {
        local.leave(this.keepsMedia); // stopped meanwhile
        return local;
      }
      this.local?.leave(false); // a device of it is gone
      this.local = local;
      local.stream.getVideoTracks().forEach((track) => (track.contentHint = this.contentHint));
    }
    return this.local;
  }

  /** Every attempt is a stream of its own for the server; the old id may be in use until the server misses its socket. */
  private rename(): void {
    if (this.attempts > 1) {
      this.link.unregister(this.mediaSessionId);
      this.mediaSessionId = randomId();
      this.link.register(this.mediaSessionId, this);
    }
    if (this.mode === "play") {
      this.element ??= this.openElement();
    }
    const { video } = this;
    if (video && video !== this.options.display && video !== this.options.remoteVideo) {
      video.id = this.mediaSessionId;
    }
  }

  private openElement(): HTMLVideoElement | null {
    const { constraints, display, remoteVideo, unmutePlayOnStart, useControls = false } = this.options;
    const place = remoteVideo ?? display;
    if (!place) {
      return null;
    }
    const element = elementIn(place, useControls);
    element.muted = unmutePlayOnStart === false;
    const { outputId } = part<AudioConstraints>(constraints?.audio);
    if (outputId) {
      element.setSinkId?.(outputId).catch(() => undefined); // the default device then
    }
    return element;
  }

  /** Shows a track that has come. */
  private show(event: RTCTrackEvent): void {
    const { playoutDelay } = this.options;
    if (playoutDelay !== undefined) {
      Object.assign(event.receiver, { playoutDelayHint: playoutDelay });
    }
    if (!this.remote || this.remote.getTracks().some(({ kind }) => kind === event.track.kind)) {
      this.remote = new MediaStream(); // of another attempt
    }
    this.remote.addTrack(event.track);
    if (this.element && this.element.srcObject !== this.remote) {
      this.element.srcObject = this.remote;
      void this.startPlaying(this.element);
    }
  }

  private async startPlaying(element: HTMLVideoElement): Promise<void> {
    try {
      await element.play();
    } catch (error) {
      if ((error as Error).name !== "NotAllowedError") {
        return; // replaced or taken away meanwhile
      }
      element.muted = true;
      await element.play().catch(() => undefined);
    }
    if (element.muted && element === this.element) {
      this.fire(STREAM_EVENT, { mediaSessionId: this.mediaSessionId, type: STREAM_EVENT_TYPE.UNMUTE_REQUIRED });
    }
  }

  private toldLive(status: StreamStatus): void {
    if (this.stopping) {
      this.sendStop(); // it was sent before the server knew the stream
      return;
    }
    clearTimeout(this.timer);
    this.pauses.succeeded();
    this.cause = null;
    this.flowing = false;
    this.live.resolve(this);
    this.change(status);
  }

  private toldEnd(status: StreamStatus, info: string): void {
    const error = streamError(info);
    if (this.stopping) {
      this.endStopped(); // whatever happened at the same time
    } else if (status === STREAM_STATUS.FAILED && this.restorable(error.reason)) {
      this.restoreLater(error);
    } else {
      this.end(status, error);
    }
  }

  private restorable(reason: Reason): boolean {
    const reasons = this.mode === "play" ? [...passing, ...passingForPlayers] : passing;
    const wasLive = this.state !== STREAM_STATUS.PENDING && this.state !== STREAM_STATUS.NEW;
    return wasLive && this.link.backoff !== undefined && reasons.includes(reason);
  }

  private restoreLater(error: SdkError): void {
    const pause = this.pauses.next();
    if (pause === null) {
      this.end(STREAM_STATUS.FAILED, error);
      return;
    }
    this.attempts++;
    this.asked = false;
    this.cause = error;
    this.timer = setTimeout(() => this.link.established && void this.attempt(), pause); // else with the socket
    if (this.state !== STREAM_STATUS.RESTORING) {
      this.change(STREAM_STATUS.RESTORING);
    }
  }

  private failLocally(error: Error): void {
    this.info = ERROR_INFO.LOCAL_ERROR;
    this.errorInfo = error.message;
    this.end(STREAM_STATUS.FAILED, error instanceof SdkError ? error : new SdkError("failed", error.message, { cause: error }));
  }

  private endStopped(): void {
    this.end(this.mode === "publish" ? STREAM_STATUS.UNPUBLISHED : STREAM_STATUS.STOPPED, null);
  }

  private end(status: StreamStatus, error: SdkError | null): void {
    if (terminal.includes(this.state)) {
      return;
    }
    this.attempts++;
    clearTimeout(this.timer);
    this.link.unregister(this.mediaSessionId);
    this.peer?.close();
    this.camera?.stop();
    this.local?.leave(this.keepsMedia);
    const place = this.options.remoteVideo ?? this.options.display;
    if (place) {
      removeFrom(place, this.element);
    }
    this.cause = status === STREAM_STATUS.FAILED ? error : null;
    const reason = error ?? new SdkError("stopped");
    this.forgetQuestions(reason);
    this.live.reject(reason);
    this.over.resolve(this);
    this.change(status);
  }

  private change(status: StreamStatus): void {
    this.state = status;
    this.fire(status, this);
  }

  /** Asks the server something about the stream; the answer, which names no question, is for all who wait for one. */
  private ask<T>(waiting: Deferred<T>[], question: string, { signal }: Abortable): Promise<T> {
    const answer = deferred<T>();
    if (this.link.established) {
      waiting.push(answer);
      this.link.send(question, { mediaSessionId: this.mediaSessionId, name: this.options.name });
    } else {
      answer.reject(new SdkError("invalid_state", "the session is not connected"));
    }
    return abortable(answer, signal, () => waiting.splice(waiting.indexOf(answer), 1));
  }

  private forgetQuestions(error: SdkError): void {
    [...this.availabilities.splice(0), ...this.snapshots.splice(0)].forEach(({ reject }) => reject(error));
  }

  private resized({ streamerVideoHeight, streamerVideoWidth }: StreamInfo): void {
    if (streamerVideoWidth && streamerVideoHeight) {
      this.resolution = { width: streamerVideoWidth, height: streamerVideoHeight };
    }
  }

  private sendStop(): void {
    this.link.send(this.mode === "publish" ? "unPublishStream" : "stopStream", this.description);
  }

  private sendEvent(type: string, payload?: unknown): void {
    this.link.send("sendStreamEvent", { mediaSessionId: this.mediaSessionId, type, payload });
  }

  private get description(): object {
    return {
      mediaSessionId: this.mediaSessionId, name: this.options.name, published: this.mode === "publish",
      hasVideo: true, hasAudio: true, status: this.state === STREAM_STATUS.RESTORING ? STREAM_STATUS.PENDING : this.state,
      record: false,
    };
  }

  private request(sdp: string, media: LocalMedia | null): object {
    const { constraints, custom, cvoExtension, playHeight, playWidth, rtmpUrl, transport } = this.options;
    const { bitrate = 0, height, maxBitrate = 0, minBitrate = 0, quality = 0, width } = part<VideoConstraints>(constraints?.video);
    const common = { mediaProvider: "WebRTC", sdp, custom, bitrate, minBitrate, maxBitrate, constraints, transport, cvoExtension };
    if (!media) {
      return { ...common, quality, width: playWidth ?? width ?? 0, height: playHeight ?? height ?? 0 };
    }
    const { stream } = media;
    return { ...common, rtmpUrl, hasAudio: stream.getAudioTracks().length > 0, hasVideo: stream.getVideoTracks().length > 0 };
  }

  private get wishes(): ConstructorParameters<typeof Attempt>[1] {
    const { constraints, stripCodecs } = this.options;
    const { bitrate, fec, stereo } = part<AudioConstraints>(constraints?.audio);
    const { maxBitrate = 0, minBitrate = 0 } = part<VideoConstraints>(constraints?.video);
    return {
      // Pages of the vendor's SDK give anything here, a click's event even.
      stripCodecs: typeof stripCodecs === "string" ? stripCodecs.split(",") : Array.isArray(stripCodecs) ? stripCodecs : [],
      opus: [bitrate && `maxaveragebitrate=${bitrate}`, stereo && "stereo=1;sprop-stereo=1", fec && "useinbandfec=1"]
        .filter(Boolean).join(";"),
      minBitrate,
      maxBitrate,
    };
  }

  private get contentHint(): string {
    return this.options.videoContentHint ?? "motion";
  }

  private get keepsMedia(): boolean {
    return this.options.cacheLocalResources ?? false;
  }

  private get wanted(): ("audio" | "video")[] {
    const { constraints, receiveAudio = true, receiveVideo = true } = this.options;
    const kinds: ("audio" | "video")[] = [];
    if (constraints?.audio ?? receiveAudio) {
      kinds.push("audio");
    }
    if (constraints?.video ?? receiveVideo) {
      kinds.push("video");
    }
    return kinds;
  }

  private track(kind: string): MediaStreamTrack | undefined {
    return this.local?.stream.getTracks().find((track) => track.kind === kind);
  }

  private enable(kind: string, enabled: boolean, type: string): void {
    const track = this.track(kind);
    if (track) {
      track.enabled = enabled;
      this.sendEvent(type);
    }
  }

  private switchDevice(kind: "audio" | "video", deviceId?: string): Promise<string> {
    return this.inTurn(kind, async () => {
      const kept = kind === "video" ? this.camera : null;
      const old = kept ?? this.track(kind);
      const used = old && isLive(old) ? old.getSettings().deviceId : undefined;
      const id = deviceId ?? await nextDevice(kind, used);
      if (id !== used || kept) {
        const track = await openInPlaceOf(old ? [old] : [], () => this.openDevice(kind, id), async () => {
          const again = await this.openDevice(kind, used);
          kept ? this.camera = again : await this.send(again);
        });
        await this.send(track);
        kept?.stop();
        this.camera = kind === "video" ? null : this.camera;
      }
      return id;
    });
  }

  private async openDevice(kind: "audio" | "video", id: string | undefined): Promise<MediaStreamTrack> {
    const track = await openDevice(kind, this.options.constraints?.[kind], id);
    if (kind === "video") {
      track.contentHint = this.contentHint;
    }
    return track;
  }

  /** Changes what is sent, one change after another. */
  private async inTurn<T>(kind: string, change: () => Promise<T>): Promise<T> {
    this.need(STREAM_STATUS.PUBLISHING);
    if (!this.track(kind)) {
      throw new SdkError("invalid_state", `no ${kind} is sent`);
    }
    const done = this.changing.then(change).catch(refuse);
    this.changing = done.catch(() => undefined);
    return done;
  }

  /** Sends a track in the place of the one of its kind. */
  private async send(track: MediaStreamTrack, keepOld = false): Promise<void> {
    try {
      await this.peer?.sender(track.kind)?.replaceTrack(track);
      if (terminal.includes(this.state)) {
        throw new SdkError("stopped");
      }
    } catch (error) {
      track.stop();
      throw error;
    }
    this.local?.replace(track, keepOld);
  }

  private async readStats(native: boolean): Promise<StreamStats | RTCStatsReport> {
    const peer = this.needPeer();
    return native ? peer.connection.getStats() : peer.stats();
  }

  private need(status: StreamStatus): void {
    if (this.state !== status) {
      throw new SdkError("invalid_state", `Invalid stream state ${this.state}, not ${status}`);
    }
  }

  private needPeer(): Attempt {
    if (!this.peer) {
      throw new SdkError("invalid_state", `Invalid stream state ${this.state}`);
    }
    return this.peer;
  }
}

function refuse(error: unknown): never {
  throw deviceError(error);
}

function part<T>(wishes: boolean | T | undefined): Partial<T> {
  return typeof wishes === "object" ? wishes as Partial<T> : {};
}
