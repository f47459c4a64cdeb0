// How the studio shows the course of a show, with a server whose answers each test decides. Needs web/dist: run `make build` first.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, before, test } from "node:test";
import { launch } from "./lib/browser.mjs";
import { push } from "./lib/mock-server.mjs";
import { looks, openStudio } from "./lib/studio-page.mjs";

let browser;

before(async () => {
  browser = await launch();
}, { timeout: 60_000 });
after(() => browser?.close());

test("charts, what happened, and both as files", async (t) => {
  const { mock, page, errors, phase, text, start } = await openStudio(t, browser);
  const chart = (label) => page.waitForFunction((wanted) => [...document.querySelectorAll("#history svg")]
    .some((svg) => new RegExp(wanted).test(svg.getAttribute("aria-label"))), label);
  assert.equal(await page.locator("#history").isVisible(), false);
  let dropped = 0;
  mock.find = () => push({ bitrate: 2480, queuedMs: 700, droppedFrames: (dropped += 4) });
  await page.locator("#quality").selectOption("360p");
  await start();
  await phase("live");
  await chart("^From here to the server, Bitrate: now [1-9].*bit/s; .* to .*bit/s in the last 2 minutes$");
  await chart("^From here to the server, Frame rate: now \\d+ fps");
  await chart("^From here to the server, Round trip: now \\d+ ms");
  await chart("^localhost:1935, Bitrate: now 2\\.5 Mbit/s; 2\\.5 Mbit/s to 2\\.5 Mbit/s in the last 2 minutes$");
  await chart("^localhost:1935, Lag: now 700 ms");
  await chart("^localhost:1935, Dropped frames: now \\d+; [1-9]\\d* in the last 2 minutes$");
  assert.match(await text("show-time"), /^0:\d\d$/);

  await page.locator("#quality").selectOption("480p");
  await page.waitForFunction(() => /changed to 854 × 480, 30 pictures a second, up to 1\.5 Mbit/.test(document.getElementById("events").textContent));
  mock.tell({ to: "RECONNECTING", reason: "peer_closed", at: new Date(Date.now() + 60_000).toISOString() });
  mock.find = () => push({ status: "RECONNECTING", reason: "peer_closed" });
  await page.waitForFunction(() => /Connection to localhost:1935 lost; trying again\. The destination closed/.test(document.getElementById("events").textContent));
  const events = (await text("events")).split("\n").map((line) => line.replace(/^[\d:]+ /, ""));
  assert.deepEqual(events.slice(-2), ["The server gets the stream.", "The show begins."]);
  assert.ok(events.includes("Live on localhost:1935."), events.join("\n"));
  await looks(page, "history");

  const file = async (button) => {
    const [download] = await Promise.all([page.waitForEvent("download"), page.locator(button).click()]);
    return { name: download.suggestedFilename(), content: await readFile(await download.path(), "utf8") };
  };
  const csv = await file("#save-csv");
  assert.match(csv.name, /^test \d{4}-\d\d-\d\d \d\d-\d\d-\d\d\.csv$/);
  assert.match(csv.content, /^time,bitrate_kbps,.*localhost:1935 lag_ms,.*\r\n20.*Z,.*,2480,700,\d+\r\n/s);
  const { destinations, events: kept, stream } = JSON.parse((await file("#save-json")).content);
  assert.equal(kept[0].text, "The show begins.");
  assert.ok(stream.length >= 2 && destinations[0].seconds.length >= 2);

  await page.locator("#go").click();
  await phase("idle");
  await page.waitForFunction(() => /The show has ended\./.test(document.getElementById("events").textContent));
  assert.equal(await page.locator("#history").isVisible(), true); // people can read it after the show
  const lasted = await text("show-time");
  await start("other"); // another show begins with an empty history
  await phase("pushing");
  await page.waitForFunction(() => document.getElementById("events").textContent.match(/The show begins\./g).length === 1);
  assert.notEqual(lasted, "0:00");
  assert.deepEqual(errors, []);
});

test("curves are drawn where they are seen, also after the show; out of sight, for a print and every half minute", async (t) => {
  const { page, errors, phase, start } = await openStudio(t, browser, (mock) => (mock.find = () => push({ bitrate: 2480 })));
  await page.setViewportSize({ width: 360, height: 640 });
  const curve = () => page.locator("#destination-charts path.line").first().getAttribute("d");
  await start();
  await phase("live");
  await page.waitForFunction(() => /now 2\.5 Mbit/.test(document.querySelector("#destination-charts svg")?.getAttribute("aria-label")));
  assert.equal(await curve(), null, "it is below what the window shows");
  await page.pdf();
  const printed = await curve();
  assert.match(printed, /^M/);
  await page.evaluate(() => { // half a minute passes
    const { now } = Date;
    Date.now = () => now() + 30_000;
  });
  await page.waitForFunction((old) => document.querySelector("#destination-charts path.line").getAttribute("d") !== old, printed);
  await page.evaluate(() => document.querySelectorAll("#history path").forEach((path) => path.removeAttribute("d")));
  await page.locator("#go").click();
  await phase("idle");
  await page.locator("#destination-charts").scrollIntoViewIfNeeded();
  await page.waitForFunction(() => /^M/.test(document.querySelector("#destination-charts path.line").getAttribute("d")));
  assert.deepEqual(errors, []);
});
