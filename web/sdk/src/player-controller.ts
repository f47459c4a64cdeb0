import { Controller, hasReason, pause, type ServerOptions, sessionFor } from "./controller.ts";
import { SdkError, type Stream, STREAM_STATUS, type StreamOptions } from "./index.ts";
import { Presence } from "./presence.ts";

/** What a player does. */
export type PlayerStatus =
  | "idle" // it was not started, or was stopped
  | "connecting"
  | "waiting" // nobody publishes the stream; it plays when somebody does
  | "playing"
  | "interrupted" // the connection to the server is lost; it goes on by itself
  | "failed"; // `error` says why; only `start` tries again

/** What a player knows of the publisher. */
export type PublisherPresence =
  | "unknown" // nothing was played yet
  | "here"
  | "away" // nothing comes from the publisher, and the server waits
  | "left"; // the stream has ended; it may come back

/** The state of a PlayerController. */
export interface PlayerState {
  status: PlayerStatus;
  publisher: PublisherPresence;
  /** The browser plays without sound until the person clicks: show a button that calls `unmute`. */
  unmuteRequired: boolean;
  /** Why nothing plays; null while it plays. */
  error: SdkError | null;
  /** The stream of the SDK that plays, or played last. */
  stream: Stream | null;
}

/** The options of `player.start`. */
export interface PlayerControllerOptions extends ServerOptions {
  /** The name of the stream on the server. */
  name: string;
  /** Where the stream is shown; a video element of the page, or an element into which the SDK puts one. */
  display?: HTMLElement | null;
  /** Plays without sound, until `unmute`. */
  muted?: boolean;
  /** Further options of the stream. */
  options?: Partial<StreamOptions>;
}

const idle: PlayerState = { status: "idle", publisher: "unknown", unmuteRequired: false, error: null, stream: null };

/** The reasons which say that nobody publishes the stream now. */
const gone = ["stream_not_found", "not_ready", "publisher_stopped"];

/** The reasons which pass by themselves. */
const passing = ["connect_failed", "connect_timeout", "disconnected", "silent", "ice_failed", "media_lost", "no_transcoder"];

/** A stream that does not play is asked for after this pause; after a minute, more seldom. */
const soonMs = 2000;
const laterMs = 5000;
const manyTries = 30;

/** Plays a stream whenever somebody publishes it, and says what the publisher does. */
export class PlayerController extends Controller<PlayerState> {
  constructor() {
    super(idle);
  }

  /** Plays, until `stop`. What it played before ends. */
  start(options: PlayerControllerOptions): void {
    if (options.display instanceof HTMLVideoElement) {
      options.display.muted = options.muted ?? false;
    }
    this.begin({ status: "connecting" }, async (signal, update) => {
      for (let tries = 0; !signal.aborted; tries++) {
        const before = this.state.stream;
        const error = await this.play(options, signal, update);
        tries = this.state.stream === before ? tries : 0; // it has played
        const left = hasReason(error, gone);
        if (!left && !hasReason(error, passing)) {
          update({ status: "failed", error });
          return;
        }
        const publisher = this.state.publisher === "unknown" || !left ? this.state.publisher : "left";
        update({ status: left ? "waiting" : "interrupted", publisher, unmuteRequired: false, error });
        await pause(tries < manyTries ? soonMs : laterMs, signal);
      }
    });
  }

  /** Plays with sound. Call it when the person clicks: browsers require that. */
  unmute(): void {
    this.state.stream?.unmuteRemoteAudio();
    void this.state.stream?.video?.play().catch(() => undefined); // Safari stops a video that gets sound
    this.update({ unmuteRequired: false });
  }

  /** Plays one stream to the end, and returns why it ended. */
  private async play(options: PlayerControllerOptions, signal: AbortSignal, update: (change: Partial<PlayerState>) => void): Promise<SdkError> {
    let stop = (): void => undefined;
    let presence: Presence | undefined;
    const session = sessionFor(options, signal);
    try {
      await session.connected;
      if (signal.aborted) {
        return new SdkError("stopped");
      }
      const { display, name } = options;
      const muted = display instanceof HTMLVideoElement ? display.muted : options.muted; // the person may have changed it since the stream before
      const stream = session.createStream({ ...options.options, name, display: display ?? null, unmutePlayOnStart: !muted });
      stop = () => void stream.stop();
      signal.addEventListener("abort", stop);
      const watching = presence = new Presence(stream, (away) => update({ publisher: away ? "away" : "here" }));
      stream.on(STREAM_STATUS.PLAYING, () => {
        watching.start();
        update({ status: "playing", publisher: "here", error: null, stream });
      }).on(STREAM_STATUS.RESTORING, ({ error }) => {
        watching.stop();
        const left = hasReason(error, gone);
        update({ status: left ? "waiting" : "interrupted", error, ...(left && { publisher: "left" }) });
      }).on("STREAM_EVENT", ({ type }) => {
        type === "unmuteRequired" && !options.muted && update({ unmuteRequired: true });
      });
      await stream.play();
      await stream.ended;
      return stream.error ?? new SdkError("stopped");
    } catch (error) {
      return error instanceof SdkError ? error : new SdkError("failed", (error as Error).message);
    } finally {
      presence?.stop();
      signal.removeEventListener("abort", stop);
      stop();
      options.session || await session.disconnect();
    }
  }
}
