// What arrives, watched in the studio, with a server whose answers each test decides.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { DelayMeter } from "./.build/web/pages/delay.js";
import { launch } from "./lib/browser.mjs";
import { push } from "./lib/mock-server.mjs";
import { looks, openStudio, until } from "./lib/studio-page.mjs";

let browser;

before(async () => {
  browser = await launch();
}, { timeout: 60_000 });
after(() => browser?.close());

test("a destination on the server's own port, by the name in the address of the page", async (t) => {
  const { page, phase, start } = await openStudio(t, browser, (mock) => {
    mock.find = () => [push({ rtmpUrl: "rtmp://studio.localhost/live" }), push({ mediaSessionId: "2", rtmpUrl: "rtmp://studioxlocalhost/live" })];
  }, { address: (base) => base.replace("localhost", "studio.localhost") });
  await page.locator("#address-1").fill("rtmp://studio.localhost/live");
  await start("show");
  await phase("live");
  await page.locator("#arrives > summary").click();
  await page.locator("#arrival-watch").waitFor();
  assert.deepEqual(await page.locator("#arrival option").allInnerTexts(), ["The stream itself", "At studio.localhost"]);
});

test("the stream itself, and a destination on the server's own port", async (t) => {
  const { mock, page, phase, start, text, errors } = await openStudio(t, browser, (mock) => {
    mock.find = () => [push(), push({ mediaSessionId: "2", rtmpUrl: "rtmp://far.example/live", streamName: "rtmp_far" })];
  });
  await start("show");
  await phase("live");
  await page.locator("#arrives > summary").click();
  await page.locator("#arrival-watch").waitFor(); // the script of this part is loaded now
  assert.deepEqual(await page.locator("#arrival option").allInnerTexts(), ["The stream itself", "At localhost:1935"]);
  await page.locator("#arrival-watch").click();
  await page.waitForFunction(() => /not live now/.test(document.getElementById("arrival-note").textContent));
  assert.equal(await page.locator("#arrival-video").isVisible(), false);
  mock.whep = () => 201;
  const frames = () => page.locator("#arrival-video").evaluate((video) => video.getVideoPlaybackQuality().totalVideoFrames);
  await until(async () => (await frames()) > 10, "pictures");
  await page.waitForFunction(() => /^About .* from your camera to here: .* ms to the server, and .* ms back/.test(document.getElementById("arrival-delay").textContent));
  assert.equal(await text("arrival-note"), "");
  assert.equal(await page.locator("#arrival-video").evaluate((video) => video.muted), true); // the microphone must not hear it
  assert.deepEqual(JSON.parse(mock.last("POST /rest-api/token/create").body).grants, [{ actions: ["play"], streams: ["show"] }]);
  await looks(page, "arrives");

  await page.evaluate(() => { // a connection that closes first would end the session, and the server would not know what is to be deleted
    const { close } = RTCPeerConnection.prototype;
    const { fetch } = globalThis;
    globalThis.farewell = [];
    globalThis.fetch = async (...request) => {
      const response = await fetch(...request);
      globalThis.farewell.push(request[1]?.method);
      return response;
    };
    RTCPeerConnection.prototype.close = function () {
      globalThis.farewell.push("close");
      close.call(this);
    };
  });
  await page.locator("#arrival").selectOption("rtmp_test");
  await until(() => mock.count("POST /whep/rtmp_test") === 1, "the other stream");
  assert.equal(mock.count("DELETE /whep/show/session-1"), 1);
  await page.waitForFunction(() => globalThis.farewell.includes("close"));
  assert.deepEqual(await page.evaluate(() => globalThis.farewell.filter((what) => what === "DELETE" || what === "close")), ["DELETE", "close"]);
  await page.waitForFunction(() => /from this server to here\. The way to the destination is not in it/.test(document.getElementById("arrival-delay").textContent));
  await page.locator("#arrives > summary").click(); // closed, it plays nothing
  await until(() => mock.count("DELETE /whep/rtmp_test/session-1") === 1, "the end of the session");
  await page.locator("#arrives > summary").click();
  assert.equal(await text("arrival-watch"), "Watch");
  assert.deepEqual(errors.filter((error) => !/404/.test(error)), []);
});

test("the delay is the mean of the last second, and nothing is made up", () => {
  const pair = { type: "candidate-pair", nominated: true, state: "succeeded", currentRoundTripTime: 0.04 };
  const got = (total, frames) => [pair, { type: "inbound-rtp", kind: "video", totalProcessingDelay: total, framesDecoded: frames }];
  const down = new DelayMeter("inbound-rtp");
  assert.equal(down.read(got(100, 50)), null); // what was before is not the delay of now
  assert.equal(down.read(got(103, 80)), 120);
  assert.equal(down.read(got(103, 80)), null); // no picture has come
  assert.equal(down.read([{ ...pair, currentRoundTripTime: undefined }, got(104, 90)[1]]), null);
  assert.equal(down.read([]), null);
  const up = new DelayMeter("outbound-rtp");
  const sent = (encode, frames, wait, packets) => [pair, { type: "outbound-rtp", kind: "video", totalEncodeTime: encode, framesEncoded: frames, totalPacketSendDelay: wait, packetsSent: packets }];
  up.read(sent(1, 10, 2, 100));
  assert.equal(up.read(sent(1.3, 40, 3, 200)), 40);
  assert.equal(new DelayMeter("inbound-rtp").read([pair, { type: "inbound-rtp", kind: "video", framesDecoded: 3 }]), null);
});

test("of a browser that does not measure everything, what it measures is known", () => {
  const pair = { type: "candidate-pair", nominated: true, state: "succeeded" }; // as Firefox's
  const down = new DelayMeter("inbound-rtp");
  const got = (total, frames) => [pair, { type: "inbound-rtp", kind: "video", totalProcessingDelay: total, framesDecoded: frames }];
  assert.deepEqual([down.read(got(100, 50)), down.part], [null, null]);
  assert.deepEqual([down.read(got(103, 80)), down.part], [null, 100]);
  assert.deepEqual([down.read(got(103, 80)), down.part], [null, null]); // no picture has come
  assert.deepEqual([down.read([pair, { type: "inbound-rtp", kind: "video", framesDecoded: 90 }]), down.part], [null, 0]);
  const up = new DelayMeter("outbound-rtp");
  const sent = (total, frames) => [pair, { type: "outbound-rtp", kind: "video", totalEncodeTime: total, framesEncoded: frames, packetsSent: 9 },
    { type: "remote-inbound-rtp", kind: "video", roundTripTime: 0.04 }];
  up.read(sent(1, 10));
  assert.deepEqual([up.read(sent(1.3, 40)), up.part], [null, 30]);
  const whole = new DelayMeter("inbound-rtp");
  const timed = (total, frames) => [{ ...pair, currentRoundTripTime: 0.04 }, got(total, frames)[1]];
  whole.read(timed(100, 50));
  assert.deepEqual([whole.read(timed(103, 80)), whole.part], [120, null]);
});
