import type { Reason } from "./errors.ts";

/** The callbacks of a socket. */
export interface SignallingHandlers {
  _opened: () => void;
  /** The message has up to two values. */
  _received: (name: string, first: any, second: unknown) => void;
  /** The last call, exactly once, whoever closed the socket. words are the server's; they may be empty. */
  _closed: (reason: Reason, words: string) => void;
}

export interface SignallingOptions {
  /** How long the socket may take to open; with 0 the browser decides. */
  _timeoutMs: number;
  /** The interval of our pings; 0 for none. The server sends pings itself. */
  _pingMs: number;
  /** After so long without a message the server counts as gone; 0 for never. */
  _silenceMs: number;
}

/** How long the server may take to answer a probe. */
const probeMs = 2000;

/** One WebSocket to the server, from its opening to its end. It sends and parses messages, answers pings and notices silence. */
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
    // No close follows an error if the page's policy forbids the address.
    this._socket.onclose = this._socket.onerror = ({ reason }: any) =>
      this._end(this._wasOpen ? "disconnected" : "connect_failed", reason);
    if (options._timeoutMs > 0) {
      this._timers.push(setTimeout(() => this._wasOpen || this._end("connect_timeout"), options._timeoutMs));
    }
  }

  /** Sends a message. While the socket is not open the message is dropped: on the next socket the server would not know the session. */
  _send(name: string, data: unknown): void {
    if (this._socket.readyState === WebSocket.OPEN) {
      this._socket.send(JSON.stringify({ message: name, data: [data] }));
    }
  }

  /** Asks the server for an answer. If nothing comes soon, the socket is dead, as after a change of the network. */
  _probe(): void {
    const heard = this._heard;
    this._send("ping", null);
    this._timers.push(setTimeout(() => this._heard === heard && this._end("silent"), probeMs));
  }

  /** Closes the socket. `closed` is called when it is closed. */
  close(): void {
    this._socket.close();
  }

  private _opened({ _pingMs: pingMs, _silenceMs: silenceMs }: SignallingOptions): void {
    this._wasOpen = true;
    this._heard = Date.now();
    if (pingMs > 0) {
      this._timers.push(setInterval(() => this._send("ping", null), pingMs));
    }
    if (silenceMs > 0) {
      // Five checks in silenceMs notice silence at most a fifth too late. After a sleep, browsers deliver waiting messages first.
      this._timers.push(setInterval(() => Date.now() - this._heard > silenceMs && this._end("silent"), silenceMs / 5));
    }
    this._handlers._opened();
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
      this._send("pong", null);
    } else {
      const [first, second] = Array.isArray(frame.data) ? frame.data : [];
      this._handlers._received(frame.message, first, second);
    }
  }

  private _end(reason: Reason, words = ""): void {
    if (this._over) {
      return;
    }
    this._over = true;
    this._timers.forEach(clearInterval);
    this._socket.close();
    this._handlers._closed(reason, words);
  }
}
