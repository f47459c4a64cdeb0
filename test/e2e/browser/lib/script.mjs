// How the scripts that the Go tests start talk to them: one JSON object a line on standard output. The closing of standard
// input is the sign to stop. The last line has "event": "stopped", or "failed" with the step and the reason, and exit code 1.

import { createInterface } from "node:readline";
import { parseArgs } from "node:util";

/** The arguments: one address and options that all take a value, but those named in flags. */
export function readArguments(names, flags = []) {
  const options = Object.fromEntries([
    ...names.map((name) => [name, { type: "string" }]),
    ...flags.map((name) => [name, { type: "boolean" }]),
  ]);
  const { values, positionals } = parseArgs({ options, allowPositionals: true });
  return { ...values, address: positionals[0] };
}

export function say(event, facts = {}) {
  process.stdout.write(`${JSON.stringify({ event, ...facts })}\n`);
}

/** Resolves when standard input closes, or after so many seconds. */
export function stopSign(seconds = 60) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, seconds * 1000);
    process.stdin.on("end", () => {
      clearTimeout(timer);
      resolve();
    }).resume();
  });
}

/** Runs one step with a time limit; what goes wrong names the step. */
export async function step(name, seconds, run) {
  let timer;
  const limit = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not done after ${seconds} s`)), seconds * 1000);
  });
  try {
    return await Promise.race([run(), limit]);
  } catch (error) {
    throw Object.assign(new Error(error.message.split("\n")[0], { cause: error }), { step: error.step ?? name });
  } finally {
    clearTimeout(timer);
  }
}

/** Runs a script to its end and reports how it failed, with what facts() knows by then. */
export async function main(run, facts = async () => ({})) {
  try {
    await run();
  } catch (error) {
    process.exitCode = 1;
    say("failed", { step: error.step ?? "", reason: error.message, ...(await facts().catch(() => ({}))) });
  }
  process.exit();
}

/** The lines on standard input as they come, until it closes or so many seconds are over. */
export async function* commands(seconds) {
  const lines = createInterface({ input: process.stdin });
  const timer = setTimeout(() => lines.close(), seconds * 1000);
  yield* lines;
  clearTimeout(timer);
}
