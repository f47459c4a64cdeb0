import { Controller, pause } from "./controller.ts";
import { Push, type PushRequest, type PushStatus, RestApi, type RestOptions, SdkError } from "./index.ts";

/** The state of a PushController. */
export interface PushControllerState {
  /** "idle": it was not started. Else the state of the push, as `push.states` gives it. */
  status: PushStatus | "idle";
  /** Why the push is not live, from the list in docs/rest.md; empty if it is live. */
  reason: string;
  /** The reason in words. */
  info: string;
  /** Why the push could not be started or followed; null if it could. */
  error: SdkError | null;
  push: Push | null;
}

/** The options of `push.start`: those of RestOptions, and the request. */
export interface PushControllerOptions extends RestOptions {
  request: PushRequest;
}

const idle: PushControllerState = { status: "idle", reason: "", info: "", error: null, push: null };

/** How long a push may take to end. */
const endMs = 10_000;

/** Pushes a stream to an RTMP server, and follows the push. */
export class PushController extends Controller<PushControllerState> {
  constructor() {
    super(idle);
  }

  /** Starts a push, and follows it. `stop` ends the push. The push before ends. */
  start({ request, ...rest }: PushControllerOptions): void {
    this.begin({ status: "STARTING" }, async (signal, update) => {
      let push: Push | undefined;
      try {
        push = await new RestApi(rest).push(request); // not with the signal: a push that nobody knows would go on
        update({ push });
        for await (const { info, reason, status } of push.states({ signal })) {
          update({ status, reason, info });
        }
      } catch (error) {
        update({ status: "FAILED", error: error instanceof SdkError ? error : new SdkError("failed", (error as Error).message) });
      } finally {
        if (signal.aborted) { // stop() waits for this, and the next push
          await Promise.race([push?.terminate().catch(() => undefined), pause(endMs, new AbortController().signal)]); // it may be over already
        }
      }
    });
  }

  /** Sends silence, or sound again. */
  async mute(muted: boolean): Promise<void> {
    const { push } = this.state;
    await (muted ? push?.mute() : push?.unmute());
  }
}
