import { Failure } from "./failure.ts";

/** Longest waits for an answer: the server looks up names for up to 3 s, but most questions need none of that. */
export const patienceMs = { slow: 8000, quick: 3000 } as const;

/** fetch with a time limit, whose only error besides the signal's own reason is server_gone. */
export async function request(url: string, init: RequestInit, waitMs: number, signal?: AbortSignal): Promise<Response> {
  const timeout = AbortSignal.timeout(waitMs);
  try {
    return await fetch(url, { ...init, signal: signal ? AbortSignal.any([signal, timeout]) : timeout });
  } catch (error) {
    signal?.throwIfAborted();
    throw new Failure("server_gone", timeout.aborted ? "no answer in time" : message(error));
  }
}

/** What the server says about an error: in REST's JSON, in problem details (RFC 9457), or in a short plain text. */
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

export function message(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Waits; rejects with the signal's reason when that comes first. */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(signal.reason);
      return;
    }
    const onAbort = (): void => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    }, ms);
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}
