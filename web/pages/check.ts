import type { PushRequest } from "../sdk/src/rest.ts";
import { Failure } from "./failure.ts";
import { inTime } from "./http.ts";
import { t } from "./language.ts";
import { asList, Fields, restReason, type Rest } from "./rest.ts";

/** One step of a check of a destination. */
export interface CheckStep {
  step: string;
  result: string;
  /** A sentence of the server. */
  info: string;
  /** 0 for the address of the destination, 1 for its first backup address. */
  backup: number;
}

export interface Checked {
  ok: boolean;
  steps: CheckStep[];
}

/** A check of the server takes up to 25 s. */
const checkMs = 30_000;

/**
 * Lets the server go to a destination step by step. publish: it also sends two seconds of a test card there. heard gets each step as it comes; an
 * older server tells all steps at the end.
 */
export async function checkDestination(rest: Rest, push: PushRequest, publish: boolean, heard: (step: CheckStep) => void): Promise<Checked> {
  const { streamName, ...where } = push;
  const body = JSON.stringify({ ...where, ...(streamName === "" ? {} : { streamName }), publish });
  const headers = { "Accept": "application/x-ndjson", "Content-Type": "application/json" };
  const answer = await inTime(checkMs, undefined, (signal) => rest._request("/push/check", { method: "POST", headers, body, signal }, async (response) => {
    let last = new Fields(null);
    for await (const line of linesOf(response.body as ReadableStream<Uint8Array>)) {
      last = new Fields(JSON.parse(line));
      if (last.text("step") !== "") {
        heard(stepOf(last, last.number("backup") ?? 0));
      }
    }
    return last;
  }));
  if (answer.number("status") !== null) {
    throw new Failure(restReason(answer.number("status") ?? 0), answer.text("message"));
  }
  if (answer.value("ok") === undefined) {
    throw new Failure("server_gone", "the answer ends early");
  }
  const addresses = [answer, ...asList(answer.value("backups")).map((value) => new Fields(value))];
  return {
    ok: answer.flag("ok"),
    steps: addresses.flatMap((address, backup) => asList(address.value("steps")).map((value) => stepOf(new Fields(value), backup))),
  };
}

function stepOf(step: Fields, backup: number): CheckStep {
  return { step: step.text("step"), result: step.text("result"), info: step.text("info"), backup };
}

/** The lines of an answer as they come, without empty ones. */
async function* linesOf(body: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  try {
    for (let ended = false; !ended;) {
      const { done, value } = await reader.read();
      ended = done;
      const lines = (rest + decoder.decode(value, { stream: !done }) + (done ? "\n" : "")).split("\n");
      rest = lines.pop() ?? "";
      yield* lines.filter((line) => line.trim() !== "");
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}

const titles = new Map([
  ["name", t("Name")], ["policy", t("Permission")], ["address", t("Connection")], ["tls", t("Encryption")], ["handshake", "RTMP"], ["connect", t("Application")],
  ["publish", t("Name or key")], ["media", t("Test card")], ["stream", t("Your stream")],
]);

const results = new Map([["ok", t("ok")], ["failed", t("failed")], ["skipped", t("skipped")]]);

/** What a step is about and what came of it, for people. */
export function stepWords(step: string, result: string): string {
  return t("{step}: {result}", { step: titles.get(step) ?? step, result: results.get(result) ?? result });
}

/** What is said above the steps while more of them come. */
export const unfinished = t("The server tries this destination. So far:");

/** What is said above the steps at a backup address. */
export function backupTitle(backup: number): string {
  return t("Backup address {n}", { n: backup });
}

/** The result in one sentence. */
export function verdict({ ok, steps }: Checked): string {
  if (!ok) {
    return t("Something is wrong with this destination:");
  }
  const tried = steps.some(({ step, result }) => step === "publish" && result === "ok");
  return tried ? t("This destination works.") : t("Nothing is wrong so far. Whether the name or key is right was not tried.");
}
