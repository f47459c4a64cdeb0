// What the tests of the studio's sources share: a page with sources of one colour each, and films.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import path from "node:path";
import { faults, photograph } from "./accessibility.mjs";
import { colours, farPicture } from "./colours.mjs";
import { openStudio, until } from "./studio-page.mjs";

/** The middle, the left edge, the corner of the camera, and the middle of the right third. */
export const points = [[0.5, 0.5], [0.02, 0.5], [0.86, 0.86], [0.8, 0.5]];

export const seen = {
  camera: "green green green green", screen: "red dark red red", card: "dark dark dark dark", corner: "red dark green red", beside: "red red green green",
};

/** A page with a green camera and a red screen. */
export async function openSources(t, browser, { first = () => undefined, ...options } = {}) {
  const all = await openStudio(t, browser, undefined, { script: `(${colours})();(${first})()`, ...options });
  const { mock, page } = all;
  /** Waits until the far end sees these colours at the points, in a picture of this size. */
  const sees = async (wanted, size = "1280x720") => {
    let last;
    await until(async () => (last = await farPicture(mock, points)) === `${size} ${wanted}`, "the colours").catch((error) => {
      throw new Error(`${error.message}: ${size} ${wanted}; it is ${last}`);
    });
  };
  /** The picture moves on at the far end. */
  const flows = async () => {
    const before = await mock.framesReceived();
    await until(async () => (await mock.framesReceived()) > before + 30, "frames at the far end");
  };
  const press = (id) => page.locator(`#${id}`).click();
  const choose = (id) => page.locator(`label:has(#${id})`).click();
  const says = (id, pattern) => page.waitForFunction(([i, source]) => new RegExp(source, "s").test(document.getElementById(i).textContent), [id, pattern.source]);
  const refuse = (name, message) => page.evaluate((wanted) => (globalThis.refuse = wanted), { name, message });
  /** How the tracks are that were opened first, as the letters l and e. */
  const tracks = () => page.evaluate(() => globalThis.opened.map(({ readyState }) => readyState[0]).join(""));
  const end = (index) => page.evaluate((i) => {
    const track = globalThis.opened.at(i);
    track.stop();
    track.dispatchEvent(new Event("ended"));
  }, index);
  const live = async () => {
    await page.waitForFunction(() => document.getElementById("video").videoWidth > 0);
    await all.start();
    await all.phase("live");
  };
  /** Inspects the page at the width of a phone, too. */
  const inspect = async (what) => {
    assert.deepEqual(await faults(page), []);
    await photograph(page, `sources-${what}`);
    const size = page.viewportSize();
    await page.setViewportSize({ width: 360, height: 780 });
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 360);
    await page.emulateMedia({ colorScheme: "dark", reducedMotion: "reduce" });
    assert.deepEqual(await faults(page), []);
    await photograph(page, `sources-${what}-phone`);
    await page.setViewportSize(size);
  };
  return { ...all, sees, flows, press, choose, says, refuse, tracks, end, live, inspect };
}

/** Makes a red film with a tone, so many seconds long, as a file in a folder. */
export function makeFilm(folder, name, seconds, ...more) {
  const file = path.join(folder, name);
  execFileSync("ffmpeg", ["-v", "error", "-f", "lavfi", "-i", `color=red:size=320x180:rate=25:duration=${seconds}`,
    "-f", "lavfi", "-i", `sine=frequency=1000:duration=${seconds}`, "-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-g", "25", "-c:a", "libopus", ...more, file]);
  return file;
}
