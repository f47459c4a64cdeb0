// Two browsers of different makers, each with the official Web SDK's page two_way_streaming, publish and play each other.
//
//   node browsers.mjs ws://localhost:8080
//
// Firefox publishes "firefox", Chromium "chromium". Says {"event":"live"} when each plays the other's. Each line on standard input is
// a stream that Chromium plays in place of that, which {"event":"played"} tells. When standard input closes, Stop is pressed.

import { launch } from "./lib/browser.mjs";
import { launchFirefox } from "./lib/firefox.mjs";
import { servePackage } from "./lib/package-server.mjs";
import { commands, main, readArguments, say, step } from "./lib/script.mjs";

const options = readArguments(["seconds"]);
const example = "/examples/demo/streaming/two_way_streaming/two_way_streaming.html";

/** What both kinds of window can do, by playwright's. */
class ChromiumWindow {
  constructor(page) {
    this.page = page;
  }

  goto = (url) => this.page.goto(url);
  click = (selector) => this.page.locator(selector).click();
  fill = (selector, text) => this.page.locator(selector).fill(text);
  evaluate = (run, argument) => this.page.evaluate(run, argument);
  until = (run, argument) => this.page.waitForFunction(run, argument, { timeout: 0 });
}

/** Waits until an element has a text; why it has another, the page says beside it. */
async function shows(window, id, wanted) {
  await window.until(([name, text]) => [text, "FAILED", "DISCONNECTED"].includes(document.getElementById(name).textContent.trim()), [id, wanted]);
  const [status, info] = await window.evaluate((name) => [name, name.replace("Status", "Info")]
    .map((each) => document.getElementById(each)?.textContent.trim()), id);
  if (status !== wanted) {
    throw new Error(`#${id} shows ${status} (${info}), not ${wanted}`);
  }
}

async function publish(window, base, name) {
  await window.goto(base + example);
  await window.until(() => document.getElementById("urlServer").value !== "");
  await window.fill("#urlServer", options.address);
  await window.click("#connectBtn");
  await shows(window, "connectStatus", "ESTABLISHED");
  await window.fill("#publishStream", name);
  await window.click("#publishBtn");
  await shows(window, "publishStatus", "PUBLISHING");
}

async function play(window, name) {
  await window.fill("#playStream", name);
  await window.click("#playBtn");
  await shows(window, "playStatus", "PLAYING");
  // Pictures go on, which Firefox counts in no other way.
  await window.until(() => {
    const video = document.querySelector("#remoteVideo > video");
    if (video && video.pictures === undefined) {
      video.pictures = 0;
      video.requestVideoFrameCallback(function count() {
        video.pictures++;
        video.requestVideoFrameCallback(count);
      });
    }
    return video?.videoWidth > 0 && video.pictures > 30 && video.currentTime > 2;
  });
}

async function stopPlaying(window) {
  await window.click("#playBtn");
  await shows(window, "playStatus", "STOPPED");
}

await main(async () => {
  const base = await step("serve the example", 10, servePackage);
  const chrome = await step("start Chromium", 40, launch);
  const chromium = new ChromiumWindow(await chrome.newPage({ viewport: { width: 1280, height: 1000 } }));
  const firefox = await step("start Firefox", 60, launchFirefox);
  await step("publish from Firefox", 60, () => publish(firefox, base, "firefox"));
  await step("play Firefox's in Firefox", 60, () => play(firefox, "firefox"));
  await step("stop that", 20, () => stopPlaying(firefox));
  await step("publish from Chromium", 40, () => publish(chromium, base, "chromium"));
  await step("play Firefox's in Chromium", 40, () => play(chromium, "firefox"));
  await step("play Chromium's in Firefox", 60, () => play(firefox, "chromium"));
  say("live");
  for await (const name of commands(Number(options.seconds ?? 60))) {
    await step("stop that", 20, () => stopPlaying(chromium));
    await step(`play ${name} in Chromium`, 60, () => play(chromium, name));
    say("played");
  }
  for (const window of [firefox, chromium]) {
    await step("stop", 20, async () => {
      await window.click("#publishBtn");
      await shows(window, "publishStatus", "UNPUBLISHED");
    });
  }
  say("stopped");
  await step("close the browsers", 30, () => Promise.all([chrome.close(), firefox.close()]));
});
