import { type AudioConstraints, details, elementIn, removeFrom } from "./media.ts";
import type { StreamOptions } from "./stream-options.ts";

/** Shows a played stream. The element stays the same when the stream is restored. */
export class Player {
  _stream: MediaStream | null = null;
  _element: HTMLVideoElement | null = null;

  /** onMuted is called when the stream plays without sound. */
  constructor(private readonly _options: StreamOptions, private readonly _onMuted: () => void) {}

  private get _place(): HTMLElement | null | undefined {
    return this._options.remoteVideo ?? this._options.display;
  }

  /** Makes the element, unless there is one or the page has no place for it. */
  open(): void {
    const { constraints, unmutePlayOnStart, useControls = false } = this._options;
    if (!this._element && this._place) {
      this._element = elementIn(this._place, useControls);
      this._element.muted = unmutePlayOnStart === false;
      const { outputId } = details<AudioConstraints>(constraints?.audio);
      if (outputId) {
        this._element.setSinkId?.(outputId).catch(() => undefined); // then the default loudspeaker is used
      }
    }
  }

  /** Shows a track that has arrived. */
  _show({ receiver, track }: RTCTrackEvent): void {
    const { playoutDelay } = this._options;
    if (playoutDelay !== undefined) {
      Object.assign(receiver, { playoutDelayHint: playoutDelay });
    }
    if (!this._stream || this._stream.getTracks().some(({ kind }) => kind === track.kind)) {
      this._stream = new MediaStream(); // the other tracks belong to an earlier attempt
    }
    this._stream.addTrack(track);
    if (this._element && this._element.srcObject !== this._stream) {
      this._element.srcObject = this._stream;
      void this._start(this._element);
    }
  }

  close(): void {
    if (this._place) {
      removeFrom(this._place, this._element);
    }
  }

  /** Starts the element, without sound if the browser allows sound only after a click. */
  private async _start(element: HTMLVideoElement): Promise<void> {
    try {
      await element.play();
    } catch (error) {
      if ((error as Error).name !== "NotAllowedError") {
        return; // the element shows another stream now, or was removed
      }
      element.muted = true;
      await element.play().catch(() => undefined);
    }
    if (element.muted) {
      this._onMuted();
    }
  }
}
