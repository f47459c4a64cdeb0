// Uses the gallery of examples by keyboard, as a server serves them: each by its own buttons, with real sound and pictures.
//
//   node examples.mjs http://localhost:8081/ --rtmp URL --guarded http://localhost:8083/ --token T --react FILE [--seconds 120] [--screenshot FOLDER]
//
// The guarded server asks for tokens, and T may publish cam-1 there. The media folder of the first server has pause.wav and away.png. FILE is the
// script of the examples for React. It prints {"event":"both"} while the address gets "first" and "second", {"event":"one"} when the first was ended by
// its button, {"event":"holding"} while "pause" gets a picture, and {"event":"react"} while "react" gets the stream of the studio. After each, it waits
// for a line on standard input. Serious accessibility faults, errors on the console, and pages wider than 360 pixels fail.

import { readFile } from "node:fs/promises";
import { faults, inEveryLook } from "./lib/accessibility.mjs";
import { crash, launch, tabTo, watchConsole } from "./lib/browser.mjs";
import { commands, main, readArguments, say, step } from "./lib/script.mjs";
import { needClickForSound, paintScreen } from "./lib/sdk-page.mjs";

const options = readArguments(["rtmp", "guarded", "token", "react", "seconds", "screenshot"]);
const complaints = [];
let browser, page;

async function displayed() {
  return { displayed: { page: await page.locator("main").innerText(), address: page.url() }, consoleErrors: complaints };
}

/** Opens an example in a page of its own. */
async function open(name, query = "", { address = options.address, prepare = () => undefined } = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 860 }, permissions: ["camera", "microphone"] });
  const opened = await context.newPage();
  opened.setDefaultTimeout(30_000);
  const errors = watchConsole(opened);
  opened.on("close", () => complaints.push(...errors));
  await prepare(opened);
  await opened.goto(new URL(`/examples/${name}${query}`, address).href);
  return opened;
}

async function press(id, on = page) {
  await tabTo(on, id);
  await on.keyboard.press("Enter");
}

async function fill(id, value) {
  await tabTo(page, id); // selects the text in the field
  await page.keyboard.type(value);
}

/** Waits for a phase of a state. If the state fails instead, the error says so. */
async function reach(phase, id = "state", on = page) {
  await on.waitForFunction(([which, wanted]) => [wanted, "failed"].includes(document.getElementById(which).dataset.phase), [id, phase]);
  if (await on.evaluate((which) => document.getElementById(which).dataset.phase, id) !== phase) {
    throw new Error(`the page says: ${await on.locator(`#${id}`).innerText()}`);
  }
}

function says(id, pattern, on = page) {
  return on.waitForFunction(([which, words]) => new RegExp(words).test(document.getElementById(which).textContent), [id, pattern.source]);
}

/** Waits until the server knows a stream, or a push, with these members. */
function known(path, filter, wanted) {
  return page.waitForFunction(async ([where, body, members]) => {
    const answer = await fetch(`/rest-api/${where}/find`, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
    const found = answer.ok ? await answer.json() : [];
    return found.some((each) => Object.entries(members).every(([name, value]) => name.split(".").reduce((part, member) => part[member], each) === value));
  }, [path, filter, wanted], { polling: 200 });
}

async function inspect(name) {
  const fits = async (look) => {
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    if (wide > 0) {
      throw new Error(`${name}, ${look}: ${wide} pixels wider than the window`);
    }
    if (options.screenshot) {
      await page.screenshot({ path: `${options.screenshot}/example-${name}-${look}.png`, fullPage: true });
    }
  };
  await inEveryLook(page, async (look) => {
    const found = await faults(page);
    if (found.length > 0) {
      throw new Error(`accessibility, ${name}, ${look}: ${found.join("; ")}`);
    }
    await fits(look);
  });
  const size = page.viewportSize();
  await page.setViewportSize({ width: 360, height: 800 });
  await fits("narrow");
  await page.setViewportSize(size);
}

const examples = {
  async devices() {
    page = await open("devices", "?name=devices");
    await press("go");
    await reach("live");
    const sent = (kind) => page.evaluate((which) => document.getElementById("preview").srcObject.getTracks().find((track) => track.kind === which).getSettings().deviceId, kind);
    for (const [id, kind] of [["cameras", "video"], ["microphones", "audio"]]) {
      const before = await sent(kind);
      await page.waitForFunction((which) => document.getElementById(which).options.length > 1, id);
      await page.locator(`#${id}`).selectOption({ index: 1 });
      await page.waitForFunction(([which, old]) => document.getElementById("preview").srcObject.getTracks().some((track) => track.kind === which && track.getSettings().deviceId !== old), [kind, before]);
    }
    await page.evaluate(() => {
      globalThis.states = [];
      const state = document.getElementById("state");
      new MutationObserver(() => globalThis.states.push(state.textContent.trim())).observe(state, { subtree: true, childList: true, characterData: true });
    });
    await crash(browser, "video_capture.");
    await page.waitForFunction(() => globalThis.states.some((state) => state.includes("a device is gone")) && globalThis.states.at(-1) === "Live.");
    await press("sound");
    await known("stream", { name: "devices" }, { "audioState.muted": true, "videoState.muted": false });
    await press("picture");
    await known("stream", { name: "devices" }, { "audioState.muted": true, "videoState.muted": true });
    await inspect("devices");
    await press("sound");
    await press("picture");
    await known("stream", { name: "devices" }, { "audioState.muted": false, "videoState.muted": false });
    await press("go");
    await reach("idle");
  },

  async quality() {
    page = await open("quality", "?name=quality");
    await press("go");
    await reach("live");
    await says("sent", /^Sent: \d+ by \d+/);
    await page.locator("#quality").selectOption({ index: 2 });
    await says("sent", /^Sent: (640 by 360|[1-5]\d\d by \d\d\d)/);
    await page.waitForFunction(() => document.querySelector(".preview video").srcObject.getVideoTracks()[0].getSettings().width === 640);
    await inspect("quality");
    await press("go");
    await reach("idle");
  },

  async record() {
    page = await open("record", "?name=record");
    await press("go");
    await reach("live");
    await press("record");
    await page.waitForFunction((from) => document.getElementById("preview").currentTime > from + 2, await page.evaluate(() => document.getElementById("preview").currentTime));
    await press("record");
    const link = page.getByRole("link", { name: /^Save record-/ });
    await link.waitFor();
    await inspect("record");
    const size = await link.evaluate(async ({ href }) => {
      const video = Object.assign(document.createElement("video"), { src: href, muted: true });
      await new Promise((resolve, reject) => {
        video.onloadeddata = resolve;
        video.onerror = () => reject(new Error("the recording cannot be played"));
      });
      return video.videoWidth;
    });
    if (size === 0) {
      throw new Error("the recording has no picture");
    }
    await press("go");
    await reach("idle");
  },

  async reconnect() {
    const sockets = [];
    page = await open("reconnect", "?name=reconnect", { prepare: (opened) => opened.routeWebSocket(/\/ws$/, (ws) => {
      sockets.push([ws, ws.connectToServer()]);
    }) });
    await press("go");
    await reach("live");
    sockets[0].forEach((end) => void end.close({ code: 4000, reason: "cut by the test" }));
    await says("events", /Session: reconnecting/);
    await says("events", /Stream: restoring/);
    await reach("live");
    await says("events", /Stream: live.*Stream: restoring.*Stream: live/s);
    await inspect("reconnect");
    await press("go");
    await reach("idle");
  },

  async token() {
    page = await open("token", "?name=cam-1", { address: options.guarded });
    await press("go");
    await says("state", /\S/);
    await page.waitForFunction(() => document.getElementById("state").dataset.phase === "failed");
    await page.close();
    page = await open("token", `?name=cam-1#token=${options.token}`, { address: options.guarded });
    await press("go");
    await reach("live");
    if (page.url().includes(options.token)) {
      throw new Error("the token stays in the address");
    }
    await inspect("token");
    await press("go");
    await reach("idle");
  },

  async "whip and watch"() {
    const publisher = page = await open("whip", "?name=whip");
    await press("go");
    await reach("live");
    await inspect("whip");
    page = await open("watch", "?name=whip", { prepare: needClickForSound });
    await reach("live");
    await page.locator("#unmute").waitFor();
    await inspect("watch");
    await press("unmute");
    await page.locator("#unmute").waitFor({ state: "hidden" });
    await page.waitForFunction(() => !document.getElementById("video").muted && document.getElementById("video").getVideoPlaybackQuality().totalVideoFrames > 10);
    await press("go", publisher);
    await reach("idle", "state", publisher);
    await says("state", /has ended/);
    await press("go", publisher);
    await reach("live", "state", publisher);
    await reach("live");
    await publisher.close();
  },

  async "two destinations"(next) {
    page = await open("two-destinations", "?name=twice");
    for (const id of ["first", "second"]) {
      await fill(`${id}-address`, `${options.rtmp}/${id}`);
    }
    await press("go");
    await reach("live");
    await press("first-go");
    await press("second-go");
    await reach("live", "first-state");
    await reach("live", "second-state");
    await inspect("two-destinations");
    await next("both");
    await press("first-go");
    await reach("idle", "first-state");
    await next("one");
    await reach("live", "second-state");
    await press("go");
    await reach("idle", "second-state");
    await reach("idle");
  },

  async pause(next) {
    page = await open("pause", "?name=pause");
    await press("go");
    await reach("live");
    await fill("address", `${options.rtmp}/pause`);
    await fill("slate", "away.png");
    await press("push");
    await reach("live", "push-state");
    await press("play");
    await known("push", { streamName: "pause" }, { soundEnabled: true });
    await press("play");
    await known("push", { streamName: "pause" }, { soundEnabled: false });
    await press("mute");
    await known("push", { streamName: "pause" }, { muted: true });
    await inspect("pause");
    await press("mute");
    await known("push", { streamName: "pause" }, { muted: false });
    await press("go");
    await says("push-state", /The picture is sent/);
    await next("holding");
    await press("go");
    await reach("live");
    await reach("live", "push-state");
    await press("push");
    await reach("idle", "push-state");
    await press("go");
    await reach("idle");
  },

  async react(next) {
    const script = await readFile(options.react, "utf8");
    const body = `<!doctype html><html lang="en"><title>React</title><link rel="icon" href="/icon.svg"><body><script type="module" src="/react.js"></script>`;
    page = await open("", "#studio/react", { prepare: (opened) => opened.route("**/react.js", (route) => route.fulfill({ contentType: "text/javascript", body: script })) });
    await page.setContent(body); // in a page of the server: Chromium lets a page that no server has sent reach no server of this machine
    await paintScreen(page);
    const status = (words) => page.waitForFunction((wanted) => new RegExp(wanted).test(document.querySelector("[role=status]").textContent), words.source);
    const click = (name) => page.getByRole("button", { name, exact: true }).press("Enter");
    await click("Go live");
    await status(/^Live\. Not pushed/);
    await page.getByLabel("RTMP address").fill(`${options.rtmp}/react`);
    await click("Push");
    await status(/^Live\. Pushed/);
    await next("react");
    await click("Mute");
    await known("stream", { name: "react" }, { "audioState.muted": true });
    await click("Mute");
    await known("stream", { name: "react" }, { "audioState.muted": false });
    await click("Show the screen");
    await page.getByRole("button", { name: "Show the screen", pressed: true }).press("Enter");
    await page.getByRole("button", { name: "Show the screen", pressed: false }).waitFor();
    await click("End the push");
    await status(/Not pushed/);
    await click("Stop");
    await status(/^idle/);
  },
};

await main(async () => {
  browser = await step("start the browser", 40, () => launch({ devices: 2 }));
  const lines = commands(Number(options.seconds ?? 120));
  /** Says what is so, and goes on when the test says so. */
  const next = async (event) => {
    say(event, await displayed());
    await lines.next();
  };
  for (const [name, run] of Object.entries(examples)) {
    await step(name, 90, () => run(next));
    await page.close();
    say(`done ${name}`);
  }
  say("stopped", { displayed: {}, consoleErrors: complaints });
  await browser.close();
}, displayed);
