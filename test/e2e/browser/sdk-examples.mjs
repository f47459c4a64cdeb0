// Uses our own examples of the SDK by keyboard, as the server serves them.
//
//   node sdk-examples.mjs http://localhost:8081/ --name N --rtmp URL [--seconds 60] [--screenshot FILE.png]
//
// The first example publishes and plays N. The second publishes N-rtmp and pushes it to the address. When its page shows that the push is
// live, this program prints {"event":"live"}. When standard input closes, it presses Stop and prints {"event":"stopped"}. Both events have the
// text of the second page. --screenshot makes FILE-two-way-light.png and so on. Serious accessibility faults and errors on the console fail.

import { faults, inEveryLook } from "./lib/accessibility.mjs";
import { launch, tabTo, watchConsole } from "./lib/browser.mjs";
import { main, readArguments, say, step, stopSign } from "./lib/script.mjs";

const options = readArguments(["name", "rtmp", "seconds", "screenshot"]);
let page, errors;

async function displayed() {
  const text = async (id) => ((await page.locator(`#${id}`).count()) > 0 ? (await page.locator(`#${id}`).innerText()).trim() : "");
  const ids = ["state", "command", "publish-state", "play-state"];
  return { displayed: Object.fromEntries(await Promise.all(ids.map(async (id) => [id, await text(id)]))), consoleErrors: errors };
}

async function open(name) {
  await page.goto(new URL(`/examples/${name}`, options.address).href);
}

async function press(id) {
  await tabTo(page, id);
  await page.keyboard.press("Enter");
}

async function fill(id, value) {
  await tabTo(page, id); // selects the text in the field
  await page.keyboard.type(value);
}

/** Waits for a phase of a state. If the state fails instead, the error says so. */
async function reach(id, phase) {
  await page.waitForFunction(([which, wanted]) => [wanted, "failed"].includes(document.getElementById(which).dataset.phase), [id, phase],
    { timeout: 0 }); // the step has a limit of its own
  if (await page.evaluate((which) => document.getElementById(which).dataset.phase, id) !== phase) {
    throw new Error(`the page says: ${await page.locator(`#${id}`).innerText()}`);
  }
}

async function inspect(name) {
  await inEveryLook(page, async (look) => {
    const found = await faults(page);
    if (found.length > 0) {
      throw new Error(`accessibility, ${name}, ${look}: ${found.join("; ")}`);
    }
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    if (wide > 0) {
      throw new Error(`${name}, ${look}: ${wide} pixels wider than the window`);
    }
    if (options.screenshot) {
      await page.screenshot({ path: options.screenshot.replace(/(\.png)?$/, `-${name}-${look}.png`), fullPage: true });
    }
  });
}

await main(async () => {
  const stop = stopSign(Number(options.seconds ?? 60));
  const browser = await step("start the browser", 40, launch);
  page = await browser.newPage({ viewport: { width: 1280, height: 860 } });
  errors = watchConsole(page);
  await step("open the list", 20, async () => {
    await open("");
    await inspect("list");
    await page.getByRole("link", { name: "Two-way streaming", exact: true }).press("Enter");
    await page.waitForURL("**/two-way");
  });
  await step("publish", 40, async () => {
    await fill("publish-name", options.name);
    await press("publish");
    await reach("publish-state", "live");
  });
  await step("play", 40, async () => {
    await fill("play-name", options.name);
    await press("play");
    await reach("play-state", "live");
    await page.waitForFunction(() => document.querySelector("#play-display video")?.getVideoPlaybackQuality().totalVideoFrames > 10);
    await inspect("two-way");
  });
  await step("stop both", 40, async () => {
    await press("publish");
    await reach("publish-state", "idle");
    await press("play");
    await reach("play-state", "idle");
    await press("publish"); // and leave it live: the server ends it with the page
    await reach("publish-state", "live");
  });
  await step("publish as RTMP", 40, async () => {
    await open("webrtc-as-rtmp");
    await fill("name", `${options.name}-rtmp`);
    await fill("address", options.rtmp);
    await press("go");
    await reach("state", "live");
    await inspect("webrtc-as-rtmp");
  });
  say("live", await displayed());
  await stop;
  const last = await displayed();
  await step("stop", 20, async () => {
    await press("go");
    await reach("state", "idle");
  });
  await step("publish again under the name that the other page left", 40, async () => {
    await open(`two-way?name=${encodeURIComponent(options.name)}`);
    await press("publish");
    await reach("publish-state", "live");
  });
  say("stopped", { ...last, consoleErrors: errors });
  await step("close the browser", 20, () => browser.close());
}, displayed);
