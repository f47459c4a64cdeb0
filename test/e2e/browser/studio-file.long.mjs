// Files as sources of the studio, in a real browser, with a server whose answers each test decides. TestLongStudioFilePage runs it: for every change
// it would take too long. Needs web/dist: run `make build` first.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { launch } from "./lib/browser.mjs";
import { farSound } from "./lib/colours.mjs";
import { makeFilm, openSources, seen } from "./lib/sources-page.mjs";
import { until } from "./lib/studio-page.mjs";

let browser;
const folder = mkdtempSync(path.join(tmpdir(), "films-"));
after(() => rmSync(folder, { recursive: true }));

before(async () => {
  browser = await launch();
}, { timeout: 60_000 });
after(() => browser?.close());

describe("file", () => {
  /** Like open, with the fold of the file open, if the page may load it. */
  const openFilm = async (t, options) => {
    const all = await openSources(t, browser, options);
    await all.page.locator("#film summary").click();
    await all.page.locator("#film-pick").waitFor();
    const pick = (file) => all.page.locator("#film-file").setInputFiles(file);
    const paused = (wanted) => all.page.waitForFunction((value) => document.getElementById("film-video").paused === value, wanted);
    return { ...all, pick, paused };
  };

  test("beside the camera, paused, moved, again and again; the camera is back when it ends, over one connection", async (t) => {
    const { mock, page, errors, sees, flows, press, choose, says, live, inspect, pick, paused, text } = await openFilm(t);
    await page.locator("#film-file").setInputFiles({ name: "film.mp4", mimeType: "video/mp4", buffer: Buffer.from("no film") });
    await says("film-problem", /cannot play this file.*H\.264 and AAC/);
    assert.equal(await page.locator("#film-controls").isVisible(), false);
    await live();
    await pick(makeFilm(folder, "film.webm", 4, "-live", "1")); // as browsers record: the file does not say how long it is
    await page.locator("#film-play").waitFor();
    assert.equal(await page.locator("#film-problem").isVisible(), false);
    assert.match(await text("film-name"), /film\.webm/);
    assert.match(await text("film-time"), /^0:00 of 0:0[34]$/);
    await sees(seen.camera); // a file that is only chosen is shown to nobody
    await choose("film-loop");
    await press("film-play");
    await sees("red red green red");
    assert.match(await text("source-note"), /played to the viewers/);
    assert.equal(await text("only-screen"), "Only the file");
    await flows();
    await press("film-play");
    await paused(true);
    await sees("red red green red");
    await flows();
    await inspect("film");
    await choose("arrange-screen");
    await sees("red red red red");
    await page.locator("#film-position").fill("3");
    await says("film-time", /^0:03 of/);
    await press("film-play");
    await page.waitForFunction(() => document.getElementById("film-video").currentTime < 2); // it has begun again
    await sees("red red red red");
    await choose("film-loop");
    await says("source-note", /has ended\. Viewers see the camera again/);
    await sees(seen.camera);
    assert.equal(await page.locator("#film-end").isVisible(), false);
    await press("film-play");
    await sees("red red red red");
    await press("film-end");
    await sees(seen.camera);
    assert.equal(await page.evaluate(() => document.activeElement.id), "film-play");
    assert.equal(mock.count("POST /whip/test"), 1);
    assert.equal(mock.requests.some(({ what }) => /film/.test(what)), false);
    assert.deepEqual(errors, []);
  });

  test("in place of a screen and a screen in place of it, upright, without the microphone, with its own volume", async (t) => {
    const { mock, page, errors, sees, press, choose, says, tracks, live, pick, paused, text } = await openFilm(t);
    const loud = (wanted) => until(async () => ((await farSound(mock)) !== "") === wanted, wanted ? "sound at the far end" : "silence at the far end");
    await page.locator("#card-more summary").click();
    await page.locator("#shape").selectOption("portrait");
    await live();
    await press("screen");
    await sees("red red green red", "720x1280");
    const shared = (await tracks()).length;
    await pick(makeFilm(folder, "quiet.webm", 2, "-af", "volume=-9dB")); // the tone of ffmpeg has an eighth of full scale
    await choose("film-loop");
    await press("film-play");
    await page.waitForFunction((n) => globalThis.opened.slice(0, n).slice(-2).every(({ readyState }) => readyState === "ended"), shared);
    assert.equal(await text("screen"), "Share screen");
    await sees("red red green red", "720x1280");
    await loud(true); // the tone of the microphone
    await choose("film-microphone");
    await loud(false);
    await page.locator("#film-volume").fill("12");
    await says("film-volume-shown", /\+12 dB/);
    await loud(true);
    await page.locator("#film-volume").fill("0");
    await loud(false);
    await press("screen");
    await paused(true);
    await says("source-note", /screen is shared with its sound/);
    await loud(true); // the microphone is back, and the screen has a tone
    assert.equal(await text("screen"), "Stop sharing");
    assert.equal(await page.locator("#film-end").isVisible(), false);
    assert.equal(mock.count("POST /whip/test"), 1);
    assert.deepEqual(errors, []);
  });

  test("Play pressed twice begins once, and a file that never comes is told", async (t) => {
    const { page, errors, sees, live, says, pick, press } = await openFilm(t);
    await live();
    await pick(makeFilm(folder, "twice.webm", 3));
    await page.locator("#film-play").waitFor();
    const begun = await page.evaluate(async () => {
      let streams = 0;
      const video = document.getElementById("film-video");
      const { captureStream } = HTMLMediaElement.prototype;
      video.captureStream = () => (streams++, captureStream.call(video));
      const button = document.getElementById("film-play");
      button.click();
      button.click();
      await new Promise((resolve) => video.addEventListener("playing", resolve, { once: true }));
      return streams;
    });
    assert.equal(begun, 1);
    await sees("red red green red");
    await press("film-end");
    await sees(seen.camera);
    await page.evaluate(() => {
      URL.createObjectURL = () => "/never"; // the route below does not answer
    });
    await page.route("**/never", () => undefined);
    await pick(makeFilm(folder, "never.webm", 1));
    await says("film-problem", /cannot play this file/);
    assert.deepEqual(errors, []);
  });
});
