// How the studio looks at the picture of its preview, in a real browser. The tests of the parts of the pages must have been built (npm test does it).

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, before, test } from "node:test";
import { launch } from "./lib/browser.mjs";

let browser;

before(async () => {
  browser = await launch();
}, { timeout: 60_000 });
after(() => browser?.close());

/** A page with a video of odd size, which show() paints, and a probe. copies: whether the browser can copy frames. */
async function open(t, copies) {
  const page = await browser.newPage();
  page.setDefaultTimeout(15_000);
  t.after(() => page.close());
  await page.evaluate(async ([script, able]) => {
    const { PictureProbe } = await import(URL.createObjectURL(new Blob([script], { type: "text/javascript" })));
    if (!able) {
      delete globalThis.VideoFrame;
    }
    const canvas = Object.assign(document.createElement("canvas"), { width: 321, height: 181 });
    const context = canvas.getContext("2d");
    globalThis.drawn = 0;
    const { drawImage } = CanvasRenderingContext2D.prototype;
    CanvasRenderingContext2D.prototype.drawImage = function (...all) {
      globalThis.drawn++;
      return drawImage.apply(this, all);
    };
    const video = Object.assign(document.createElement("video"), { muted: true, srcObject: canvas.captureStream() });
    /** Paints one colour, with one part in another, and waits until the video shows that. */
    globalThis.show = async (colour, part = colour) => {
      const shown = new Promise((resolve) => video.requestVideoFrameCallback(resolve));
      context.fillStyle = colour;
      context.fillRect(0, 0, 321, 181);
      context.fillStyle = part;
      context.fillRect(311, 171, 10, 10);
      await shown;
    };
    globalThis.probe = new PictureProbe(video);
    globalThis.all = [{ source: "camera", left: 0, top: 0, right: 1, bottom: 1 }];
    globalThis.before = await globalThis.probe.read(globalThis.all);
    await Promise.all([globalThis.show("black"), video.play()]);
  }, [await readFile(new URL("./.build/web/pages/picture-probe.js", import.meta.url), "utf8"), copies]);
  const read = async (...colours) => {
    const reading = await page.evaluate(async (all) => {
      if (all.length > 0) {
        await globalThis.show(...all);
      }
      return (await globalThis.probe.read(globalThis.all)).camera;
    }, colours);
    return [reading.brightest < 28 ? "black" : "light", reading.changed ? "changed" : "still"].join(" ");
  };
  return { page, read };
}

test("a frame is copied, not drawn", async (t) => {
  const { page, read } = await open(t, true);
  assert.equal(await page.evaluate(() => globalThis.before), null, "there is no picture yet");
  assert.equal(await read(), "black changed", "the first");
  assert.equal(await read(), "black still");
  assert.equal(await read("black", "white"), "light changed", "one part is white");
  assert.equal(await read(), "light still");
  assert.equal(await read("blue"), "light changed");
  assert.equal(await read("black"), "black changed");
  const [one, other] = await page.evaluate(() => Promise.all([globalThis.probe.read(globalThis.all), globalThis.probe.read(globalThis.all)]));
  assert.deepEqual([one.camera.changed, other.camera.changed], [false, true], "two readings at once: the second is the last one");
  const corner = { source: "camera", left: 0.7, top: 0.7, right: 1, bottom: 1 };
  const both = (...colours) => page.evaluate(async ([areas, all]) => {
    await globalThis.show(...all);
    return globalThis.probe.read(areas);
  }, [[corner, { source: "screen", left: 0, top: 0, right: 1, bottom: 1 }], colours]);
  await both("black", "white");
  for (const changed of [true, false]) { // red, and red again
    const { camera, screen } = await both("black", "red");
    assert.deepEqual([screen.brightest < 28, screen.changed, camera.brightest > 28, camera.changed], [true, false, true, changed]);
  }
  assert.equal(await page.evaluate(() => globalThis.drawn), 0);
});

test("where frames cannot be copied, a frame is drawn at each fourth reading", async (t) => {
  const { page, read } = await open(t, false);
  assert.equal(await read(), "black changed");
  assert.deepEqual([await read("white"), await read(), await read(), await read()], ["black changed", "black changed", "black changed", "light changed"]);
  assert.deepEqual([await read(), await read(), await read(), await read()], ["light changed", "light changed", "light changed", "light still"]);
  assert.equal(await page.evaluate(() => globalThis.drawn), 3);
});
