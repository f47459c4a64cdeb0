// Looks at a call on the server's console, sends digits to the phone and hangs up, as a person does.
//
//   node console-calls.mjs http://localhost:8081/console --callee sip:user@127.0.0.1:5070
//
// Says {"event":"dialled"} when the console has sent the digits 12#, then waits for a line on standard input, hangs up, and says
// {"event":"ended"} with the text of the call when the console shows that it is over. SCREENSHOTS=folder keeps screenshots.

import { faults, photograph } from "./lib/accessibility.mjs";
import { launch, watchConsole } from "./lib/browser.mjs";
import { commands, main, readArguments, say, step } from "./lib/script.mjs";

const options = readArguments(["callee", "seconds"]);
const goOn = commands(Number(options.seconds ?? 60));
let browser, page, errors;

async function displayed() {
  const call = (await page.locator("#calls").innerText()).replaceAll(/\s+/g, " ").trim();
  return { displayed: { call }, consoleErrors: errors };
}

const shows = (pattern) => page.waitForFunction((source) => new RegExp(source).test(document.querySelector("#calls")?.innerText.replaceAll(/\s+/g, " ")), pattern.source);

await main(async () => {
  browser = await step("start the browser", 40, launch);
  page = await browser.newPage({ viewport: { width: 1280, height: 860 } });
  page.setDefaultTimeout(0); // steps have their limits
  errors = watchConsole(page);
  await step("see the call", 20, async () => {
    await page.goto(options.address);
    await shows(/^Connected .* Codecs H264 \+ PCMU Packets lost 0 \(0\.0 %\) .* Talking 0:\d\d/);
    const found = await faults(page);
    if (found.length > 0) {
      throw new Error(`accessibility: ${found.join("; ")}`);
    }
    await photograph(page, "console-call");
  });
  await step("send digits", 20, async () => {
    await page.getByLabel(`Digits for ${options.callee}`).fill("12#");
    await page.getByRole("button", { name: "Send digits" }).click();
    await page.waitForFunction(() => document.querySelector("#news").textContent === "Sent: 12#");
    say("dialled");
    await goOn.next();
  });
  await step("hang up", 20, async () => {
    await page.getByRole("button", { name: "Hang up the call with" }).click();
    await page.locator("#confirm-yes").click();
    await shows(/^Ended /);
  });
  if (errors.length > 0) {
    throw Object.assign(new Error("errors on the console"), { step: "read the console" });
  }
  say("ended", await displayed());
  await step("close the browser", 20, () => browser.close());
}, displayed);
