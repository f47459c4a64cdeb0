// React hooks over the SDK's controllers. Each hook owns one controller: it ends when the component goes, and StrictMode, which mounts each
// component twice, opens nothing twice.

import { type RefCallback, type RefObject, useCallback, useEffect, useRef, useState, useSyncExternalStore } from "react";
import { type Controller, PlayerController, type PlayerControllerOptions, type PlayerState, PublisherController, type PublisherControllerOptions,
  type PublisherState, PushController, type PushControllerState, type ScreenOptions } from "transponder-sdk/controllers";
import type { PushRequest, RestOptions } from "transponder-sdk";

/** The options of usePlayer: those of `PlayerController.start` without `display`, and this. */
export interface PlayerHookOptions extends Omit<PlayerControllerOptions, "display"> {
  /** With false, nothing is played. */
  enabled?: boolean;
}

/** What usePlayer returns: the state of the player, and these. */
export interface PlayerHook extends PlayerState {
  /** For the video element. It plays as long as there is one. */
  ref: RefCallback<HTMLVideoElement>;
  /** Plays with sound; for the button that `unmuteRequired` asks for. */
  unmute: () => void;
  /** Tries again after a failure. */
  retry: () => void;
}

/** Plays a stream whenever somebody publishes it, from mount to unmount. It begins again when `name`, `server`, `session` or a token in letters changes. */
export function usePlayer(options: PlayerHookOptions): PlayerHook {
  const [controller, state] = useController(() => new PlayerController());
  const [display, ref] = useState<HTMLVideoElement | null>(null);
  const [attempt, setAttempt] = useState(0);
  const latest = useLatest(options);
  const { enabled = true, name, server, session } = options;
  const token = typeof options.token === "string" ? options.token : undefined; // a function may be another one at each rendering
  useEffect(() => {
    if (!enabled || !display || name === "") {
      return undefined;
    }
    controller.start({ ...latest.current, display });
    return () => void controller.stop();
  }, [attempt, controller, display, enabled, latest, name, server, session, token]);
  const unmute = useCallback(() => controller.unmute(), [controller]);
  const retry = useCallback(() => setAttempt((n) => n + 1), []);
  return { ...state, ref, unmute, retry };
}

/** What usePublisher returns: the state of the publisher, and these. */
export interface PublisherHook extends PublisherState {
  /** For the video element that shows the own picture, if there is one. */
  ref: RefObject<HTMLVideoElement | null>;
  /** Publishes with the present options. */
  start: () => void;
  /** Ends the stream. It resolves when the name is free. */
  stop: () => Promise<void>;
  muteSound: (muted: boolean) => void;
  mutePicture: (muted: boolean) => void;
  /** Sends a screen with its sound in place of the camera. */
  shareScreen: (options?: ScreenOptions) => Promise<void>;
  /** Sends the camera again. */
  stopScreen: () => Promise<void>;
}

/** Publishes camera and microphone, from `start` to `stop` or unmount. The options are those of `PublisherController.start` without `display`. */
export function usePublisher(options: Omit<PublisherControllerOptions, "display">): PublisherHook {
  const [controller, state] = useController(() => new PublisherController());
  const ref = useRef<HTMLVideoElement>(null);
  const latest = useLatest(options);
  useEffect(() => () => void controller.stop(), [controller]);
  const [actions] = useState(() => ({
    start: () => {
      if (ref.current) {
        ref.current.muted = true; // nobody hears himself
      }
      controller.start({ ...latest.current, display: ref.current });
    },
    stop: () => controller.stop(),
    muteSound: (muted: boolean) => controller.muteSound(muted),
    mutePicture: (muted: boolean) => controller.mutePicture(muted),
    shareScreen: (screen?: ScreenOptions) => controller.shareScreen(screen),
    stopScreen: () => controller.stopScreen(),
  }));
  return { ...state, ref, ...actions };
}

/** The options of usePush: the request for the push, and how to reach the REST API. */
export interface PushHookOptions extends PushRequest {
  rest?: RestOptions;
}

/** What usePush returns: the state of the push, and these. */
export interface PushHook extends PushControllerState {
  /** Starts the push with the present options. */
  start: () => void;
  /** Ends the push. It resolves when it has ended. */
  stop: () => Promise<void>;
  /** Sends silence, or sound again. */
  mute: (muted: boolean) => Promise<void>;
}

/** Pushes a stream to an RTMP server, from `start` to `stop` or unmount. */
export function usePush(options: PushHookOptions): PushHook {
  const [controller, state] = useController(() => new PushController());
  const latest = useLatest(options);
  useEffect(() => () => void controller.stop(), [controller]);
  const [actions] = useState(() => ({
    start: () => {
      const { rest, ...request } = latest.current;
      controller.start({ ...rest, request });
    },
    stop: () => controller.stop(),
    mute: (muted: boolean) => controller.mute(muted),
  }));
  return { ...state, ...actions };
}

function useController<S extends object, C extends Controller<S>>(make: () => C & Controller<S>): [C, S] {
  const [controller] = useState(make);
  const read = (): S => controller.state;
  return [controller, useSyncExternalStore(controller.subscribe, read, read)];
}

/** The options of the last rendering, for what happens later. */
function useLatest<T>(value: T): RefObject<T> {
  const latest = useRef(value);
  useEffect(() => {
    latest.current = value;
  });
  return latest;
}
