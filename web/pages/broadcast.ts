import { sleep } from "../sdk/src/backoff.ts";
import type { PushRequest } from "../sdk/src/rest.ts";
import { asFailure, Failure } from "./failure.ts";
import { Publisher, type PublishOptions } from "./publisher.ts";
import type { PushClient, PushInfo } from "./push-client.ts";
import type { Follower } from "./push-events.ts";
import { Push } from "./push.ts";
import type { PushState } from "./push-state.ts";
import { initialStream, reduceStream, type StreamState, type StreamStep } from "./stream-state.ts";
import type { Ticket } from "./ticket.ts";

export interface Plan {
  /** Opens camera and microphone, unless they are open already. */
  open: () => Promise<MediaStream>;
  name: string;
  /** Asks for the right to publish the stream. */
  ticket: () => Promise<Ticket>;
  maxBitrateKbps: number;
  /** The first destinations; the caller chooses their numbers. */
  pushes: Map<number, PushRequest>;
}

export interface Listener {
  stream: (state: StreamState) => void;
  push: (key: number, state: PushState) => void;
}

type Follow = (follower: Follower, signal: AbortSignal) => Promise<void>;
type Connect = (options: PublishOptions, signal: AbortSignal) => Promise<Publisher>;

/** How often the server is asked for the numbers of the pushes. Changes of state come at once, as events. */
const pollMs = 1000;

const longMs = 2 ** 31 - 1; // the longest time that setTimeout can wait

/** The server counts as gone after so many requests in a row without an answer. */
const maxSilences = 3;

const stopAsked = Symbol("stop asked");

/**
 * Runs one broadcast at a time: publishes the stream to the server, starts the pushes to the destinations, and watches both.
 * A broadcast ends when it is stopped, when the stream is lost, or when the last push has ended.
 */
export class Broadcast {
  private state = initialStream;
  private aborter = new AbortController();
  private wake = new AbortController(); // ends the pause between two requests early
  private signedIn = new AbortController(); // ends the wait for another login
  private logins = 0; // how often somebody signed in
  private publisher: Publisher | null = null;
  private running: Promise<void> = Promise.resolve();
  private readonly pushes = new Map<number, Push>();

  constructor(
    private readonly client: PushClient,
    private readonly follow: Follow,
    private readonly listener: Listener,
    private readonly connect: Connect = Publisher.connect,
  ) {}

  /** Starts a broadcast, unless one runs. The listener gets each change of state. */
  start(plan: Plan): void {
    if (this.state.phase === "idle") {
      this.aborter = new AbortController();
      this.pushes.clear();
      this.dispatch({ type: "start" });
      this.running = this.run(plan, this.aborter);
    }
  }

  /** Stops the broadcast that runs. Resolves when it has ended. */
  async stop(): Promise<void> {
    this.dispatch({ type: "stop" });
    this.aborter.abort(stopAsked);
    await this.running;
  }

  /** Starts a push to another destination, or again to one whose push has ended. */
  async startPush(key: number, request: PushRequest): Promise<void> {
    if (this.state.phase !== "sending" || this.pushes.get(key)?.running) {
      return;
    }
    const push = new Push(this.client, (state) => {
      this.listener.push(key, state);
      if (state.phase === "idle") {
        this.look(); // this may have been the last push
      }
    });
    this.pushes.set(key, push);
    await push.start(request);
  }

  /** Asks the server again after it has refused the login: there is another one. */
  signIn(): void {
    this.logins++;
    this.signedIn.abort();
    this.signedIn = new AbortController();
  }

  async stopPush(key: number): Promise<void> {
    await this.pushes.get(key)?.stop();
  }

  /** Changes the sound of one destination. */
  async change(key: number, change: (client: PushClient, id: string) => Promise<void>): Promise<void> {
    const id = this.pushes.get(key)?.id ?? "";
    if (id !== "") {
      await change(this.client, id);
      this.look();
    }
  }

  /** Shows a failure that happened while no broadcast ran. */
  report(failure: Failure): void {
    if (this.state.phase === "idle") {
      this.dispatch({ type: "ended", failure });
    }
  }

  /** Ends the stream at once, because the page is being left: there is no time to end the pushes one by one. */
  abandon(): void {
    this.aborter.abort(new Failure("publish_ended"));
    void this.publisher?.close();
  }

  /** Sends this camera or microphone from now on. */
  async replaceTrack(track: MediaStreamTrack): Promise<void> {
    await this.publisher?.replaceTrack(track);
  }

  /** The browser's statistics of the stream; null while there is no stream. */
  async stats(): Promise<RTCStatsReport | null> {
    return (await this.publisher?.stats()) ?? null;
  }

  private async run(plan: Plan, aborter: AbortController): Promise<void> {
    const { signal } = aborter;
    const over = new AbortController();
    let following: Promise<void> | null = null;
    let failure: Failure | null = null;
    try {
      const stream = await plan.open();
      signal.throwIfAborted();
      this.dispatch({ type: "opened" });
      this.publisher = await this.connect({
        name: plan.name,
        stream,
        ticket: await plan.ticket(),
        maxBitrateKbps: plan.maxBitrateKbps,
        onLost: (lost) => aborter.abort(lost),
      }, signal);
      for (const track of stream.getTracks()) {
        await this.publisher.replaceTrack(track); // the user may have picked another device meanwhile
      }
      this.dispatch({ type: "published" });
      following = this.followAll(over.signal);
      for (const [key, request] of plan.pushes) {
        void this.startPush(key, request);
      }
      await this.watch(plan.name, signal);
    } catch (error) {
      failure = error === stopAsked ? null : asFailure(error);
    }
    over.abort();
    await following;
    await this.end();
    this.dispatch({ type: "ended", failure });
  }

  /** Follows the events, also after another login. */
  private async followAll(signal: AbortSignal): Promise<void> {
    for (; !signal.aborted; await this.anotherLogin(signal)) {
      await this.follow({ event: (event) => this.byID(event.id)?.tell(event), gap: () => this.look() }, signal);
    }
  }

  /** Waits until somebody signs in, or the signal aborts. The server counts wrong logins, so a refused one is not sent again. */
  private async anotherLogin(signal: AbortSignal): Promise<void> {
    await sleep(longMs, AbortSignal.any([signal, this.signedIn.signal])).catch(() => undefined);
  }

  /** Polls the server until no push is left. */
  private async watch(name: string, signal: AbortSignal): Promise<void> {
    for (let silences = 0; this.runs(); await this.pause(signal)) {
      const asked = [...this.pushes.values()].filter((push) => push.running && push.id !== "");
      if (asked.length === 0) {
        continue;
      }
      const { logins } = this;
      try {
        await this.tell(asked, await this.client.find({ streamName: name }, signal), signal);
        silences = 0;
      } catch (error) {
        if (error instanceof Failure && error.reason === "unauthorized") { // the stream does not need the login
          if (logins === this.logins) {
            this.dispatch({ type: "answer", silent: false, locked: true });
            await this.anotherLogin(signal);
          }
          continue;
        }
        if (!(error instanceof Failure && error.reason === "server_gone" && ++silences < maxSilences)) {
          throw error;
        }
      }
      this.dispatch({ type: "answer", silent: silences > 0, locked: false });
    }
  }

  private async tell(asked: Push[], found: PushInfo[], signal: AbortSignal): Promise<void> {
    const missing: Push[] = [];
    for (const push of asked) {
      const info = found.find(({ id }) => id === push.id);
      info ? push.report(info) : missing.push(push);
    }
    const gone = missing.filter((push) => push.running); // an event may have ended the others meanwhile
    if (gone.length === 0) {
      return;
    }
    const history = await this.client.history(100, signal);
    for (const push of gone) {
      const info = history.find(({ id }) => id === push.id);
      info ? push.report(info) : push.end(new Failure("push_gone"));
    }
  }

  /** Ends the pushes first, so that the server can send the media that it still holds; then the stream. */
  private async end(): Promise<void> {
    await Promise.all([...this.pushes.values()].map((push) => push.stop()));
    await this.publisher?.close();
    this.publisher = null;
  }

  private runs(): boolean {
    return [...this.pushes.values()].some((push) => push.running);
  }

  private byID(id: string): Push | undefined {
    return [...this.pushes.values()].find((push) => push.id === id);
  }

  private async pause(signal: AbortSignal): Promise<void> {
    await sleep(pollMs, AbortSignal.any([signal, this.wake.signal])).catch(() => signal.throwIfAborted());
    this.wake = new AbortController(); // not earlier: a wake-up during a request must lead to another request
  }

  /** Polls the server now. */
  private look(): void {
    this.wake.abort();
  }

  private dispatch(step: StreamStep): void {
    const state = reduceStream(this.state, step);
    if (state !== this.state) {
      this.state = state;
      this.listener.stream(state);
    }
  }
}
