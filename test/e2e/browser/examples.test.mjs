// The examples of the SDK in a real browser. Each test decides what the server answers; TestSDKExamples and TestLongExamples drive examples on the real
// server. Needs web/dist: run `make build` first.

import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { after, before, test } from "node:test";
import { faults, inEveryLook, photograph } from "./lib/accessibility.mjs";
import { launch } from "./lib/browser.mjs";
import { newSDKPage, paintScreen } from "./lib/sdk-page.mjs";
import { until } from "./lib/studio-page.mjs";

let browser;

before(async () => {
  browser = await launch();
}, { timeout: 60_000 });
after(() => browser?.close());

async function open(t, name, setUp) {
  const { mock, page, errors, socket } = await newSDKPage(t, browser, { setUp, viewport: { width: 1280, height: 860 } });
  await page.goto(`${mock.address}examples/${name}?name=show`);
  const looks = () => inEveryLook(page, async (look) => {
    assert.deepEqual(await faults(page), [], look);
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${look}: wider than the window`);
    await photograph(page, `example-${name}-${look}`);
  });
  return { mock, page, errors, socket, looks };
}

test("elements: a publisher, a player, and what they report", { timeout: 60_000 }, async (t) => {
  const { page, errors, socket, looks } = await open(t, "elements", (fake) => {
    fake.live = false;
  });
  const reported = (text) => page.locator("#events li", { hasText: text }).first().waitFor();
  await page.getByRole("button", { name: "Go live" }).click();
  await reported("Publisher: live.");
  socket.live = true;
  await reported("Player: it plays.");
  assert.deepEqual([socket.last("publishStream").name, socket.last("playStream").name], ["show", "show"]);
  await looks();
  socket.end();
  await reported("has left");
  socket.live = true;
  await reported("is back");
  await page.getByRole("button", { name: "Stop" }).click();
  await reported("Publisher: idle.");
  assert.deepEqual(errors, []);
});

test("a screen in place of the camera, with its sound and without", { timeout: 60_000 }, async (t) => {
  const { page, errors, socket, looks } = await open(t, "screen");
  await paintScreen(page);
  const says = (text) => page.locator("#state", { hasText: text }).waitFor();
  await page.getByRole("button", { name: "Publish" }).click();
  await says("Live.");
  await page.getByRole("button", { name: "Show the screen" }).click();
  await says("with its sound");
  await looks();
  await page.evaluate(() => { // the browser's own button
    const [picture] = globalThis.display.getVideoTracks();
    picture.stop();
    picture.dispatchEvent(new Event("ended"));
  });
  await says("Live.");
  await page.evaluate(() => globalThis.silent = true);
  await page.getByRole("button", { name: "Show the screen" }).click();
  await says("without its sound");
  await page.getByRole("button", { name: "Show the camera" }).click();
  await page.getByRole("button", { name: "Show the screen" }).waitFor();
  await page.evaluate(() => globalThis.refuses = true);
  await page.getByRole("button", { name: "Show the screen" }).click();
  await says("may not use");
  await page.getByRole("button", { name: "Stop" }).click();
  await says("Not published.");
  await until(() => socket.open.size === 0, "the socket is closed");
  assert.deepEqual(errors, []);
});

test("each example is short, is in the list with its script, and opens without errors", { timeout: 60_000 }, async (t) => {
  const folder = new URL("../../../web/pages/examples/", import.meta.url);
  const files = (await readdir(folder)).filter((name) => /\.(html|ts)$/.test(name) && name !== "index.html");
  for (const name of files) {
    const lines = (await readFile(new URL(name, folder), "utf8")).split("\n").length - 1;
    assert.ok(lines < 60, `${name} has ${lines} lines`);
  }
  const { mock, page, errors } = await open(t, "index");
  const links = await page.locator("main li a").evaluateAll((all) => all.map((link) => link.getAttribute("href")));
  const wanted = files.map((name) => `/examples/${name.replace(/\.html$/, "")}`);
  assert.deepEqual(links.filter((link) => /^\/examples\/.*(?<!\.tsx)$/.test(link)).sort(), wanted.sort());
  const openedElsewhere = ["elements", "screen", "two-way", "webrtc-as-rtmp"].map((name) => `/examples/${name}`); // above, and in sdk-examples.mjs
  for (const link of wanted.filter((each) => !each.endsWith(".ts") && !openedElsewhere.includes(each))) {
    await page.goto(new URL(link, mock.address).href);
    await page.getByRole("link", { name: "The script of this page" }).and(page.locator(`[href="${link}.ts"]`)).waitFor();
    assert.equal(await page.locator("h1").innerText(), (await page.title()).replace(" – Transponder", ""));
  }
  assert.deepEqual(errors, []);
});

test("without a name, the browser asks for one and nothing is sent", { timeout: 90_000 }, async (t) => {
  const folder = new URL("../../../web/pages/examples/", import.meta.url);
  const names = (await readdir(folder)).filter((file) => file.endsWith(".html")).map((file) => file.replace(".html", ""));
  let tried = 0;
  for (const name of names) {
    const { page, errors, socket } = await open(t, name);
    for (const field of await page.locator("input[id$=name]").all()) {
      await field.fill("");
      const button = (await field.getAttribute("id")) === "name" ? page.locator("#go") : page.locator(`#${(await field.getAttribute("id")).replace("-name", "")}`);
      if (await button.count() === 0) {
        continue; // it is sent by a form
      }
      await button.click();
      assert.equal(await field.evaluate((input) => document.activeElement === input && !input.checkValidity()), true, `${name}: the field that lacks something has the focus`);
      assert.doesNotMatch(await page.locator("body").innerText(), /must be provided/, name);
      tried++;
    }
    assert.equal(socket.last("publishStream") ?? null, null, name);
    assert.deepEqual(errors, [], name);
  }
  assert.ok(tried >= 11, `${tried} fields were tried`);
});
