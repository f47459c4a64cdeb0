// Runs the official Web SDK's own tests, exactly as they come in the npm package, against a server.
//
//   node suite.mjs ws://localhost:8080 [--sdk FILE] [--calls]
//
// --sdk has the tests load that script in place of the package's. --calls also waits for the two cases of SIP, for which the server needs
// enable_local_videochat.
//
// The tests' page has the address ws://192.168.100.33:8080 in it: the browser is told where that is. Says
// {"event":"done","cases":[{"title","passed","error"}]} when the last has ended.

import { launch } from "./lib/browser.mjs";
import { servePackage } from "./lib/package-server.mjs";
import { main, readArguments, say, step } from "./lib/script.mjs";

const options = readArguments(["seconds", "sdk"], ["calls"]);
const cases = options.calls ? 37 : 35; // of test.js, media-device-test.js and room-module-test.js; the two of sip-test.js come last
const seconds = 150;
let page;

/** What mocha's page says of each case that has ended. */
function results() {
  return page.evaluate(() => [...document.querySelectorAll("#mocha-report .test.pass, #mocha-report .test.fail")].map((li) => ({
    title: li.querySelector("h2").childNodes[0].textContent.trim(),
    passed: li.classList.contains("pass"),
    error: li.querySelector(".error")?.textContent.split("\n")[0] ?? "",
  })));
}

await main(async () => {
  const base = await step("serve the tests", 10, servePackage);
  const { host } = new URL(options.address);
  const rule = `MAP 192.168.100.33:8080 ${host.replace("localhost", "127.0.0.1")}`;
  const browser = await step("start the browser", 40, () => launch({ args: [`--host-resolver-rules=${rule}`] }));
  page = await browser.newPage({ viewport: { width: 1280, height: 860 } });
  if (options.sdk) {
    await page.route("**/flashphoner.js", (route) => route.fulfill({ path: options.sdk }));
  }
  await step("run the tests", seconds, async () => {
    await page.goto(`${base}/test/test.html`);
    // A case that fails in its preparation takes others with it; the longest takes 20 s.
    await page.waitForFunction((all) => {
      const [passed, failed] = ["passes", "failures"].map((kind) => Number(document.querySelector(`#mocha-stats .${kind} em`)?.textContent ?? 0));
      if (passed + failed !== globalThis.ended) {
        globalThis.ended = passed + failed;
        globalThis.endedAt = Date.now();
      }
      return globalThis.ended >= all || (globalThis.ended > 0 && Date.now() - globalThis.endedAt > 25_000);
    }, cases, { timeout: 0, polling: 250 }); // the step has its limit
  });
  say("done", { cases: await results() });
  await step("close the browser", 20, () => browser.close());
}, async () => ({ cases: page ? await results() : [] }));
