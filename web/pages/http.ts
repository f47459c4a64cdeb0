import { asFailure, Failure, message } from "./failure.ts";

/** The longest waits for an answer. The server resolves host names for up to 3 s, but most requests need none. */
export const patienceMs = { slow: 8000, quick: 3000 } as const;

/**
 * Asks the server with a time limit: `ask` gets a signal that aborts at the limit, or with the caller's signal. Every error is
 * a Failure, except the caller's own reason to abort.
 */
export async function inTime<T>(limitMs: number, signal: AbortSignal | undefined, ask: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const timeout = AbortSignal.timeout(limitMs);
  try {
    return await ask(signal ? AbortSignal.any([signal, timeout]) : timeout);
  } catch (error) {
    signal?.throwIfAborted();
    if (error instanceof Failure) {
      throw error;
    }
    if (timeout.aborted) {
      throw new Failure("server_gone", "no answer in time");
    }
    // fetch and the reading of an answer throw a TypeError if the network fails.
    throw error instanceof TypeError ? new Failure("server_gone", message(error)) : asFailure(error);
  }
}

/** The text of an error: from the JSON of REST, from problem details (RFC 9457), or a short plain text. */
export async function errorText(response: Response): Promise<string> {
  const text = (await response.text().catch(() => "")).trim();
  try {
    const body: unknown = JSON.parse(text);
    if (typeof body === "object" && body !== null) {
      const { message, detail, title } = body as Record<string, unknown>;
      const words = [message, detail, title].find((one) => typeof one === "string" && one !== "");
      if (typeof words === "string") {
        return words;
      }
    }
  } catch {
    // not JSON
  }
  const plain = text !== "" && text.length <= 300 && !text.startsWith("<") && !text.startsWith("{");
  return plain ? text : `${response.status} ${response.statusText}`.trim();
}
