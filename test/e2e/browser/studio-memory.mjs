// Goes live from the studio, recording, and measures the memory of the page again and again.
//
//   node studio-memory.mjs http://localhost:8081/ --name N --rtmp URL --seconds 720
//
// Says {"event":"live"}. At each line on standard input, waits until the page says that the show is live, and says {"event":"measured"} with the heap of
// the page's scripts after a collection and the resident memory of the process that shows the page, in bytes, the number of nodes in the page, and
// what it has recorded. When standard input closes, it presses Stop and says {"event":"stopped"}.

import { readFileSync } from "node:fs";
import { launch } from "./lib/browser.mjs";
import { commands, main, readArguments, say, step } from "./lib/script.mjs";

const options = readArguments(["name", "rtmp", "seconds"]);
let browser, page;

/** The resident memory of the largest process that shows a page. */
async function resident(cdp) {
  const { processInfo } = await cdp.send("SystemInfo.getProcessInfo");
  const kilobytes = processInfo.filter(({ type }) => type === "renderer")
    .map(({ id }) => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${id}/status`, "utf8"))[1]));
  return Math.max(...kilobytes) * 1024;
}

await main(async () => {
  const input = commands(Number(options.seconds ?? 60));
  browser = await step("start the browser", 40, launch);
  page = await browser.newPage({ viewport: { width: 1280, height: 860 } });
  page.setDefaultTimeout(0); // steps have their limits
  await step("go live", 60, async () => {
    await page.goto(options.address);
    await page.waitForFunction(() => document.getElementById("video").videoWidth > 0);
    await page.locator("#quality").selectOption("360p");
    await page.locator("#quality-more summary").click();
    await page.locator("#frame-rate").selectOption("15");
    await page.locator("#record").check();
    await page.locator("#name").fill(options.name);
    await page.locator("#address-1").fill(options.rtmp);
    await page.locator("#go").click();
    await page.waitForFunction(() => /^Live on/.test(document.getElementById("state").textContent));
  });
  const own = await page.context().newCDPSession(page);
  const whole = await browser.newBrowserCDPSession();
  await own.send("Performance.enable");
  say("live");
  for await (const _ of input) {
    await step("measure", 30, async () => {
      // A server that is busy for a moment makes the page unsure of the show.
      await page.waitForFunction(() => document.getElementById("status").dataset.phase === "live");
      await own.send("HeapProfiler.collectGarbage");
      const { metrics } = await own.send("Performance.getMetrics");
      const metric = (name) => String(metrics.find((one) => one.name === name).value);
      say("measured", { displayed: {
        heap: metric("JSHeapUsedSize"), nodes: metric("Nodes"), resident: String(await resident(whole)),
        recorded: await page.locator("#record-note").innerText(),
      } });
    });
  }
  await step("stop", 20, async () => {
    await page.locator("#go").click();
    await page.waitForFunction(() => document.getElementById("status").dataset.phase === "idle");
  });
  say("stopped");
  await step("close the browser", 20, () => browser.close());
}, async () => ({ displayed: { state: await page.locator("#state").innerText() } }));
