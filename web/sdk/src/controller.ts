import { Flashphoner, type SdkError, type Session, type SessionOptions } from "./index.ts";

/** How a controller reaches the server. */
export interface ServerOptions {
  /** The address of the server's WebSocket, such as `wss://host:8443`; by default `/ws` of the server of the page. */
  server?: string | undefined;
  /** A token or a key, or a function that fetches one, as the session's option `token`. */
  token?: SessionOptions["token"] | undefined;
  /** A session of the page, in place of `server` and `token`. The page ends it. */
  session?: Session | undefined;
}

/** Something that runs between `start` and `stop`, and has a state that others follow. */
export class Controller<State extends object> {
  private readonly listeners = new Set<(state: State) => void>();
  private running: AbortController | null = null;
  private over: Promise<void> = Promise.resolve();
  private present: State;

  constructor(private readonly idle: State) {
    this.present = idle;
  }

  /** The present state. Each change makes another object. */
  get state(): State {
    return this.present;
  }

  /** Calls the listener after each change, until the function that it returns is called. */
  readonly subscribe = (listener: (state: State) => void): (() => void) => {
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  };

  /** Ends what `start` began. It resolves when that has ended, so that devices are closed and the name is free. It never rejects. */
  stop(): Promise<void> {
    this.running?.abort();
    this.running = null;
    this.update(this.idle);
    return this.over;
  }

  /**
   * Runs until stop(), or until run returns. It begins after the run before it has ended, and not within this call: a page that starts and
   * stops at once, as React does in its strict mode, opens neither a socket nor a camera.
   */
  protected begin(first: Partial<State>, run: (signal: AbortSignal, update: (change: Partial<State>) => void) => Promise<void>): void {
    void this.stop();
    const { signal } = this.running = new AbortController();
    this.update(first);
    this.over = this.over.then(async () => {
      if (!signal.aborted) {
        await run(signal, (change) => signal.aborted || this.update(change));
      }
    });
  }

  /** Changes the state, and tells the listeners if it is another one. */
  protected update(change: Partial<State>): void {
    const next = { ...this.present, ...change };
    if ((Object.keys(next) as (keyof State)[]).every((key) => next[key] === this.present[key])) {
      return;
    }
    this.present = next;
    for (const listener of [...this.listeners]) {
      listener(next);
    }
  }
}

/** The session for a controller: the one of the page, or a new one that comes back by itself. */
export function sessionFor({ server, session, token }: ServerOptions, signal: AbortSignal): Session {
  return session ?? Flashphoner.createSession({
    urlServer: server || `${location.origin.replace("http", "ws")}/ws`, signal, reconnect: { attempts: Infinity, maxPauseMs: 5000 }, ...(token && { token }),
  });
}

/** Whether an error has one of these reasons. An error of the browser has none. */
export function hasReason(error: unknown, reasons: readonly string[]): boolean {
  return reasons.includes((error as Partial<SdkError> | null)?.reason ?? "");
}

/** Waits. It resolves at once when the signal aborts. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    }, { once: true });
    signal.aborted && resolve();
  });
}
