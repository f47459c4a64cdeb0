// The studio in a real browser, with a server whose answers each test decides.

import assert from "node:assert/strict";
import { faults, inEveryLook, photograph } from "./accessibility.mjs";
import { letDevicesGo, rememberMicrophone, watchConsole } from "./browser.mjs";
import { MockServer } from "./mock-server.mjs";

const timeout = 15_000;

/** Opens the studio of a new mock server. setUp prepares the server, and script runs in the page, before the scripts of the page. */
export async function openStudio(t, browser, setUp = () => undefined, { address = (base) => base, hasTouch = false, locale = "en-US", permitted = true, script = () => undefined } = {}) {
  const mock = await MockServer.start(browser);
  setUp(mock);
  const context = await browser.newContext({ hasTouch, locale, viewport: { width: 1280, height: 860 } });
  await context.addInitScript(rememberMicrophone);
  await context.addInitScript(script);
  await context.addInitScript(letDevicesGo); // also those of the script
  const page = await context.newPage();
  page.setDefaultTimeout(timeout);
  const errors = watchConsole(page);
  if (!permitted) {
    await page.addInitScript(() => {
      navigator.permissions.query = async () => ({ state: "prompt" });
    });
  }
  t.after(async () => {
    await context.close();
    await mock.close().catch(() => undefined);
  });
  await page.goto(address(mock.address));
  await page.waitForFunction(() => document.getElementById("address-1"));
  const phase = (wanted) => page.waitForFunction((p) => document.getElementById("status").dataset.phase === p, wanted);
  /** Waits for the words above the picture: the show is live as soon as one destination is, and "on all" tells that the others are, too. */
  const state = (wanted) => page.waitForFunction((words) => document.getElementById("state").innerText.trim() === words, wanted);
  const text = async (id) => (await page.locator(`#${id}`).innerText()).trim();
  const start = async (name = "test") => {
    await page.locator("#name").fill(name);
    await page.locator("#go").click();
  };
  return { mock, page, errors, phase, state, text, start };
}

/** Waits until the condition holds. */
export async function until(condition, what) {
  // The pause lets the mock server work, which runs in this process.
  for (const deadline = Date.now() + timeout; !(await condition()); await new Promise((resolve) => setTimeout(resolve, 20))) {
    assert.ok(Date.now() < deadline, `not within ${timeout / 1000} s: ${what}`);
  }
}

/** Inspects a state of the page in every look. */
export function looks(page, what) {
  return inEveryLook(page, async (look) => {
    assert.deepEqual(await faults(page), [], `${what}, ${look}`);
    const [wide, width] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
    assert.ok(wide <= width, `${what}, ${look}: ${wide} px wide of ${width}`);
    const [bar, height] = await page.evaluate(() => [document.getElementById("status").offsetHeight, innerHeight]);
    assert.ok(bar <= height / 2, `${what}, ${look}: the bar covers ${bar} px of ${height}`);
    await photograph(page, `${what}-${look}`);
  });
}
