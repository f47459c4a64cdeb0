// Parts of the studio that are loaded when they are needed, from a server whose answers each test decides. Needs web/dist: run `make build` first.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch } from "./lib/browser.mjs";
import { looks, openStudio, until } from "./lib/studio-page.mjs";

let browser;

before(async () => {
  browser = await launch();
}, { timeout: 60_000 });
after(() => browser?.close());

/** How often the server was asked for a piece. */
const asked = (mock, name) => mock.files.filter((file) => file.startsWith(`/${name}-`)).length;

test("a part that the server does not give says so, and can be tried again", async (t) => {
  const { errors, mock, page, text } = await openStudio(t, browser, (mock) => {
    mock.methods["media/find_all"] = () => ({ files: [{ name: "jingle.wav", kind: "sound", bytes: 1, durationMs: 1000 }], more: false, change: true });
    mock.missing = (file) => file.startsWith("/media-board-");
  });
  assert.equal(asked(mock, "media-board"), 0); // nobody has looked
  await page.locator("#media > summary").click();
  const problem = page.locator("#media > [role=alert]:not(#media-problem)");
  const again = page.locator("#media").getByRole("button", { name: "Try again" });
  await again.waitFor();
  assert.match(await problem.innerText(), /did not give this part of the page.*try again/s);
  assert.equal(await page.locator("#media-upload").isVisible(), false); // it would do nothing
  await looks(page, "piece-missing");

  await again.focus();
  await page.keyboard.press("Enter");
  await until(() => asked(mock, "media-board") === 2, "the second request");
  await again.waitFor();
  mock.missing = () => false;
  await again.click();
  await page.locator("#media-list li").waitFor();
  assert.equal(asked(mock, "media-board"), 3);
  assert.equal(await again.isVisible(), false);
  assert.equal(await problem.isVisible(), false);
  assert.equal(await page.evaluate(() => document.activeElement.tagName), "SUMMARY"); // the button with the focus is gone
  assert.match(await text("media-list"), /jingle\.wav/);
  await page.locator("#media > summary").click();
  await page.locator("#media > summary").click();
  await page.locator("#media-list li").waitFor();
  assert.equal(asked(mock, "media-board"), 3);
  assert.deepEqual(errors.filter((error) => !/404/.test(error)), []);
});

test("a speed test whose script is not there says so, and runs when it is", async (t) => {
  const { mock, page, text } = await openStudio(t, browser, (mock) => {
    mock.missing = (file) => file.startsWith("/speed-test-");
  });
  await page.locator("#quality-more summary").click();
  await page.locator("#speed").click();
  await page.locator("#speed-problem").waitFor();
  assert.match(await text("speed-problem"), /did not give this part of the page/);
  mock.missing = () => false;
  await page.locator("#speed").click();
  await page.locator("#speed-problem").waitFor({ state: "hidden" });
  await until(() => mock.requests.some(({ what }) => /POST \/whip\/.*-speed-/.test(what)), "the noise");
});

test("a link whose proposal cannot be read is not forgotten in silence", async (t) => {
  const { page, text } = await openStudio(t, browser, (mock) => {
    mock.missing = (file) => file.startsWith("/share-view-");
  }, { address: (base) => `${base}?to=rtmp://far.example/live` });
  await page.locator("#failure").waitFor();
  assert.match(await text("failure"), /did not give this part of the page/);
});
