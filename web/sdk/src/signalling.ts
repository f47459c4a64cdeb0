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
  private readonly _socket: WebSocket;
  private readonly _timers: ReturnType<typeof setInterval>[] = [];
  private _heard = Date.now();
  private _wasOpen = false;
  private _over = false;

  constructor(url: string, options: SignallingOptions, private readonly _handlers: SignallingHandlers) {
    this._socket = new WebSocket(url);
    this._socket.onopen = () => this._opened(options);
    this._socket.onmessage = ({ data }) => this._received(data);
    this._socket.onclose = ({ reason }) => this._end(this._wasOpen ? "disconnected" : "connect_failed", reason);
    if (options.timeoutMs > 0) {
      this._timers.push(setTimeout(() => this._wasOpen || this._end("connect_timeout"), options.timeoutMs));
    }
  }

  /** What is sent while the socket is not open is lost: the server would not know of its session. */
  send(name: string, data: unknown): void {
    if (this._socket.readyState === WebSocket.OPEN) {
      this._socket.send(JSON.stringify({ message: name, data: [data] }));
    }
  }

  /** Closes the socket; `closed` is called when that is done. */
  close(): void {
    this._socket.close();
  }

  private _opened({ pingMs, silenceMs }: SignallingOptions): void {
    this._wasOpen = true;
    this._heard = Date.now();
    if (pingMs > 0) {
      this._timers.push(setInterval(() => this.send("ping", null), pingMs));
    }
    if (silenceMs > 0) {
      // Often enough to notice within a fifth; a browser that slept through the time hears what waited for it first.
      this._timers.push(setInterval(() => Date.now() - this._heard > silenceMs && this._end("silent"), silenceMs / 5));
    }
    this._handlers.opened();
  }

  private _received(text: unknown): void {
    this._heard = Date.now();
    if (this._over || typeof text !== "string") {
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
      this._handlers.received(frame.message, Array.isArray(frame.data) ? frame.data : []);
    }
  }

  private _end(reason: Reason, words = ""): void {
    if (this._over) {
      return;
    }
    this._over = true;
    this._timers.forEach(clearInterval);
    this._socket.close();
    this._handlers.closed(reason, words);
  }
}
