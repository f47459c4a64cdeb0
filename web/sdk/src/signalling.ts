import type { Reason } from "./errors.ts";

/** What a socket tells of. */
export interface SignallingHandlers {
  opened: () => void;
  /** data is what came with the message; there may be nothing. */
  received: (name: string, data: unknown[]) => void;
  /** Called once, whoever closed it, and nothing after it; with the server's words, if it has any. */
  closed: (reason: Reason, words: string) => void;
}

export interface SignallingOptions {
  /** How long opening may take; 0 leaves that to the browser. */
  timeoutMs: number;
  /** How often the server is pinged; 0 for never: its own pings are enough. */
  pingMs: number;
  /** A server that says nothing for so long is gone; 0 for never. */
  silenceMs: number;
}

/** One socket to the server, from its opening to its end: messages both ways, pings, and silence noticed. */
export class Signalling {
  private readonly socket: WebSocket;
  private readonly timers: ReturnType<typeof setInterval>[] = [];
  private heard = Date.now();
  private wasOpen = false;
  private over = false;

  constructor(url: string, options: SignallingOptions, private readonly handlers: SignallingHandlers) {
    this.socket = new WebSocket(url);
    this.socket.onopen = () => this.opened(options);
    this.socket.onmessage = ({ data }) => this.received(data);
    this.socket.onclose = ({ reason }) => this.end(this.wasOpen ? "disconnected" : "connect_failed", reason);
    if (options.timeoutMs > 0) {
      this.timers.push(setTimeout(() => this.wasOpen || this.end("connect_timeout"), options.timeoutMs));
    }
  }

  /** What is sent while the socket is not open is lost: the server would not know of its session. */
  send(name: string, data: unknown): void {
    if (this.socket.readyState === WebSocket.OPEN) {
      this.socket.send(JSON.stringify({ message: name, data: [data] }));
    }
  }

  /** Closes the socket; `closed` is called when that is done. */
  close(): void {
    this.socket.close();
  }

  private opened({ pingMs, silenceMs }: SignallingOptions): void {
    this.wasOpen = true;
    this.heard = Date.now();
    if (pingMs > 0) {
      this.timers.push(setInterval(() => this.send("ping", null), pingMs));
    }
    if (silenceMs > 0) {
      // Often enough to notice within a fifth; a browser that slept through the time hears what waited for it first.
      this.timers.push(setInterval(() => Date.now() - this.heard > silenceMs && this.end("silent"), silenceMs / 5));
    }
    this.handlers.opened();
  }

  private received(text: unknown): void {
    this.heard = Date.now();
    if (this.over || typeof text !== "string") {
      return;
    }
    let frame: { message?: unknown; data?: unknown } | null;
    try {
      frame = JSON.parse(text);
    } catch {
      return;
    }
    if (typeof frame?.message !== "string") {
      return;
    }
    if (frame.message === "ping") {
      this.send("pong", null);
    } else {
      this.handlers.received(frame.message, Array.isArray(frame.data) ? frame.data : []);
    }
  }

  private end(reason: Reason, words = ""): void {
    if (this.over) {
      return;
    }
    this.over = true;
    this.timers.forEach(clearInterval);
    this.socket.close();
    this.handlers.closed(reason, words);
  }
}
