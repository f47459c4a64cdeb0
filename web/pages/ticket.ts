import { sleep } from "../sdk/src/backoff.ts";
import { Failure } from "./failure.ts";
import { bearer, Fields, type Rest } from "./rest.ts";
import { serverNow } from "./server-clock.ts";

/** The right to publish one stream: what WHIP is shown at the beginning and at the end of the stream. */
export interface Ticket {
  headers(): Record<string, string>;
  /** Ends the work behind the ticket. */
  release(): void;
}

/** The ticket with a token that somebody has entered; "" for none. */
export function given(token: string): Ticket {
  return { headers: () => bearer(token), release: () => undefined };
}

const lifeS = 600;

/** A stream goes on after its first token has expired, also where the settings say otherwise (token_exp_ends_sessions). A login ends before that. */
const streamMs = 30 * 24 * 3600 * 1000;

/** A new token comes after this share of the life of the last one: the end of the stream must find one that is valid. */
const renewAfter = 0.8;

const retryMs = 30_000;

/**
 * Asks the server for a token that may publish one stream. It lives for ten minutes, and is renewed until the ticket is released. WHIP takes no
 * cookies, so that no page of a stranger can publish in somebody's name. subject names the owner of the token where the server knows no
 * name; it is the same for all tokens of a stream, because only whoever has begun a stream may end it. takeOver: the first token may also take the place
 * of another publisher.
 */
export async function askTicket(rest: Rest, stream: string, subject: string, takeOver: boolean): Promise<Ticket> {
  const create = async (actions: string[]): Promise<string> => {
    const request = { grants: [{ actions, streams: [stream] }], expiresIn: lifeS, ...(subject !== "" && { subject }) };
    const token = new Fields(await rest.ask("/token/create", { ...request, until: serverNow() + streamMs })).text("token");
    if (token === "") {
      throw new Failure("server_error", "the answer has no token");
    }
    return token;
  };
  let token = await create(takeOver ? ["publish", "control"] : ["publish"]);
  const released = new AbortController();
  const renew = async (): Promise<void> => {
    for (let wait = lifeS * renewAfter * 1000; ; ) {
      await sleep(wait, released.signal);
      try {
        token = await create(["publish"]);
        wait = lifeS * renewAfter * 1000;
      } catch {
        // The stream goes on without. The page shows elsewhere that the server is gone, or that somebody has to sign in.
        wait = retryMs;
      }
    }
  };
  renew().catch(() => undefined); // it was released
  return { headers: () => bearer(token), release: () => released.abort() };
}
