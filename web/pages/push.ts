import { sleep } from "../sdk/src/backoff.ts";
import type { PushRequest } from "../sdk/src/rest.ts";
import { asFailure, Failure } from "./failure.ts";
import type { PushClient, PushInfo } from "./push-client.ts";
import type { PushEvent } from "./push-events.ts";
import { ending, initialPush, reducePush, type PushState, type PushStep } from "./push-state.ts";

/** After the connection is established, it can take a moment until the server can push the stream. */
const streamWaitMs = 3000;

/** The push to one destination. It does not poll the server: the caller passes on reports and events. */
export class Push {
  private current = initialPush;
  private aborter = new AbortController();

  constructor(private readonly client: PushClient, private readonly onState: (state: PushState) => void) {}

  get state(): PushState {
    return this.current;
  }

  /** The server's id of the push; "" before there is one. */
  get id(): string {
    return this.current.push?.id ?? "";
  }

  get running(): boolean {
    return this.current.phase !== "idle";
  }

  /** Asks the server for the push. It never fails: onState gets the result. */
  async start(request: PushRequest): Promise<void> {
    const aborter = new AbortController();
    this.aborter = aborter;
    this.dispatch({ type: "start" });
    try {
      const push = await this.startup(request, aborter.signal);
      if (aborter.signal.aborted) {
        await this.client.terminate(push.id); // it was stopped in the meantime
      } else {
        this.report(push);
      }
    } catch (error) {
      if (!aborter.signal.aborted) {
        this.end(asFailure(error));
      }
    }
  }

  /** Takes up a push that the server has already. */
  adopt(push: PushInfo): void {
    this.dispatch({ type: "start" });
    this.report(push);
  }

  report(push: PushInfo): void {
    this.dispatch({ type: "report", push, at: Date.now() });
    this.endIfOver();
  }

  tell(event: PushEvent): void {
    this.dispatch({ type: "event", event, at: Date.now() });
    this.endIfOver();
  }

  /** The push has ended: with a failure, or with null because it was stopped. */
  end(failure: Failure | null): void {
    this.dispatch({ type: "ended", failure, at: Date.now() });
  }

  /** Ends the push. Resolves when it has ended. */
  async stop(): Promise<void> {
    if (!this.running) {
      return;
    }
    this.dispatch({ type: "stop", at: Date.now() });
    this.aborter.abort();
    if (this.id !== "") {
      await this.client.terminate(this.id).catch(() => undefined); // it will end with the stream
    }
    this.end(null);
  }

  /** A request is not aborted once it was sent: the server would start the push anyway. */
  private async startup(request: PushRequest, signal: AbortSignal): Promise<PushInfo> {
    for (const deadline = Date.now() + streamWaitMs; ; await sleep(200, signal)) {
      try {
        return await this.client.startup(request);
      } catch (error) {
        const { reason, detail } = asFailure(error);
        const { slate, ...options } = request.options ?? {};
        if (reason === "bad_request" && slate && detail.startsWith("options.slate")) { // somebody has removed it: no cause to miss the show
          request = { ...request, options };
          this.dispatch({ type: "slateless" });
        } else if (reason !== "not_found" || Date.now() >= deadline) {
          throw error;
        }
      }
    }
  }

  private endIfOver(): void {
    const failure = this.running && this.current.push && ending(this.current.push);
    if (failure) {
      this.end(failure);
    }
  }

  private dispatch(step: PushStep): void {
    const state = reducePush(this.current, step);
    if (state !== this.current) {
      this.current = state;
      this.onState(state);
    }
  }
}
