// What the studio records into the browser, with a server whose answers each test decides. Needs web/dist: run `make build` first.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, before, test } from "node:test";
import { launch } from "./lib/browser.mjs";
import { looks, openStudio, until } from "./lib/studio-page.mjs";

let browser;

before(async () => {
  browser = await launch({ devices: 2 });
}, { timeout: 60_000 });
after(() => browser?.close());

/** Opens the studio, where a piece of a recording is shorter than usual. */
const open = (t) => openStudio(t, browser, undefined, {
  script: () => {
    const { start } = MediaRecorder.prototype;
    MediaRecorder.prototype.start = function () {
      start.call(this, 150);
    };
  },
});

const recorded = (page) => page.waitForFunction(() => /Recording since .*: [1-9]/.test(document.getElementById("record-note").textContent));

/** Goes live with a small picture, and waits until something of it is recorded. */
async function record({ page, phase, start }, name = "test") {
  await page.locator("#quality").selectOption("360p");
  await page.locator("#record").check();
  await start(name);
  await phase("live");
  await recorded(page);
}

/** The files in the browser's storage. A recording that is deleted meanwhile has none. */
const stored = (page) => page.evaluate(async () => {
  const root = await (await navigator.storage.getDirectory()).getDirectoryHandle("recordings", { create: true });
  const folders = await Array.fromAsync(root.values());
  return (await Promise.all(folders.map((folder) => Array.fromAsync(folder.keys()).catch((error) => {
    if (error.name !== "NotFoundError") {
      throw error;
    }
    return [];
  })))).flat();
});

/** Downloads each part that the page offers, plays it to the end, and returns their names and lengths in seconds. */
async function playAll(page) {
  const player = await browser.newPage();
  const played = [];
  for (const link of await page.locator("#recordings a").all()) {
    const [download] = await Promise.all([page.waitForEvent("download"), link.click()]);
    const content = (await readFile(await download.path())).toString("base64");
    played.push({ name: download.suggestedFilename(), seconds: await player.evaluate(async (base64) => {
      const video = document.createElement("video");
      video.muted = true;
      video.playbackRate = 4;
      const over = new Promise((resolve, reject) => {
        video.onended = resolve;
        video.onerror = () => reject(new Error(video.error.message));
      });
      video.src = URL.createObjectURL(new Blob([Uint8Array.from(atob(base64), (c) => c.charCodeAt(0))]));
      await video.play();
      await over;
      if (video.videoWidth === 0) {
        throw new Error("there are no pictures");
      }
      return video.currentTime;
    }, content) });
  }
  await player.close();
  return played;
}

test("a show is recorded, and can be downloaded and deleted", async (t) => {
  const all = await open(t);
  const { page, errors, phase, text } = all;
  await page.waitForFunction(() => /room for about \d+ (minutes|hours)/.test(document.getElementById("record-note").textContent));
  await record(all, "show");
  assert.equal(await page.locator("#kept").isVisible(), false);
  await page.locator("#go").click();
  await phase("idle");
  await page.locator("#kept").waitFor();
  assert.match(await text("recordings"), /^Recording of “show”\s.*, 0:0\d, \d+ kB\s+Download\s+Delete$/s);
  const [part] = await playAll(page);
  assert.match(part.name, /^show \d{4}-\d\d-\d\d \d\d-\d\d-\d\d\.webm$/);
  assert.ok(part.seconds > 0.2, `it lasts ${part.seconds} s`);

  await page.locator("#recordings button").click();
  await page.locator("#confirm-no").click();
  assert.equal(await page.locator("#recordings li").count(), 1);
  await page.evaluate(() => {
    const { removeEntry } = FileSystemDirectoryHandle.prototype;
    FileSystemDirectoryHandle.prototype.removeEntry = async function () { // as on a disk without any room
      FileSystemDirectoryHandle.prototype.removeEntry = removeEntry;
      throw new DOMException("an operation failed", "InvalidStateError");
    };
  });
  await page.locator("#recordings button").click();
  await page.locator("#confirm-yes").click();
  await page.waitForFunction(() => /could not delete this recording/.test(document.getElementById("record-problem").innerText));
  assert.equal(await page.locator("#recordings li").count(), 1);
  await page.locator("#recordings button").click();
  await page.locator("#confirm-yes").click();
  await page.locator("#kept").waitFor({ state: "hidden" });
  assert.equal(await page.locator("#record-problem").isVisible(), false);
  await page.reload();
  await page.waitForFunction(() => document.getElementById("record").checked); // the wish is remembered
  assert.deepEqual(await stored(page), []);
  assert.deepEqual(errors, []);
});

test("the pieces of a tab that was killed are found, but not those of a tab that records", async (t) => {
  const all = await open(t);
  const { mock, page } = all;
  await record(all, "lost");
  const other = await page.context().newPage();
  await other.goto(mock.address);
  await other.waitForFunction(() => /room for/.test(document.getElementById("record-note").textContent));
  assert.equal(await other.locator("#kept").isVisible(), false);

  const crashed = page.waitForEvent("crash");
  (await page.context().newCDPSession(page)).send("Page.crash").catch(() => undefined);
  await crashed;
  await until(async () => {
    await other.reload();
    await other.waitForFunction(() => document.getElementById("address-1"));
    return other.locator("#kept").isVisible();
  }, "the recording is offered");
  assert.match(await other.locator("#recordings").innerText(), /A recording of “lost” was found.*The page was closed before the recording ended/s);
  const [part] = await playAll(other);
  assert.ok(part.seconds > 0.1, `it lasts ${part.seconds} s`);
  await other.locator("#recordings button").click();
  await other.locator("#confirm-yes").click();
  await until(async () => (await stored(other)).length === 0, "it is deleted");
});

test("a recording that another page deletes meanwhile hides no other", async (t) => {
  const { page } = await open(t);
  await page.evaluate(async () => {
    const root = await (await navigator.storage.getDirectory()).getDirectoryHandle("recordings", { create: true });
    for (const id of ["1-a", "2-b"]) {
      const folder = await root.getDirectoryHandle(id, { create: true });
      const file = await (await folder.getFileHandle("0000-0000000", { create: true })).createWritable();
      await file.write(new Uint8Array([0x1a, 0x45, 0xdf, 0xa3]));
      await file.close();
    }
  });
  await page.addInitScript(() => {
    const { getFile } = FileSystemFileHandle.prototype;
    let calls = 0;
    FileSystemFileHandle.prototype.getFile = function () {
      return calls++ === 0 ? Promise.reject(new DOMException("it is gone", "NotFoundError")) : getFile.call(this);
    };
  });
  await page.reload();
  await page.locator("#recordings li").waitFor();
  assert.equal(await page.locator("#recordings li").count(), 1);
});

test("a full disk ends the recording, and the show goes on", async (t) => {
  const all = await open(t);
  const { mock, page, phase, text } = all;
  await record(all);
  const { usage } = await page.evaluate(() => navigator.storage.estimate());
  const cdp = await page.context().newCDPSession(page);
  await cdp.send("Storage.overrideQuotaForOrigin", { origin: new URL(mock.address).origin, quotaSize: usage + 50_000 });
  await page.locator("#record-problem").waitFor();
  assert.match(await text("record-problem"), /The recording here has stopped: the disk is full.*The show goes on/s);
  await page.waitForFunction(() => /the disk is full/.test(document.getElementById("warnings").textContent));
  await page.locator("#kept").waitFor();
  assert.equal(await page.locator("#record").isChecked(), false);
  await page.waitForFunction(() => /written into this browser/.test(document.getElementById("record-note").textContent));
  assert.doesNotMatch(await text("record-note"), /There is room for/);
  await looks(page, "disk-full");
  const before = await mock.framesReceived();
  await until(async () => (await mock.framesReceived()) > before + 10, "frames at the far end");
  const [part] = await playAll(page);
  assert.ok(part.seconds > 0.1, `it lasts ${part.seconds} s`);

  await cdp.send("Storage.overrideQuotaForOrigin", { origin: new URL(mock.address).origin });
  await page.locator("#record").check(); // there is room again
  await recorded(page);
  await page.locator("#go").click();
  await phase("idle");
  await page.waitForFunction(() => document.querySelectorAll("#recordings li").length === 2);
  assert.equal(await page.locator("#record-problem").isVisible(), false);
});

test("another camera begins another part, and each part plays", async (t) => {
  const all = await open(t);
  const { page } = all;
  await record(all);
  await page.locator("#camera").selectOption({ index: 1 });
  await page.waitForFunction(() => document.getElementById("video").srcObject.getVideoTracks()[0].label.endsWith("1"));
  await until(async () => (await stored(page)).some((name) => name.startsWith("0001-")), "a piece of the second part");
  await page.locator("#record").uncheck(); // during the show
  await page.locator("#recordings").waitFor();
  assert.equal(await page.locator("#recordings a").count(), 2);
  const parts = await playAll(page);
  assert.match(parts[1].name, / part 2\.webm$/);
  assert.ok(parts.every(({ seconds }) => seconds > 0.05), JSON.stringify(parts));
});

test("a browser that cannot record says so", async (t) => {
  const { page, text } = await openStudio(t, browser, undefined, { script: () => delete globalThis.MediaRecorder });
  assert.equal(await page.locator("#record").isDisabled(), true);
  assert.match(await text("record-note"), /cannot record/);
});
