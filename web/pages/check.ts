import type { PushRequest } from "../sdk/src/rest.ts";
import { asList, Fields, type Rest } from "./rest.ts";

/** One step of a check of a destination. */
export interface CheckStep {
  step: string;
  result: string;
  /** A sentence of the server. */
  info: string;
}

export interface Checked {
  ok: boolean;
  steps: CheckStep[];
}

/** A check of the server takes up to 25 s. */
const checkMs = 30_000;

/** Lets the server go to a destination step by step. publish: it also sends two seconds of a test card there. */
export async function checkDestination(rest: Rest, push: PushRequest, publish: boolean): Promise<Checked> {
  const { streamName, ...where } = push;
  const fields = new Fields(await rest.ask("/push/check", { ...where, ...(streamName === "" ? {} : { streamName }), publish }, checkMs));
  const steps = asList(fields.value("steps")).map((value) => {
    const step = new Fields(value);
    return { step: step.text("step"), result: step.text("result"), info: step.text("info") };
  });
  return { ok: fields.flag("ok"), steps };
}

const titles = new Map([
  ["name", "Name"], ["policy", "Permission"], ["address", "Connection"], ["tls", "Encryption"], ["handshake", "RTMP"], ["connect", "Application"],
  ["publish", "Name or key"], ["media", "Test card"], ["stream", "Your stream"],
]);

/** What a step is about, for people. */
export function stepTitle(step: string): string {
  return titles.get(step) ?? step;
}

/** The result in one sentence. */
export function verdict({ ok, steps }: Checked): string {
  if (!ok) {
    return "Something is wrong with this destination:";
  }
  const tried = steps.some(({ step, result }) => step === "publish" && result === "ok");
  return tried ? "This destination works." : "Nothing is wrong so far. Whether the name or key is right was not tried.";
}
