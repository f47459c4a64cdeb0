// The quality of the studio's stream, with a server whose answers each test decides. Needs web/dist: run `make build` first.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch } from "./lib/browser.mjs";
import { looks, openStudio, until } from "./lib/studio-page.mjs";

let browser;

before(async () => {
  browser = await launch();
}, { timeout: 60_000 });
after(() => browser?.close());

/** Opens the studio with the settings of the quality open. The page keeps what it asks of its sender. */
async function open(t) {
  const all = await openStudio(t, browser, undefined, {
    script: () => {
      const { setParameters } = RTCRtpSender.prototype;
      globalThis.asked = [];
      RTCRtpSender.prototype.setParameters = function (parameters) {
        globalThis.asked.push(parameters.encodings[0]);
        return setParameters.call(this, parameters);
      };
      const { getStats } = RTCPeerConnection.prototype;
      RTCPeerConnection.prototype.getStats = async function () { // what a network carries is for a test with a real one
        const entries = [...(await getStats.call(this)).values()];
        const fields = (one) => (one.nominated ? { availableOutgoingBitrate: globalThis.carries } : one.type === "outbound-rtp" ? { bytesSent: one.timestamp * globalThis.carries / 8000 } : {});
        return new Map(entries.map((one) => [one.id, globalThis.carries ? { ...one, ...fields(one) } : one]));
      };
    },
  });
  await all.page.locator("#quality-more summary").click();
  return all;
}

/** The height of the picture that arrives. */
const height = (mock) => mock.far.evaluate(async () => [...(await globalThis.peer.getStats()).values()]
  .find((s) => s.type === "inbound-rtp" && s.kind === "video")?.frameHeight);

test("quality, bit rate and frame rate change while live, over the same connection", async (t) => {
  const { mock, page, errors, phase, text, start } = await open(t);
  const asked = () => page.evaluate(() => globalThis.asked.at(-1));
  await page.locator("#quality").selectOption("480p");
  await start();
  await phase("live");
  await until(async () => await height(mock) === 480, "480 lines at the far end");
  assert.deepEqual([(await asked()).maxBitrate, (await asked()).maxFramerate], [1_500_000, 30]);
  assert.equal(await page.locator("#codec").isDisabled(), true);
  assert.equal(await page.locator("#speed").isDisabled(), true);
  assert.match(await text("quality-hint"), /over the same connection/);

  await page.locator("#quality").selectOption("360p");
  await until(async () => await height(mock) === 360, "360 lines at the far end");
  await until(async () => (await asked()).maxBitrate === 800_000, "the bit rate of the quality");
  await page.locator("#max-bitrate").fill("600");
  await page.locator("#frame-rate").selectOption("15");
  await until(async () => (await asked()).maxBitrate === 600_000 && (await asked()).maxFramerate === 15, "the chosen bit rate and frame rate");
  assert.equal(await page.evaluate(() => document.getElementById("video").srcObject.getVideoTracks()[0].getSettings().frameRate), 15);
  await page.locator("#max-bitrate").fill("2 Mbit");
  await page.locator("#max-bitrate").blur();
  assert.match(await text("max-bitrate-problem"), /from 100 to 20000, or nothing/);
  await until(async () => (await asked()).maxBitrate === 800_000, "the bit rate of the quality again");
  await looks(page, "quality-live");
  const before = await mock.framesReceived();
  await until(async () => (await mock.framesReceived()) > before + 5, "frames at the far end");
  assert.equal(mock.count("POST /whip/test"), 1);
  assert.deepEqual(errors, []);
});

test("a camera that keeps its size is sent smaller, and is mixed with others in that size", async (t) => {
  const { mock, page, errors, phase, start } = await open(t);
  const scale = () => page.evaluate(() => globalThis.asked.at(-1).scaleResolutionDownBy);
  await page.evaluate(() => {
    const { getUserMedia } = navigator.mediaDevices;
    navigator.mediaDevices.getUserMedia = (wanted) => getUserMedia.call(navigator.mediaDevices, { ...wanted, ...(wanted.video && { video: { width: 1280, height: 720 } }) });
    MediaStreamTrack.prototype.applyConstraints = async () => undefined;
  });
  await start();
  await phase("live");
  await until(async () => await height(mock) === 720, "720 lines at the far end");
  assert.equal(await scale(), 1);
  await page.locator("#quality").selectOption("360p");
  await until(async () => await height(mock) === 360, "360 lines at the far end");
  assert.equal(await page.evaluate(() => document.getElementById("video").srcObject.getVideoTracks()[0].getSettings().height), 720);
  assert.equal(await scale(), 2);

  await mock.far.evaluate(() => {
    globalThis.heights = new Set();
    globalThis.heightTimer = setInterval(async () => [...(await globalThis.peer.getStats()).values()]
      .forEach((s) => s.type === "inbound-rtp" && s.kind === "video" && globalThis.heights.add(s.frameHeight)), 20);
  });
  for (const [pressed, wanted] of [["#camera-off", 1], ["#camera-off", 2]]) { // the card is made in the size of the show
    await page.locator(pressed).click();
    await until(async () => await scale() === wanted, `a picture that is made smaller by ${wanted}`);
    const before = await mock.framesReceived();
    await until(async () => (await mock.framesReceived()) > before + 5, "frames at the far end");
  }
  assert.deepEqual(await mock.far.evaluate(() => [...globalThis.heights]), [360]);
  assert.deepEqual(errors, []);
});

test("the codec is chosen before the show, and remembered", async (t) => {
  const { mock, page, phase, start } = await open(t);
  await page.locator("#codec").selectOption("video/VP8");
  await page.locator("#max-bitrate").fill("700");
  await page.locator("#max-bitrate").blur();
  await page.reload();
  await page.waitForFunction(() => document.getElementById("address-1"));
  assert.deepEqual([await page.locator("#codec").inputValue(), await page.locator("#max-bitrate").inputValue()], ["video/VP8", "700"]);
  await start();
  await phase("live");
  const offer = mock.last("POST /whip/test").body;
  const video = offer.slice(offer.indexOf("m=video"));
  assert.match(video, new RegExp(`a=rtpmap:${/m=video \d+ \S+ (\d+)/.exec(video)[1]} VP8/90000`));
});

test("a test of the upload proposes a quality", async (t) => {
  const { mock, page, errors, text } = await open(t);
  await page.evaluate(() => (globalThis.carries = 11_000_000)); // the best quality needs less, so the test is over soon
  await page.locator("#quality").selectOption("360p");
  await page.locator("#speed").click();
  await page.waitForFunction(() => /Testing, [1-9]/.test(document.getElementById("speed").textContent));
  await page.locator("#speed-take").waitFor();
  assert.match(await text("speed-result"), /^The way to this server carries at least 10\.0 Mbit\/s, with a round trip of \d+ ms\. “Full HD, 1080p” needs 4\.5 Mbit\/s and fits\.$/);
  const posts = mock.requests.filter(({ what }) => what.startsWith("POST /whip/"));
  assert.match(posts.map(({ what }) => what).join(), /^POST \/whip\/[\w-]+-speed-\w{8}$/);
  await until(() => mock.requests.some(({ what }) => what.startsWith("DELETE /whip/")), "the end of the test");
  assert.equal(mock.count("POST /rest-api/push/startup"), 0);
  await page.locator("#speed-take").click();
  assert.equal(await page.locator("#quality").inputValue(), "1080p");
  assert.match(await text("speed-result"), /is chosen\./);
  assert.equal(await page.locator("#speed-take").isVisible(), false);
  assert.deepEqual(errors, []);
});

test("a test of the upload that is refused, and one that a show ends", async (t) => {
  const { mock, page, phase, text, start } = await open(t);
  mock.whip = () => 403;
  await page.locator("#speed").click();
  await page.locator("#speed-problem").waitFor();
  assert.match(await text("speed-problem"), /You may not do that/);
  assert.equal(await text("speed-result"), "");

  mock.whip = () => 201;
  await page.locator("#speed").click();
  await page.waitForFunction(() => /Testing, [1-9]/.test(document.getElementById("speed").textContent));
  await start();
  await phase("live");
  await page.waitForFunction(() => document.getElementById("speed").textContent === "Test the upload");
  assert.equal(await page.locator("#speed-problem").isVisible(), false);
  assert.equal(await page.locator("#speed-take").isVisible(), false);
});

test("a destination gets another picture", async (t) => {
  const { mock, page, phase, start } = await open(t);
  await page.locator("#where-1 .more summary").click();
  assert.equal(await page.locator("#shape-1").isDisabled(), true);
  await page.locator("#height-1").selectOption("720");
  await page.locator("#fps-1").selectOption("25");
  await page.locator("#shape-1").selectOption("upright");
  await start();
  await phase("live");
  const { fps, height, options, width } = JSON.parse(mock.last("POST /rest-api/push/startup").body);
  assert.deepEqual({ fps, height, options, width }, { fps: 25, height: 1280, width: 720, options: { onSourceLoss: "hold", fit: "letterbox" } });
});

test("the picture of a destination is copied with it, and is there after a reload and on another day", async (t) => {
  const { mock, page, phase, start } = await open(t);
  const picture = (n) => page.evaluate((i) => ["height", "fps", "shape"].map((id) => document.getElementById(`${id}-${i}`).value), n);
  await page.locator("#where-1 .more summary").click();
  await page.locator("#height-1").selectOption("720");
  await page.locator("#fps-1").selectOption("25");
  await page.locator("#shape-1").selectOption("upright");
  await page.locator("#duplicate-1").click();
  assert.deepEqual(await picture(2), ["720", "25", "upright"]);
  await page.locator("#address-2").fill("rtmp://one.example/live");
  await page.locator("label:has(#keep-2)").click();
  await page.locator("#where-2 .more summary").click();
  await page.locator("#height-2").selectOption("480");
  await start();
  await phase("live");
  await page.locator("#go").click();
  await phase("idle");
  await page.reload();
  await page.waitForFunction(() => document.getElementById("shape-2"));
  assert.deepEqual([await picture(1), await picture(2)], [["720", "25", "upright"], ["480", "25", "upright"]]);

  await page.evaluate(() => { // another day, and what another version may have stored
    sessionStorage.clear();
    const [one] = JSON.parse(localStorage.getItem("transponder.destinations"));
    const other = (id, picture) => ({ ...one, id, address: `rtmp://${id}.example/live`, picture });
    localStorage.setItem("transponder.destinations", JSON.stringify([one, other("old"), other("odd", { height: 77, fps: "25", shape: "constructor" }), other("text", "x")]));
  });
  await page.reload();
  await page.waitForFunction(() => document.getElementById("shape-4"));
  assert.deepEqual([await picture(1), await picture(2), await picture(3), await picture(4)], [["480", "25", "upright"], ...Array(3).fill(["0", "0", ""])]);
  await start("again");
  await phase("live");
  assert.deepEqual(mock.requests.filter(({ what }) => what === "POST /rest-api/push/startup").slice(-4).map(({ body }) => JSON.parse(body).height), [854, undefined, undefined, undefined]);
});
