import { asFailure, Failure, type Reason } from "./failure.ts";
import { Fields, type Rest } from "./rest.ts";

/** A SIP call at one moment, as the server tells it. Missing numbers are null; times are ms since 1970. */
export interface CallInfo {
  id: string;
  incoming: boolean;
  status: string;
  caller: string;
  callee: string;
  /** The name that the caller shows. */
  visibleName: string;
  /** One end is a page. */
  browser: boolean;
  /** The name of the stream; "" if it is not public. */
  streamName: string;
  /** The state of the push that belongs to the call; "" without one. */
  pushStatus: string;
  reason: string;
  /** The reason in words. */
  info: string;
  audioCodec: string;
  videoCodec: string;
  received: number | null;
  lost: number | null;
  /** Digits that the phone sent. */
  digits: string;
  /** What the phone hears; "" for silence. */
  injected: string;
  answeredAt: number | null;
  endedAt: number | null;
}

/** The call methods of the REST API that the console uses. Every error is a Failure. */
export class CallClient {
  private off = false;

  constructor(private readonly rest: Rest) {}

  /** null if the server takes no calls. It is then not asked again: a browser logs each refusal as an error. */
  async all(): Promise<CallInfo[] | null> {
    if (this.off) {
      return null;
    }
    try {
      return (await this.rest.search("/call/find_all", {})).map(parseCall);
    } catch (error) {
      if (error instanceof Failure && error.reason === "unsupported") {
        this.off = true;
        return null;
      }
      throw error;
    }
  }

  terminate(id: string): Promise<void> {
    return this.rest.tell("/call/terminate", { callId: id });
  }

  async sendDigits(id: string, digits: string): Promise<void> {
    try {
      await this.rest.tell("/call/send_dtmf", { callId: id, dtmf: digits });
    } catch (error) {
      const { reason, detail } = asFailure(error);
      throw new Failure(digitReasons.get(reason) ?? reason, detail);
    }
  }
}

/** The reasons of REST that mean something else for digits. */
const digitReasons = new Map<Reason, Reason>([["bad_request", "digits_refused"], ["conflict", "call_unanswered"]]);

/** The statuses of a call that was answered and goes on. */
export function isTalking(status: string): boolean {
  return status === "ESTABLISHED" || status === "HOLD";
}

export function parseCall(value: unknown): CallInfo {
  const fields = new Fields(value);
  return {
    id: fields.text("callId"),
    incoming: fields.flag("incoming"),
    status: fields.text("status"),
    caller: fields.text("caller"),
    callee: fields.text("callee"),
    visibleName: fields.text("visibleName"),
    browser: fields.text("mediaProvider") === "WebRTC",
    streamName: fields.text("streamName"),
    pushStatus: fields.text("rtmpStreamStatus"),
    reason: fields.text("reason"),
    info: fields.text("info"),
    audioCodec: fields.text("audioCodec"),
    videoCodec: fields.text("videoCodec"),
    received: fields.number("packetsReceived"),
    lost: fields.number("packetsLost"),
    digits: fields.text("digits"),
    injected: fields.text("injected"),
    answeredAt: fields.number("answeredAt"),
    endedAt: fields.number("endedAt"),
  };
}
