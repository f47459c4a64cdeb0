// The SDK's elements in a real browser, in pages with a strict policy. Each test decides what the server answers. Needs web/dist: run `make build` first.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, before, test } from "node:test";
import { faults, inEveryLook, photograph } from "./lib/accessibility.mjs";
import { crash, launch, letDevicesGo } from "./lib/browser.mjs";
import { needClickForSound, newSDKPage, paintScreen } from "./lib/sdk-page.mjs";
import { until } from "./lib/studio-page.mjs";

// Neither inline styles nor scripts, nor text that becomes either.
const strict = "default-src 'none'; script-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'; require-trusted-types-for 'script'; trusted-types 'none'";
let browser;

before(async () => {
  browser = await launch();
}, { timeout: 60_000 });
after(() => browser?.close());

const eventNames = ["statuschange", "publisherleft", "publisheraway", "publisherback", "unmuterequired", "pushfailed", "error", "playing", "volumechange"];

/** Opens a page with one element. `told` resolves to the events of the element so far, without the changes of the status. */
async function open(t, markup, setUp) {
  const { mock, page, errors, socket } = await newSDKPage(t, browser, { setUp, viewport: { width: 640, height: 400 } });
  await needClickForSound(page);
  await page.addInitScript(letDevicesGo);
  await page.addInitScript((names) => {
    globalThis.events = [];
    const note = ({ target, type }) => /^TRANSPONDER-/.test(target.tagName) && globalThis.events.push(type === "statuschange" ? target.state.status : type);
    names.forEach((name) => addEventListener(name, note, true)); // these events do not bubble
  }, eventNames);
  await page.route(`${mock.address}page`, (route) => route.fulfill({
    contentType: "text/html", headers: { "Content-Security-Policy": strict },
    body: `<!doctype html><html lang="en"><title>Page</title><link rel="icon" href="/icon.svg"><main><h1>Page</h1>${markup}</main><script type="module" src="/sdk/transponder-elements.js"></script>`,
  }));
  await page.goto(`${mock.address}page`);
  const element = page.locator("main > :last-child");
  const says = (pattern) => page.waitForFunction(([text]) => new RegExp(text).test(document.querySelector("main > :last-child").shadowRoot.querySelector("p").textContent), [pattern.source]);
  const heard = (name) => page.waitForFunction((wanted) => globalThis.events.includes(wanted), name);
  const told = () => page.evaluate(() => globalThis.events);
  return { mock, page, errors, socket, element, says, heard, told };
}

test("a player waits, plays, is heard by keyboard, and says when the publisher is away, back, and gone", { timeout: 90_000 }, async (t) => {
  const { page, errors, socket, element, says, heard, told } = await open(t,
    `<transponder-player name="show" autoplay poster="/icon.svg" label="The show"></transponder-player>`, (fake) => {
      fake.live = false;
    });
  await says(/^Nobody is live/);
  await inEveryLook(page, async (look) => {
    assert.deepEqual(await faults(page), [], look);
    await photograph(page, `player-waits-${look}`);
  });
  socket.live = true;
  await heard("playing");
  assert.equal(await element.evaluate((e) => e.video.getAttribute("aria-label")), "The show");
  await heard("unmuterequired");
  const button = element.getByRole("button", { name: "Turn on the sound" });
  await button.waitFor();
  assert.deepEqual(await faults(page), []);
  await photograph(page, "player-silent");
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  await button.waitFor({ state: "hidden" });
  assert.deepEqual(await element.evaluate((e) => [e.muted, e.shadowRoot.activeElement.tagName]), [false, "VIDEO"]);

  await socket.silence(true);
  await heard("publisheraway");
  await says(/connection is lost/);
  await socket.silence(false);
  await heard("publisherback");
  await says(/^$/);
  socket.end();
  await heard("publisherleft");
  await says(/has ended/);
  await photograph(page, "player-left");
  socket.live = true;
  await page.waitForFunction(() => globalThis.events.filter((e) => e === "publisherback").length === 2);
  assert.deepEqual((await told()).filter((e) => e.startsWith("publisher")), ["publisheraway", "publisherback", "publisherleft", "publisherback"]);
  assert.equal(await element.evaluate((e) => e.muted), false, "what the person chose stays");
  await element.evaluate((e) => e.remove());
  await until(() => socket.open.size === 0, "the socket is closed");
  assert.deepEqual(errors, []);
});

test("a player without autoplay plays at a click, survives a move, and tries again after a failure at another click", { timeout: 60_000 }, async (t) => {
  const { page, errors, socket, element, heard, told } = await open(t, `<div id="other"></div><transponder-player name="show" controls></transponder-player>`);
  await element.getByRole("button", { name: "Play" }).click();
  await heard("playing");
  await page.evaluate(() => document.getElementById("other").append(document.querySelector("transponder-player")));
  await page.evaluate(() => document.querySelector("main").append(document.querySelector("transponder-player")));
  assert.equal(await element.evaluate((e) => e.state.status), "playing");
  assert.equal(socket.count("playStream"), 1);
  socket.status(...socket.player, "FAILED", "Stopped by rest /terminate");
  await heard("error");
  assert.equal(await element.evaluate((e) => e.state.error.reason), "terminated");
  await element.getByRole("button", { name: "Try again" }).click();
  await page.waitForFunction(() => document.querySelector("transponder-player").state.status === "playing");
  await element.evaluate((e) => e.name = "another");
  await until(() => socket.last("playStream")?.name === "another", "the other stream");
  assert.ok((await told()).includes("volumechange") === false);
  assert.deepEqual(errors, []);
});

test("a publisher goes live by keyboard, is muted, shows the screen with sound, and stops", { timeout: 60_000 }, async (t) => {
  const { mock, page, errors, socket, element, says, heard } = await open(t,
    `<transponder-publisher name="show" width="640" height="360" rtmp-url="rtmp://far.example/live" controls></transponder-publisher>`);
  await paintScreen(page);
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  await says(/^Live\.$/);
  assert.equal(socket.last("publishStream").rtmpUrl, "rtmp://far.example/live");
  await until(async () => await mock.framesReceived() > 5, "pictures at the far end");
  await inEveryLook(page, async (look) => {
    assert.deepEqual(await faults(page), [], look);
    await photograph(page, `publisher-live-${look}`);
  });
  await element.getByRole("button", { name: "Mute", exact: true }).click();
  await says(/without sound/);
  await element.getByRole("button", { name: "Unmute" }).click();
  assert.deepEqual(socket.sent.filter(([name]) => name === "sendStreamEvent").map(([, { type }]) => type), ["audioMuted", "audioUnmuted"]);

  const tracks = () => element.evaluate((e) => e.state.stream.mediaStream.getTracks().map(({ id }) => id).sort().join());
  const before = await tracks();
  await element.getByRole("button", { name: "Show the screen" }).click();
  await says(/screen is shown/);
  assert.deepEqual(await page.evaluate(() => globalThis.asked), { video: true, audio: true });
  assert.deepEqual(await element.evaluate((e) => [e.state.screen, e.state.screenSound]), [true, true]);
  assert.notEqual(await tracks(), before);
  await until(() => mock.far.evaluate(() => globalThis.peer.getReceivers().every(({ track }) => track.readyState === "live")), "both tracks at the far end");
  await element.getByRole("button", { name: "Show the camera" }).click();
  await says(/^Live\.$/);
  assert.equal(await tracks(), before, "the same camera and microphone");
  assert.deepEqual(await page.evaluate(() => globalThis.display.getTracks().map(({ readyState }) => readyState)), ["ended", "ended"]);

  const [ws] = socket.open;
  socket.say(ws, "notifyStreamEvent", { mediaSessionId: socket.last("publishStream").mediaSessionId, type: "pushFailed", payload: { info: "refused" } });
  await heard("pushfailed");
  await says(/the push failed: refused/);
  await element.getByRole("button", { name: "Stop" }).click();
  await says(/^$/);
  await until(() => socket.open.size === 0, "the socket is closed");
  socket.refusal = "Stream name is already in use";
  await element.getByRole("button", { name: "Go live" }).click();
  await says(/Somebody already publishes/);
  await photograph(page, "publisher-failed");
  assert.equal(await element.evaluate((e) => e.video.srcObject), null, "the camera is off");
  assert.deepEqual(errors, []);
});

test("a publisher whose camera crashes, and whose microphone is pulled out", { timeout: 90_000 }, async (t) => {
  const { mock, page, errors, socket, element, says } = await open(t, `<transponder-publisher name="show" width="640" height="360" controls></transponder-publisher>`);
  await element.evaluate((e) => {
    globalThis.lost = [];
    e.addEventListener("statuschange", () => globalThis.lost.push(e.state.cameraLost));
  });
  await element.getByRole("button", { name: "Go live" }).click();
  await says(/^Live\.$/);
  await crash(browser, "video_capture.");
  await page.waitForFunction(() => globalThis.lost.includes(true) && globalThis.lost.at(-1) === false);
  const before = await mock.framesReceived();
  await until(async () => await mock.framesReceived() > before + 5, "pictures at the far end");

  await element.evaluate((e) => globalThis.unplug(e.state.stream.mediaStream.getAudioTracks()[0]));
  await says(/^Live, but the microphone is gone/);
  assert.equal(await element.evaluate((e) => e.state.microphoneLost), true);
  await inEveryLook(page, async (look) => assert.deepEqual(await faults(page), [], look));
  await page.evaluate(() => globalThis.plugIn());
  await says(/^Live\.$/);
  await until(() => mock.far.evaluate(() => globalThis.peer.getReceivers().every(({ track }) => track.readyState === "live")), "both tracks at the far end");
  assert.equal(socket.sent.filter(([name]) => name === "publishStream").length, 1);
  await element.getByRole("button", { name: "Stop" }).click();
  await says(/^$/);
  assert.deepEqual(errors, []);
});

test("the code of the manual", { timeout: 60_000 }, async (t) => {
  const manual = await readFile(new URL("../../../docs/elements.md", import.meta.url), "utf8");
  const snippets = [...manual.matchAll(/```html\n.*?<\/script>\n(.*?)```/gs)].map(([, markup]) => markup.trim());
  assert.equal(snippets.length, 2);
  for (const markup of snippets) {
    const { page, errors, socket, element } = await open(t, markup.replace("wss://host.example:8443", "/ws").replace("poster.jpg", "/icon.svg"));
    if (markup.includes("publisher")) {
      await element.getByRole("button", { name: "Go live" }).click();
    }
    await page.waitForFunction(() => ["playing", "live"].includes(document.querySelector("main > :last-child").state.status));
    assert.equal([...socket.open][0].url().endsWith("/ws"), true);
    assert.deepEqual(errors, []);
  }
});
