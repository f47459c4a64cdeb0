// Publishes by the official Web SDK's example page webrtc-as-rtmp-republishing, exactly as it comes in the npm package.
//
//   node publish-sdk-example.mjs ws://localhost:8080 --name N --rtmp URL [--seconds 60] [--screenshot FILE.png] [--sdk FILE]
//     [--flash] [--strip H264]
//
// Says {"event":"live"} when the page shows PUBLISHING, stays so until standard input closes, then presses Stop and says
// {"event":"stopped"} when it shows UNPUBLISHED; both with what the page displays. --sdk has the page load
// that script in place of the package's. --flash brings a camera whose flashes can be compared with its beeps; --strip has the page ask
// the SDK to leave a codec out of its offer, by the option stripCodecs.

import { launch, watchConsole } from "./lib/browser.mjs";
import { flashAndBeep } from "./lib/flash.mjs";
import { servePackage } from "./lib/package-server.mjs";
import { main, readArguments, say, step, stopSign } from "./lib/script.mjs";

const options = readArguments(["name", "rtmp", "seconds", "screenshot", "sdk", "strip"], ["flash"]);
const example = "/examples/demo/streaming/webrtc-as-rtmp-republishing/webrtc-as-rtmp-republishing.html";
let page, errors;

async function displayed() {
  const [status, player] = await Promise.all(["status", "player"].map((id) => page.locator(`#${id}`).innerText()));
  return { displayed: { status, player }, consoleErrors: errors };
}

async function reach(wanted) {
  await page.waitForFunction((statuses) => statuses.includes(document.getElementById("status").textContent),
    [wanted, "FAILED", "DISCONNECTED"], { timeout: 0 }); // the step has its limit
  const { displayed: { status } } = await displayed();
  if (status !== wanted) {
    throw new Error(`the page shows ${status}, not ${wanted}`);
  }
}

await main(async () => {
  const stop = stopSign(Number(options.seconds ?? 60));
  const base = await step("serve the example", 10, servePackage);
  const browser = await step("start the browser", 40, launch);
  page = await browser.newPage({ viewport: { width: 1280, height: 860 } });
  errors = watchConsole(page);
  if (options.sdk) {
    await page.route("**/flashphoner.js", (route) => route.fulfill({ path: options.sdk }));
  }
  if (options.flash) {
    await page.addInitScript(flashAndBeep);
  }
  if (options.strip) {
    await page.route("**/webrtc-as-rtmp-republishing.js", async (route) => {
      const response = await route.fetch();
      const script = await response.text();
      const changed = script.replace("rtmpUrl: rtmpUrl", `rtmpUrl: rtmpUrl, stripCodecs: ${JSON.stringify(options.strip)}`);
      if (changed === script) {
        throw new Error("the example does not create its stream as expected");
      }
      await route.fulfill({ response, body: changed });
    });
  }
  await step("open the page", 20, async () => {
    await page.goto(base + example);
    await page.waitForFunction(() => document.getElementById("streamName").value !== "");
  });
  await step("fill in", 10, async () => {
    await page.locator("#url").fill(options.address);
    for (const [id, value] of [["streamName", options.name], ["rtmpUrl", options.rtmp]]) {
      if (value !== undefined) {
        await page.locator(`#${id}`).fill(value);
      }
    }
  });
  await step("publish", 40, async () => {
    await page.locator("#publishBtn").click();
    await reach("PUBLISHING");
    await page.waitForFunction(() => document.querySelector("#localVideo video")?.videoWidth > 0);
  });
  say("live", await displayed());
  if (options.screenshot) {
    await step("take a screenshot", 20, () => page.screenshot({ path: options.screenshot }));
  }
  await Promise.race([stop, reach("UNPUBLISHED").then(() => {
    throw Object.assign(new Error("the stream ended by itself"), { step: "stay live" });
  }, (error) => {
    throw Object.assign(error, { step: "stay live" });
  })]);
  const last = await displayed();
  await step("stop", 20, async () => {
    await page.locator("#publishBtn").click();
    await reach("UNPUBLISHED");
  });
  say("stopped", { ...last, after: (await displayed()).displayed });
  await step("close the browser", 20, () => browser.close());
}, displayed);
