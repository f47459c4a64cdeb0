import { deviceError, SdkError } from "./errors.ts";
import { isLive, LocalMedia, mediaDevices, nextDevice, openDevice, openInPlaceOf } from "./media.ts";
import type { StreamOptions } from "./stream-options.ts";

/** The devices of a publisher: a microphone, and a camera or a screen in place of the camera. */
export class Devices {
  /** The open media. They stay here when the stream is over; null before they are opened. */
  _local: LocalMedia | null = null;
  private _camera: MediaStreamTrack | null = null; // open while the screen is sent in place of the camera, otherwise null
  private _lastChange: Promise<unknown> = Promise.resolve();
  private _closed = false;

  /** sender returns the current connection's sender of a kind. */
  constructor(private readonly _options: StreamOptions, private readonly _sender: (kind: string) => RTCRtpSender | undefined) {}

  _track(kind: string): MediaStreamTrack | undefined {
    return this._local?._stream.getTracks().find((track) => track.kind === kind);
  }

  /**
   * Opens camera and microphone, unless they are open. If wanted returns false when they are open, they are closed again: the
   * attempt that needed them is over.
   */
  async open(wanted: () => boolean): Promise<MediaStream> {
    const { constraints, display, useControls } = this._options;
    if (this._local?._usable) {
      return this._local._stream;
    }
    const local = await LocalMedia.open(constraints, display ?? null, useControls).catch((error) => {
      if (this._local?._stream.getTracks().some(isLive)) {
        return this._local; // one device that still works is better than none
      }
      throw error;
    });
    if (local !== this._local) {
      local._use();
      if (wanted()) {
        this._local?._leave(false); // one of the old devices is gone
        this._local = local;
        local._stream.getVideoTracks().forEach((track) => this._hint(track));
      } else {
        local._leave(this._keep);
      }
    }
    return local._stream;
  }

  /** Sends sound or pictures, or silence or black pictures instead. Returns false if there is no such track. */
  _enable(kind: string, enabled: boolean): boolean {
    const track = this._track(kind);
    if (track) {
      track.enabled = enabled;
    }
    return !!track;
  }

  /** Applies constraints to the camera. */
  async _apply(constraints: MediaTrackConstraints): Promise<void> {
    await this._track("video")?.applyConstraints(constraints).catch(refuse);
  }

  /** Switches to the device with this id, or to the next one. Returns the id. */
  _switchTo(kind: "audio" | "video", deviceId?: string): Promise<string> {
    return this._change(kind, async () => {
      const kept = kind === "video" ? this._camera : null;
      const old = kept ?? this._track(kind);
      const used = old && isLive(old) ? old.getSettings().deviceId : undefined;
      const id = deviceId ?? await nextDevice(kind, used);
      if (id !== used || kept) {
        const track = await openInPlaceOf(old ? [old] : [], () => this._openDevice(kind, id), async () => {
          const again = await this._openDevice(kind, used);
          kept ? this._camera = again : await this._send(again);
        });
        await this._send(track);
        kept?.stop();
        this._camera = kind === "video" ? null : this._camera;
      }
      return id;
    });
  }

  /** Sends a screen or window. onEnded is called when the person stops sharing by the browser's own button. */
  _toScreen(onEnded: () => void): Promise<void> {
    return this._change("video", async () => {
      const [screen] = (await mediaDevices().getDisplayMedia({ video: true })).getVideoTracks();
      if (screen) {
        const camera = this._camera ?? this._track("video") ?? null;
        await this._send(screen, !this._camera);
        this._camera = camera;
        screen.addEventListener("ended", onEnded);
      }
    });
  }

  /** Sends the camera in place of the screen. */
  _toCamera(): Promise<void> {
    return this._change("video", async () => {
      const camera = this._camera;
      if (camera) {
        await this._send(isLive(camera) ? camera : await this._openDevice("video", camera.getSettings().deviceId));
        this._camera = null;
      }
    });
  }

  /** Sends a track of the page. */
  _toTrack(track: MediaStreamTrack): Promise<void> {
    return this._change(track.kind, () => this._send(track, true));
  }

  /** Closes the devices, unless the page wants camera and microphone to stay open. */
  close(): void {
    this._closed = true;
    this._camera?.stop();
    this._local?._leave(this._keep);
  }

  private get _keep(): boolean {
    return this._options.cacheLocalResources ?? false;
  }

  /** Runs one change after another. */
  private _change<T>(kind: string, run: () => Promise<T>): Promise<T> {
    if (!this._track(kind)) {
      throw new SdkError("invalid_state", `no ${kind} is sent`);
    }
    const done = this._lastChange.then(run).catch(refuse);
    this._lastChange = done.catch(() => undefined);
    return done;
  }

  private async _openDevice(kind: "audio" | "video", id: string | undefined): Promise<MediaStreamTrack> {
    const track = await openDevice(kind, this._options.constraints?.[kind], id);
    this._hint(track);
    return track;
  }

  /** Sends a track in place of the old track of the same kind. */
  private async _send(track: MediaStreamTrack, keepOld = false): Promise<void> {
    try {
      await this._sender(track.kind)?.replaceTrack(track);
      if (this._closed) {
        throw new SdkError("stopped");
      }
    } catch (error) {
      track.stop();
      throw error;
    }
    this._local?._replace(track, keepOld);
  }

  /** Sets the content hint of a picture. */
  private _hint(track: MediaStreamTrack): void {
    if (track.kind === "video") {
      track.contentHint = this._options.videoContentHint ?? "motion";
    }
  }
}

/** Throws the SdkError for a browser's refusal. */
export function refuse(error: unknown): never {
  throw deviceError(error);
}
