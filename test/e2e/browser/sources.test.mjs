// The sources of the studio in a real browser: camera, screen and card, with a server whose answers each test decides. What viewers get is looked
// at on the other end of the connection. Needs web/dist: run `make build` first.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { launch } from "./lib/browser.mjs";
import { farPicture, farSound } from "./lib/colours.mjs";
import { makeFilm, openSources, seen } from "./lib/sources-page.mjs";
import { until } from "./lib/studio-page.mjs";

let browser;
const folder = mkdtempSync(path.join(tmpdir(), "films-"));
after(() => rmSync(folder, { recursive: true }));

before(async () => {
  browser = await launch();
}, { timeout: 60_000 });
after(() => browser?.close());

const open = (t, options) => openSources(t, browser, options);

describe("screen", () => {
  test("before and during the show, in every arrangement, and then a file, over one connection", async (t) => {
    const { mock, page, errors, sees, flows, press, choose, says, tracks, end, live, inspect, text } = await open(t);
    await press("screen");
    await page.locator("#arrangement").waitFor();
    assert.match(await text("source-note"), /shared with its sound/);
    assert.equal(await text("screen"), "Stop sharing");
    await live();
    await sees(seen.corner);
    for (const arrangement of ["beside", "screen", "camera"]) {
      await choose(`arrange-${arrangement}`);
      await sees(seen[arrangement]);
    }
    await inspect("screen");
    await press("screen");
    await page.locator("#arrangement").waitFor({ state: "hidden" });
    await sees(seen.camera);
    assert.equal(await tracks(), "llee", "the browser no longer shows that something is shared");
    assert.equal(await page.evaluate(() => document.getElementById("video").srcObject.getVideoTracks()[0] === globalThis.opened[0]), true, "the camera as it is");

    await press("screen");
    await page.locator("#arrangement").waitFor();
    await choose("arrange-corner");
    await sees(seen.corner);
    await page.evaluate(() => (globalThis.requestAnimationFrame = () => 0)); // as in a page that nobody sees
    await flows();
    await page.evaluate(() => (globalThis.dark = "#ff0000"));
    await page.waitForFunction(() => ["black screen", "still"].every((code) => document.querySelector(`#warnings li[data-code="${code}"]`)), null, { timeout: 30_000 });
    assert.match(await text("warnings"), /shared screen is black.*allow the browser to record/s); // and in the corner the green camera stands still
    await page.evaluate(() => (globalThis.dark = ""));
    await end(-2); // by the browser's own button
    await sees(seen.camera);
    assert.match(await text("source-note"), /not shared any more/);

    await page.locator("#film summary").click();
    await page.locator("#film-pick").waitFor();
    await page.locator("#film-file").setInputFiles({ name: "film.mp4", mimeType: "video/mp4", buffer: Buffer.from("no film") });
    await says("film-problem", /cannot play this file.*H\.264 and AAC/);
    await page.locator("#film-file").setInputFiles(makeFilm(folder, "film.webm", 1));
    await choose("film-loop"); // a slow machine sees it, too
    await press("film-play");
    await sees("red red green red"); // in the shape of the show, without bars
    await choose("film-loop");
    await says("source-note", /has ended\. Viewers see the camera again/);
    await sees(seen.camera);
    assert.equal(mock.count("POST /whip/test"), 1);
    assert.deepEqual(errors, []);
  });

  test("without a camera, and without sound", async (t) => {
    const { page, sees, press, says, start, phase } = await open(t, { permitted: false, first: () => (globalThis.silentScreen = true) });
    await press("camera-off");
    await page.locator("#microphone").selectOption("none");
    await press("screen");
    await says("source-note", /without sound\. For its sound/);
    assert.equal(await page.locator("#arrangement").isVisible(), false);
    await start();
    await phase("live");
    await sees(seen.screen);
    assert.equal(await page.evaluate(() => globalThis.asked), undefined, "no camera and no microphone was asked for");
    await press("screen");
    await sees(seen.card);
    await page.evaluate(() => (globalThis.silentScreen = false));
    await press("screen");
    await says("source-note", /began with “No sound”/);
  });

  test("that is refused, or that the browser does not have", async (t) => {
    const { page, press, says, refuse, text } = await open(t);
    await page.waitForFunction(() => document.getElementById("video").videoWidth > 0); // the next request is for the screen
    for (const [name, message, words] of [
      ["NotAllowedError", "Permission denied", /No screen is shared.*Press “Share screen” again/],
      ["NotAllowedError", "Permission denied by system", /could not share.*system's settings/],
      ["NotReadableError", "Could not start video source", /could not share.*Could not start/],
    ]) {
      await refuse(name, message);
      await press("screen");
      await says("source-problem", words);
      assert.equal(await text("screen"), "Share screen");
    }
    await press("screen");
    await page.locator("#arrangement").waitFor();
    assert.equal(await page.locator("#source-problem").isVisible(), false);
    await page.addInitScript(() => {
      delete navigator.mediaDevices.getDisplayMedia;
      delete MediaDevices.prototype.getDisplayMedia;
    });
    await page.reload();
    await says("version", /./);
    assert.equal(await page.locator("#screen").isVisible(), false);
  });
});

test("where workers get no frames, the page paints", async (t) => {
  const { page, live, press, choose, sees, flows, errors } = await open(t, { first: () => delete globalThis.MediaStreamTrackGenerator });
  await press("screen");
  await live();
  await sees(seen.corner);
  await choose("arrange-beside");
  await sees(seen.beside);
  await press("camera-off");
  await sees(seen.screen);
  await press("screen");
  await sees(seen.card);
  await page.evaluate(() => (globalThis.requestAnimationFrame = () => 0)); // as in a page that nobody sees
  await flows();
  await press("camera-off");
  await sees(seen.camera);
  assert.deepEqual(errors, []);
});

test("where nothing can be mixed, one picture is sent", async (t) => {
  const { live, press, says, sees } = await open(t, { first: () => {
    globalThis.Worker = class extends EventTarget {
      constructor() {
        super();
        setTimeout(() => this.dispatchEvent(new ErrorEvent("error", { message: "blocked" })));
      }
      postMessage() {}
      terminate() {}
    };
  } });
  await live();
  await press("screen");
  await says("source-problem", /cannot put several pictures together.*blocked/);
  await sees("red red red red", "1600x1000");
  await press("screen");
  await sees(seen.camera);
});

describe("camera", () => {
  test("off, refused, on and unplugged while live: viewers see the card meanwhile", async (t) => {
    const { mock, page, errors, live, press, says, refuse, sees, flows, tracks, end, inspect, text } = await open(t);
    await live();
    await sees(seen.camera);
    await press("camera-off");
    await sees(seen.card);
    assert.equal(await tracks(), "el", "the camera is closed");
    assert.equal(await text("camera-off"), "Turn on camera");
    assert.equal(await page.locator("#cover").isVisible(), false);
    await flows();
    assert.equal(await page.locator("#warnings li[data-code=still]").count(), 0);
    for (const [name, words] of [["NotAllowedError", /may not use.*Allow both/], ["NotReadableError", /Another program/], ["NotFoundError", /Plug one in/]]) {
      await refuse(name);
      await press("camera-off");
      await says("source-problem", words);
      assert.equal(await text("camera-off"), "Turn on camera");
    }
    await inspect("card");
    await sees(seen.card);
    await press("camera-off");
    await sees(seen.camera);
    await page.evaluate(() => globalThis.unplug(globalThis.opened.at(-1)));
    await sees(seen.card);
    assert.match(await text("device-problem"), /camera is gone.*Plug it in.*Viewers see your card/s);
    await inspect("gone");
    await press("open");
    await sees(seen.camera);
    assert.equal(mock.count("POST /whip/test"), 1);
    assert.deepEqual(errors, []);
  });

  test("off from the beginning, with a card of one's own, also after a reload: only the microphone is asked for", async (t) => {
    const { mock, page, phase, press, says, sees, start } = await open(t, { permitted: false });
    const pick = async (content) => {
      const [chooser] = await Promise.all([page.waitForEvent("filechooser"), press("card-pick")]);
      await chooser.setFiles({ name: "card.png", mimeType: "image/png", buffer: content });
    };
    await press("camera-off");
    await page.locator("#card-more summary").click();
    await pick(Buffer.from("no image"));
    await says("source-problem", /not an image.*PNG or JPEG/);
    const image = await page.evaluate(() => {
      const canvas = Object.assign(document.createElement("canvas"), { width: 320, height: 180 });
      const context = canvas.getContext("2d");
      context.fillStyle = "#ff0000";
      context.fillRect(0, 0, 320, 180);
      return canvas.toDataURL("image/png").split(",")[1];
    });
    await pick(Buffer.from(image, "base64"));
    await page.locator("#card-remove").waitFor();
    await page.locator("#card-text").fill("Back soon");
    await page.keyboard.press("Tab");
    await page.reload();
    await says("version", /./);
    await page.waitForFunction(() => document.getElementById("video").videoWidth > 0); // the card
    assert.equal(await page.locator("#cover").isVisible(), false);
    await start();
    await phase("live");
    await sees("red red red red");
    assert.deepEqual(await page.evaluate(() => globalThis.opened.map(({ kind }) => kind)), ["audio"]);
    await page.locator("#card-more summary").click();
    assert.equal(await page.locator("#card-text").inputValue(), "Back soon");
    await press("card-remove");
    await until(async () => (await farPicture(mock, [[0.02, 0.5]])) === "1280x720 dark", "the text at the far end");
    assert.equal(await page.locator("#card-remove").isVisible(), false);
  });

  test("of a phone, from front to back and upright", async (t) => {
    const { page, live, press, sees } = await open(t, { first: () => (globalThis.facing = "user") });
    await live();
    for (const side of ["environment", "user"]) {
      await press("flip");
      await page.waitForFunction((wanted) => globalThis.asked.video.facingMode?.ideal === wanted, side);
      await sees(seen.camera);
    }
    await page.locator("#card-more summary").click();
    await page.locator("#shape").selectOption("portrait");
    await sees(seen.camera, "720x1280");
    await press("screen");
    await sees("red red green red", "720x1280");
    await page.locator("#shape").selectOption("landscape");
    await sees(seen.corner);
  });
});

describe("microphone", () => {
  test("processing, volume and a meter that tells clipping, also while live", async (t) => {
    const { mock, page, choose, errors, live, press, says, tracks, inspect, flows } = await open(t);
    const asked = () => page.evaluate(() => {
      const { autoGainControl, channelCount, echoCancellation, noiseSuppression } = globalThis.asked?.audio ?? {};
      return JSON.stringify([noiseSuppression, echoCancellation, autoGainControl, channelCount?.ideal]);
    });
    await live();
    assert.equal(await asked(), "[true,true,true,null]");
    await says("peak", /Too loud/); // the tone has full scale
    await until(async () => await farSound(mock) === "left right", "speech on both channels");
    await page.locator("#microphone-more summary").click();
    for (const [id, wanted] of [["noise", "[false,true,true,null]"], ["echo", "[false,false,true,null]"], ["gain", "[false,false,false,2]"]]) {
      await choose(id);
      await until(async () => await asked() === wanted, `the microphone is asked for ${wanted}`);
    }
    await until(async () => await tracks() === "leeel", "the old microphones are closed, and the camera is not");
    assert.equal(await page.evaluate(() => globalThis.opened.at(-1).contentHint), "music");
    await until(async () => await farSound(mock) === "left", "music in stereo");
    await page.locator("#volume").fill("-20");
    await says("volume-shown", /−20 dB/);
    await says("peak", /^−(19|20|21) dBFS/);
    await choose("monitor");
    await inspect("microphone");
    await flows();
    await page.locator("#volume").fill("0");
    await says("volume-shown", /unchanged/);
    await says("peak", /Too loud/);
    assert.equal(mock.count("POST /whip/test"), 1);
    assert.deepEqual(errors, []);
    await page.locator("#volume").fill("6");
    await press("go");
    await page.reload();
    await says("volume-shown", /\+6 dB/);
    await until(async () => await asked() === "[false,false,false,2]", "the same after a reload");
    assert.equal(await page.locator("#monitor").isChecked(), false);
  });

  test("that is refused with other processing: the old one goes on, and the boxes say so", async (t) => {
    const { page, choose, live, refuse, says, tracks } = await open(t);
    await live();
    await page.locator("#microphone-more summary").click();
    await refuse("NotAllowedError");
    await choose("noise");
    await says("device-problem", /may not use/);
    assert.equal(await tracks(), "ll");
    assert.equal(await page.locator("#noise").isChecked(), true);
  });
});
