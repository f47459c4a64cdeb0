import { sleep } from "../sdk/src/backoff.ts";
import type { PushRequest } from "../sdk/src/rest.ts";
import { asFailure, Failure } from "./failure.ts";
import type { PushClient, PushInfo } from "./push-client.ts";
import type { PushEvent } from "./push-events.ts";
import { ending, initialPush, reducePush, type PushState, type PushStep } from "./push-state.ts";

/** A stream may take a moment to be known to the push's side of the server after its connection is up. */
const streamWaitMs = 3000;

/** The way to one destination. What the server observed of it is told to it by whoever asks the server. */
export class Push {
  private current = initialPush;
  private aborter = new AbortController();

  constructor(private readonly client: PushClient, private readonly onState: (state: PushState) => void) {}

  get state(): PushState {
    return this.current;
  }

  /** The server's name for it; "" before it has one. */
  get id(): string {
    return this.current.push?.id ?? "";
  }

  get running(): boolean {
    return this.current.phase !== "idle";
  }

  /** Asks the server for it. What comes of that is told by onState; it never fails. */
  async start(request: PushRequest): Promise<void> {
    const aborter = new AbortController();
    this.aborter = aborter;
    this.dispatch({ type: "start" });
    try {
      const push = await this.startup(request, aborter.signal);
      if (aborter.signal.aborted) {
        await this.client.terminate(push.id); // asked to stop in the meantime
      } else {
        this.report(push);
      }
    } catch (error) {
      if (!aborter.signal.aborted) {
        this.end(asFailure(error));
      }
    }
  }

  report(push: PushInfo): void {
    this.dispatch({ type: "report", push, at: Date.now() });
    this.endIfOver();
  }

  tell(event: PushEvent): void {
    this.dispatch({ type: "event", event, at: Date.now() });
    this.endIfOver();
  }

  /** It is over, for a reason or because that was asked for. */
  end(failure: Failure | null): void {
    this.dispatch({ type: "ended", failure, at: Date.now() });
  }

  /** Ends it politely, and resolves when it is over. */
  async stop(): Promise<void> {
    if (!this.running) {
      return;
    }
    this.dispatch({ type: "stop", at: Date.now() });
    this.aborter.abort();
    if (this.id !== "") {
      await this.client.terminate(this.id).catch(() => undefined); // it ends with the stream all the same
    }
    this.end(null);
  }

  /** A request that is under way is not cut short: the server would make the push all the same. */
  private async startup(request: PushRequest, signal: AbortSignal): Promise<PushInfo> {
    for (const deadline = Date.now() + streamWaitMs; ; await sleep(200, signal)) {
      try {
        return await this.client.startup(request);
      } catch (error) {
        const early = error instanceof Failure && error.reason === "not_found" && Date.now() < deadline;
        if (!early) {
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
