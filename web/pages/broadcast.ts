import { Pauses, sleep } from "../sdk/src/backoff.ts";
import type { PushRequest } from "../sdk/src/rest.ts";
import { Bell, longMs } from "./bell.ts";
import { asFailure, Failure } from "./failure.ts";
import type { PushClient, PushInfo } from "./push-client.ts";
import type { Follower } from "./push-events.ts";
import { Push } from "./push.ts";
import { ending, isWaiting, type PushState } from "./push-state.ts";
import { initialStream, reduceStream, type StreamState, type StreamStep } from "./stream-state.ts";
import type { Sending } from "./quality.ts";
import type { Ticket } from "./ticket.ts";
import { backoff, type Connect, Uplink } from "./uplink.ts";

export interface Plan extends Sending {
  /** Opens camera and microphone, unless they are open already. */
  open: () => Promise<MediaStream>;
  name: string;
  /** See PublishOptions. */
  scale?: (track: MediaStreamTrack) => number;
  /** Takes the place of another device that sends the stream. */
  takeOver?: boolean;
  /** Asks for the right to publish the stream. */
  ticket: () => Promise<Ticket>;
  /** The first destinations; the caller chooses their numbers. */
  pushes: Map<number, PushRequest>;
}

export interface Listener {
  stream: (state: StreamState) => void;
  push: (key: number, state: PushState) => void;
  /** Another device has started a push of this stream. Returns its number. */
  found: (push: PushInfo) => number;
}

type Follow = (follower: Follower, signal: AbortSignal) => Promise<void>;

/** How often the server is asked for the numbers of the pushes. Changes of state come at once, as events. */
const pollMs = 1000;

/** A server that has not answered for so long counts as silent, although the answer may still come. */
const slowMs = 1000;

/** After a longer pause than this between two requests, the computer has slept, or the browser has kept the page from working. */
const sleptMs = 10_000;

const stopAsked = Symbol("stop asked");
const startAsked = Symbol("start asked");
const pageLeft = Symbol("page left");

/**
 * Runs one broadcast at a time: publishes the stream to the server, starts the pushes to the destinations, and watches both.
 * When the server or the network is away, the destinations wait, and the stream comes back. If it cannot, the broadcast waits for the user.
 * It ends when it is stopped, or when the last push has ended.
 */
export class Broadcast {
  private state = initialStream;
  private aborter = new AbortController();
  private readonly wake = new Bell(); // ends the pause between two requests early
  private signedIn = new AbortController(); // ends the wait for another login
  private logins = 0; // how often somebody signed in
  private uplink: Uplink | null = null;
  private running: Promise<void> = Promise.resolve();
  private shared = false; // another device sends the stream, or has sent it until now, and may have started pushes
  private readonly pushes = new Map<number, Push>();

  constructor(
    private readonly client: PushClient,
    private readonly follow: Follow,
    private readonly listener: Listener,
    private readonly connect?: Connect,
  ) {}

  /** Starts a broadcast, or goes on with one that waits. It does nothing while one runs. The listener gets each change of state. */
  start(plan: Plan): void {
    const waiting = this.state.phase === "waiting";
    if (!waiting && this.state.phase !== "idle") {
      return;
    }
    if (!waiting) {
      this.pushes.clear();
      this.shared = false;
    }
    this.aborter.abort(startAsked);
    const aborter = this.aborter = new AbortController();
    this.dispatch({ type: "start" });
    this.running = this.running.then(() => this.run(plan, aborter, waiting));
  }

  /** Takes up pushes that the server has, and that wait for the stream of this name. elsewhere: they get it from another device. */
  adopt(name: string, found: Map<number, PushInfo>, elsewhere = false): void {
    if (this.state.phase !== "idle") {
      return;
    }
    this.aborter = new AbortController();
    this.pushes.clear();
    this.dispatch({ type: "wait", failure: null, elsewhere });
    for (const [key, info] of found) {
      this.newPush(key).adopt(info);
    }
    this.running = this.await(name, this.aborter);
  }

  /** Stops the broadcast that runs. Resolves when it has ended. */
  async stop(): Promise<void> {
    this.dispatch({ type: "stop" });
    this.aborter.abort(stopAsked);
    await this.running;
  }

  /** Starts a push to another destination, or again to one whose push has ended. */
  async startPush(key: number, request: PushRequest): Promise<void> {
    if (this.state.phase === "sending" && !this.pushes.get(key)?.running) {
      await this.newPush(key).start(request);
    }
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

  /** Ends the stream at once, because the page is being left. The destinations wait for a while: the page may only be reloaded. */
  abandon(): void {
    this.aborter.abort(pageLeft);
    void this.uplink?.close();
  }

  /** The network or the computer has come back, or something else says that the stream may have to be brought back. moved: see Uplink. */
  doubt(moved = false): void {
    this.uplink?.doubt(moved);
    this.look();
  }

  /** Sends this camera or microphone from now on. */
  async replaceTrack(track: MediaStreamTrack): Promise<void> {
    await this.uplink?.replaceTrack(track);
  }

  /** Sends at another bit rate and frame rate from now on. */
  async changeQuality(sending: Sending): Promise<void> {
    await this.uplink?.change(sending);
  }

  /** The browser's statistics of the stream; null while there is no stream. */
  async stats(): Promise<RTCStatsReport | null> {
    return (await this.uplink?.stats()) ?? null;
  }

  /** waited: the pushes are there already. They outlive a failure. */
  private async run(plan: Plan, aborter: AbortController, waited: boolean): Promise<void> {
    const { signal } = aborter;
    const over = new AbortController();
    let sent = waited;
    let takingOver = plan.takeOver ?? false;
    let following: Promise<void> | null = null;
    let failure: Failure | null = null;
    try {
      const stream = await plan.open();
      signal.throwIfAborted();
      this.dispatch({ type: "opened" });
      const uplink = this.uplink = new Uplink({
        ...plan, stream, onAway: (why) => this.dispatch(why ? { type: "away", why } : { type: "back" }),
      }, this.connect);
      await uplink.open(signal, takingOver);
      takingOver = false;
      this.dispatch({ type: "published" });
      sent = true;
      following = this.followAll(over.signal);
      for (const [key, request] of plan.pushes) {
        void this.startPush(key, request);
      }
      uplink.keep(AbortSignal.any([signal, over.signal])).catch((error: unknown) => aborter.abort(error)); // then it cannot come back
      await this.watch(plan.name, signal);
    } catch (error) {
      failure = error === stopAsked ? null : asFailure(error);
    }
    over.abort();
    await following;
    if (signal.reason === pageLeft) {
      return;
    }
    if (failure && sent && this.runs()) {
      await this.hangUp();
      if (!this.isStopping()) {
        this.aborter = new AbortController();
        const taken = failure.reason === "name_in_use";
        this.dispatch({ type: "wait", failure: !taken ? failure : takingOver ? new Failure("takeover_refused") : null, elsewhere: taken });
        this.running = this.await(plan.name, this.aborter);
        return;
      }
    }
    await this.end();
    this.dispatch({ type: "ended", failure: this.isStopping() ? null : failure });
  }

  /** Watches the pushes of a stream that nobody sends, until the user says how it goes on, or until no push is left. */
  private async await(name: string, aborter: AbortController): Promise<void> {
    const over = new AbortController();
    const following = this.followAll(over.signal);
    const failure = await this.watch(name, aborter.signal).then(() => null, (error: unknown) => (error === stopAsked ? null : asFailure(error)));
    over.abort();
    await following;
    const { reason } = aborter.signal;
    if (reason !== startAsked && reason !== pageLeft) {
      await this.end();
      this.dispatch({ type: "ended", failure });
    }
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
    let pauses = new Pauses(backoff);
    let silent = false;
    let fed = this.state.elsewhere;
    let lacked = true;
    for (let last = Date.now(); this.runs(); await this.wake.wait(silent ? (pauses._next() ?? 0) : pollMs, signal)) {
      const asked = [...this.pushes.values()].filter((push) => push.running && push.id !== "");
      if (asked.length === 0) {
        continue;
      }
      const slept = Date.now() - last > sleptMs;
      last = Date.now();
      const { logins } = this;
      try {
        await this.ask(asked, name, signal);
        const lacking = asked.filter(({ state }) => lacksStream(state)).length;
        const lacks = lacking === asked.length; // one alone may only have begun
        if (silent || slept || (this.state.phase === "sending" && lacking > 0)) {
          this.uplink?.doubt(lacks && !lacked);
        }
        lacked = lacks;
        silent = false;
        pauses = new Pauses(backoff);
        if (this.state.phase === "waiting") {
          const now = getsStream(asked) ?? fed;
          this.dispatch({ type: "answer", silent, locked: false, ...(now === fed && { elsewhere: fed }) }); // one answer may be late
          fed = now;
        }
      } catch (error) {
        signal.throwIfAborted();
        const { reason } = asFailure(error);
        if (reason === "unauthorized") { // the stream does not need the login
          if (logins === this.logins) {
            this.dispatch({ type: "answer", silent: false, locked: true });
            await this.anotherLogin(signal);
          }
          continue;
        }
        if (reason === "forbidden") {
          throw error;
        }
        silent = true;
      }
      this.dispatch({ type: "answer", silent, locked: false });
    }
  }

  private async ask(asked: Push[], name: string, signal: AbortSignal): Promise<void> {
    const slow = setTimeout(() => this.dispatch({ type: "answer", silent: true, locked: false }), slowMs);
    try {
      const found = await this.client.find({ streamName: name }, signal);
      await this.tell(asked, found, signal);
      this.takeUp(found, name);
    } finally {
      clearTimeout(slow);
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

  /** Takes up what another device has started. */
  private takeUp(found: PushInfo[], name: string): void {
    if (!this.shared || [...this.pushes.values()].some((push) => push.running && push.id === "")) {
      return; // what this page has just started would look like that, too
    }
    for (const info of found) {
      if (info.sourceName === name && !ending(info) && !this.byID(info.id)) {
        this.newPush(this.listener.found(info)).adopt(info);
      }
    }
    this.shared = this.state.elsewhere;
  }

  /** Ends the pushes first, so that the server can send the media that it still holds; then the stream. */
  private async end(): Promise<void> {
    await Promise.all([...this.pushes.values()].map((push) => push.stop()));
    await this.hangUp();
  }

  private async hangUp(): Promise<void> {
    await this.uplink?.close();
    this.uplink = null;
  }

  private isStopping(): boolean {
    return this.state.phase === "stopping";
  }

  private newPush(key: number): Push {
    const push = new Push(this.client, (state) => {
      this.listener.push(key, state);
      if (state.phase === "idle") {
        this.look(); // this may have been the last push
      }
    });
    this.pushes.set(key, push);
    return push;
  }

  private runs(): boolean {
    return [...this.pushes.values()].some((push) => push.running);
  }

  private byID(id: string): Push | undefined {
    return [...this.pushes.values()].find((push) => push.id === id);
  }

  /** Polls the server now. */
  private look(): void {
    this.wake.ring();
  }

  private dispatch(step: StreamStep): void {
    const state = reduceStream(this.state, step);
    if (state !== this.state) {
      this.state = state;
      this.shared ||= state.elsewhere;
      this.listener.stream(state);
    }
  }
}

/** Whether pushes get the stream; null if they do not tell. */
function getsStream(pushes: Push[]): boolean | null {
  const states = pushes.map(({ state }) => state);
  return states.some(lacksStream) ? false : states.some(({ phase }) => phase === "live") ? true : null;
}

/** Whether the server sends a push without its stream, or waits for the stream. */
function lacksStream({ push }: PushState): boolean {
  return isWaiting(push?.status ?? "") || push?.reason === "source_lost" || push?.reason === "source_no_media";
}
