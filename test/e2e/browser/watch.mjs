// Watches a stream on the server's page for viewers.
//
//   node watch.mjs http://localhost:8081/ --name N [--token T] [--seconds 120] [--relay]
//
// Each line on standard input is what the page is to show: "plays", "poster", or a pattern of its words. It says {"event":"seen"} when it does.
// When standard input closes, it says {"event":"stopped"}. --relay lets the page reach the server through TURN servers only, and says "ways", the
// kinds of its candidates.

import assert from "node:assert/strict";
import { launch } from "./lib/browser.mjs";
import { onlyRelays, ways } from "./lib/relay.mjs";
import { commands, main, readArguments, say, step } from "./lib/script.mjs";

const options = readArguments(["name", "token", "seconds"], ["relay"]);
let browser, page;

async function displayed() {
  return { displayed: { page: await page.locator("body").innerText(), ...(options.relay && { ways: await ways(page) }) } };
}

/** Waits until new pictures come. */
async function plays() {
  const frames = () => page.evaluate(() => document.getElementById("video").getVideoPlaybackQuality().totalVideoFrames);
  await page.waitForFunction(() => document.body.dataset.sight === "playing" && document.getElementById("cover").hidden);
  const before = await frames();
  await page.waitForFunction((n) => document.getElementById("video").getVideoPlaybackQuality().totalVideoFrames > n + 30, before);
}

/** Waits for a picture of the stream that stands there until it plays. */
async function poster() {
  const size = await page.waitForFunction(() => document.getElementById("video").poster).then((address) => page.evaluate(async (src) => {
    const image = Object.assign(new Image(), { src });
    await image.decode();
    return `${image.width}x${image.height}`;
  }, address));
  assert.equal(size, "640x360");
}

await main(async () => {
  browser = await launch();
  page = await browser.newPage();
  page.setDefaultTimeout(30_000);
  if (options.relay) {
    await onlyRelays(page);
  }
  await step("open", 30, () => page.goto(new URL(`/watch/${encodeURIComponent(options.name)}${options.token ? `#token=${options.token}` : ""}`, options.address).href));
  say("open");
  for await (const line of commands(Number(options.seconds ?? 120))) {
    await step(line, 40, () => (line === "plays" ? plays() : line === "poster" ? poster()
      : page.waitForFunction((text) => new RegExp(text).test(document.getElementById("title").textContent), line)));
    say("seen", await displayed());
  }
  await browser.close();
  say("stopped");
}, displayed);
