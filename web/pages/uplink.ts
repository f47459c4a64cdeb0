import { Pauses } from "../sdk/src/backoff.ts";
import { Bell, longMs } from "./bell.ts";
import { asFailure, Failure, type Reason } from "./failure.ts";
import { Publisher, type PublishOptions } from "./publisher.ts";
import type { Sending } from "./quality.ts";
import type { Ticket } from "./ticket.ts";

export interface UplinkOptions extends Sending {
  name: string;
  stream: MediaStream;
  /** Asks for the right to publish the stream. */
  ticket: () => Promise<Ticket>;
  /** See PublishOptions. */
  scale?: PublishOptions["scale"];
  /** The server does not get the stream, for this reason; null: it gets the stream again. */
  onAway: (why: Failure | null) => void;
}

export type Connect = (options: PublishOptions, signal: AbortSignal) => Promise<Publisher>;

/** The pauses between two attempts to reach the server. Viewers see a still picture meanwhile, so the longest pause is short. */
export const backoff = { attempts: Infinity, firstPauseMs: 500, factor: 1.5, maxPauseMs: 2000 };

/** Another attempt will help against these. Anything else has to be mended by somebody. */
const passing: Reason[] = ["server_gone", "ice_failed", "disconnected", "busy", "server_error", "too_many_tries"];

/** The server may take a moment to see that an earlier connection of ours is gone. After so many refusals, somebody else has the name. */
const maxRefusals = 3;

/** If the server ends so many connections in a row soon after they began, somebody wants the stream to end. */
const maxEndings = 3;
const soonMs = 10_000;

/**
 * The way of one stream to the server. It publishes the stream, and brings it back when the network or the server was away: over the same
 * connection if the server still has it, otherwise over another one under the same name, which the server takes for the same publisher.
 */
export class Uplink {
  private publisher: Publisher | null = null;
  private ticket: Ticket | null = null;
  private readonly doubts = new Bell();
  private hopes = new Bell();
  private since = 0; // when the connection began
  private endings = 0;
  private stale = false; // the network has changed, and the connection may not know yet
  private readonly kinds: string[];
  private sending: Sending;

  constructor(private readonly options: UplinkOptions, private readonly connect: Connect = Publisher.connect) {
    const { codec, frameRate, maxBitrateKbps, stereo } = options;
    this.sending = { maxBitrateKbps, ...(frameRate !== undefined && { frameRate }), ...(codec !== undefined && { codec }), ...(stereo !== undefined && { stereo }) };
    this.kinds = options.stream.getTracks().map(({ kind }) => kind);
  }

  /** Publishes the stream. Resolves when media can flow. takeOver: also if another device sends it. */
  async open(signal: AbortSignal, takeOver = false): Promise<void> {
    this.ticket ??= await this.options.ticket();
    signal.throwIfAborted();
    const { name, scale, stream } = this.options;
    const { sending } = this;
    const fresh = await this.connect({ ...sending, name, stream, ...(scale && { scale }), takeOver, kinds: this.kinds, ticket: this.ticket, onChange: () => this.doubt() }, signal);
    this.publisher?.drop();
    this.publisher = fresh;
    this.since = Date.now();
    this.stale = false;
    for (const track of stream.getTracks()) {
      await fresh.replaceTrack(track); // the user may have picked another device meanwhile
    }
    if (sending !== this.sending) {
      await fresh.change(this.sending);
    }
  }

  /** Watches over the published stream, until the signal aborts or the stream cannot come back. It always rejects, with the reason. */
  async keep(signal: AbortSignal): Promise<never> {
    for (;;) {
      await this.doubts.wait(longMs, signal);
      if (!(await this.isWell(signal))) {
        this.endings = this.publisher?.over && Date.now() - this.since < soonMs ? this.endings + 1 : 0;
        if (this.endings === maxEndings) {
          throw new Failure("disconnected");
        }
        await this.comeBack(signal);
        this.options.onAway(null);
      }
    }
  }

  /**
   * The server may have lost the stream, or may be back: looks at once. moved: nothing gets through the connection, because the network has changed. The
   * browser itself takes some seconds to see that.
   */
  doubt(moved = false): void {
    this.stale ||= moved;
    this.doubts.ring();
    this.hopes.ring();
  }

  async replaceTrack(track: MediaStreamTrack): Promise<void> {
    await this.publisher?.replaceTrack(track);
  }

  /** Changes the bit rate and the frame rate, of this connection and of those that follow. */
  async change(sending: Sending): Promise<void> {
    this.sending = { ...this.sending, ...sending };
    await this.publisher?.change(sending);
  }

  async stats(): Promise<RTCStatsReport | null> {
    return (await this.publisher?.stats()) ?? null;
  }

  /** Ends the stream on the server and here. It never fails. */
  async close(): Promise<void> {
    await this.publisher?.close();
    this.publisher = null;
    this.ticket?.release();
    this.ticket = null;
  }

  private async isWell(signal: AbortSignal): Promise<boolean> {
    const { publisher } = this;
    if (!publisher?.connected || this.stale) {
      return false;
    }
    try {
      return await publisher.isKnown(signal);
    } catch {
      signal.throwIfAborted();
      return publisher.connected; // REST may be away alone: then the stream goes on
    }
  }

  /** Tries again and again. Rejects if that cannot help. */
  private async comeBack(signal: AbortSignal): Promise<void> {
    const pauses = new Pauses(backoff);
    this.hopes = new Bell(); // what has rung until now was the doubt
    let refusals = 0;
    for (let failure = new Failure("disconnected"); ; ) {
      this.options.onAway(failure);
      try {
        await this.tryAgain(signal);
        return;
      } catch (error) {
        signal.throwIfAborted();
        failure = asFailure(error);
      }
      const again = failure.reason === "name_in_use" || failure.reason === "token_needed"; // our own old connection, our own old token
      if (again ? ++refusals >= maxRefusals : !passing.includes(failure.reason)) {
        throw failure;
      }
      this.options.onAway(failure);
      await this.hopes.wait(pauses._next() ?? 0, signal);
    }
  }

  private async tryAgain(signal: AbortSignal): Promise<void> {
    const old = this.publisher;
    if (old && !old.over && await old.isKnown(signal)) {
      if (old.connected && !this.stale) {
        return;
      }
      try {
        await old.restartIce(signal);
        this.stale = false;
        return;
      } catch {
        signal.throwIfAborted(); // a new connection may get through where this one does not
      }
    }
    try {
      await this.open(signal);
    } catch (error) {
      switch (asFailure(error).reason) {
        case "name_in_use": // by our old connection, if the server does not take us for the same publisher
          await old?.close();
          break;
        case "token_needed":
          this.ticket?.release();
          this.ticket = null;
          break;
      }
      throw error;
    }
  }
}
