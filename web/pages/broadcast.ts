import { Failure } from "./failure.ts";
import { message, sleep } from "./http.ts";
import { Publisher, type PublishOptions } from "./publisher.ts";
import { PushClient, type PushInfo, type PushRequest } from "./push-client.ts";
import { ending, initial, reduce, type Event, type State } from "./state.ts";

export interface Plan {
  /** Opens camera and microphone, or returns them where they are open. */
  open: () => Promise<MediaStream>;
  push: PushRequest;
  token: string;
  maxBitrateKbps: number;
}

/** How often the server is asked how the push goes. */
const pollMs = 1000;

/** So many questions in a row may stay without an answer before the server counts as gone. */
const maxSilences = 3;

/** A stream may take a moment to be known to the push's side of the server after its connection is up. */
const streamWaitMs = 3000;

const stopAsked = Symbol("stop asked");

/** One broadcast after another: the stream to the server, the server to the destination, and how that goes. */
export class Broadcast {
  private state = initial;
  private aborter = new AbortController();
  private publisher: Publisher | null = null;
  private running: Promise<void> = Promise.resolve();

  constructor(
    private readonly pushes: PushClient,
    private readonly onState: (state: State) => void,
    private readonly connect: (options: PublishOptions, signal: AbortSignal) => Promise<Publisher> = Publisher.connect,
  ) {}

  /** Starts a broadcast; does nothing while one runs. How it goes is told by onState. */
  start(plan: Plan): void {
    if (this.state.phase === "idle") {
      this.aborter = new AbortController();
      this.dispatch({ type: "start" });
      this.running = this.run(plan, this.aborter);
    }
  }

  /** Ends the broadcast that runs, and resolves when it is over. */
  async stop(): Promise<void> {
    this.dispatch({ type: "stop", at: Date.now() });
    this.aborter.abort(stopAsked);
    await this.running;
  }

  /** Tells of a failure outside of the broadcast, or of none any more. */
  report(failure: Failure | null): void {
    if (this.state.phase === "idle") {
      this.dispatch({ type: "ended", failure, at: Date.now() });
    }
  }

  /** Ends the stream at once, as a page must that is going away: there is no time to ask for a push's end as well. */
  abandon(): void {
    this.aborter.abort(new Failure("publish_ended"));
    void this.publisher?.close();
  }

  /** Sends another camera or microphone from now on. */
  async replaceTrack(track: MediaStreamTrack): Promise<void> {
    await this.publisher?.replaceTrack(track);
  }

  private async run(plan: Plan, aborter: AbortController): Promise<void> {
    const { signal } = aborter;
    let id = "";
    let failure: Failure | null = null;
    try {
      const stream = await plan.open();
      signal.throwIfAborted();
      this.dispatch({ type: "opened" });
      this.publisher = await this.connect({
        name: plan.push.streamName,
        stream,
        token: plan.token,
        maxBitrateKbps: plan.maxBitrateKbps,
        onLost: (lost) => aborter.abort(lost),
      }, signal);
      this.dispatch({ type: "published" });
      const push = await this.startPush(plan.push, signal);
      id = push.id;
      await this.watch(push, signal);
    } catch (error) {
      failure = asFailure(error);
    }
    await this.end(id);
    this.dispatch({ type: "ended", failure, at: Date.now() });
  }

  private async startPush(push: PushRequest, signal: AbortSignal): Promise<PushInfo> {
    for (const deadline = Date.now() + streamWaitMs; ; await sleep(200, signal)) {
      try {
        return await this.pushes.startup(push, signal);
      } catch (error) {
        const early = error instanceof Failure && error.reason === "stream_missing" && Date.now() < deadline;
        if (!early) {
          throw error;
        }
      }
    }
  }

  /** Asks again and again; returns only by throwing why the push is over. */
  private async watch(push: PushInfo, signal: AbortSignal): Promise<never> {
    let silences = 0;
    for (let last: PushInfo | null = push; ; last = await this.ask(push.id, ++silences, signal)) {
      if (last) {
        silences = 0;
        this.dispatch({ type: "report", push: last, at: Date.now() });
        const failure = ending(last);
        if (failure) {
          throw failure;
        }
      }
      await sleep(pollMs, signal);
    }
  }

  /** The push as it is now; null when the server did not answer, which it may do a few times. */
  private async ask(id: string, silences: number, signal: AbortSignal): Promise<PushInfo | null> {
    try {
      const push = await this.pushes.find(id, signal);
      if (!push) {
        throw new Failure("push_gone");
      }
      return push;
    } catch (error) {
      if (error instanceof Failure && error.reason === "server_gone" && silences < maxSilences) {
        this.dispatch({ type: "silence" });
        return null;
      }
      throw error;
    }
  }

  /** The push first, so that what the server still holds is sent; then the stream. */
  private async end(id: string): Promise<void> {
    const push = this.state.push;
    if (id !== "" && !(push && ending(push))) {
      await this.pushes.terminate(id).catch(() => undefined); // it ends with the stream all the same
    }
    await this.publisher?.close();
    this.publisher = null;
  }

  private dispatch(event: Event): void {
    const state = reduce(this.state, event);
    if (state !== this.state) {
      this.state = state;
      this.onState(state);
    }
  }
}

/** The failure that an error stands for; null for a stop that was asked for. */
function asFailure(error: unknown): Failure | null {
  if (error === stopAsked) {
    return null;
  }
  return error instanceof Failure ? error : new Failure("server_error", message(error));
}
