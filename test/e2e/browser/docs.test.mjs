// The documentation in a real browser, from a server with the policy of the real one, and as files. Needs web/dist: run `make build` first.

import assert from "node:assert/strict";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import { gunzipSync } from "node:zlib";
import { excerpt, find } from "./.build/web/docs/search.js";
import { faults, inEveryLook, photograph } from "./lib/accessibility.mjs";
import { launch, watchConsole } from "./lib/browser.mjs";
import { mediaTypes, policy } from "./lib/mock-server.mjs";

const dist = fileURLToPath(new URL("../../../web/dist/docs/", import.meta.url));
const timeout = 15_000;
let browser;
let server;
let address;
let folder; // the same pages as files

before(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "docs-"));
  const files = new Map();
  for (const name of await readdir(dist, { recursive: true })) {
    if (name.endsWith(".gz")) {
      const plain = gunzipSync(await readFile(path.join(dist, name)));
      const file = name.slice(0, -3);
      files.set(file, plain);
      await mkdir(path.dirname(path.join(folder, file)), { recursive: true });
      await writeFile(path.join(folder, file), plain);
    }
  }
  assert.ok(files.size > 50, "web/dist is empty: run make build first");
  server = createServer((request, response) => {
    const name = new URL(request.url, "http://localhost").pathname.replace("/docs/", "") || "index.html";
    const file = files.get(name);
    response.writeHead(file ? 200 : 404, { "Content-Type": mediaTypes[path.extname(name)] ?? "text/plain", "Content-Security-Policy": policy });
    response.end(file);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  address = `http://localhost:${server.address().port}/docs/`;
  browser = await launch();
}, { timeout: 60_000 });
after(async () => {
  await browser?.close();
  server?.close();
  await rm(folder, { recursive: true, force: true });
});

async function open(t, where, viewport = { width: 1280, height: 860 }) {
  const page = await browser.newPage({ viewport });
  page.setDefaultTimeout(timeout);
  const errors = watchConsole(page);
  const strangers = [];
  page.on("request", (request) => !request.url().startsWith(address) && !request.url().startsWith("file:") && strangers.push(request.url()));
  t.after(() => page.close());
  await page.goto(where);
  return { page, errors, strangers };
}

test("a page has no serious faults of accessibility, in light, in dark and on a phone", { timeout: 60_000 }, async (t) => {
  const { page, errors, strangers } = await open(t, `${address}install.html`);
  await inEveryLook(page, async (look) => {
    assert.deepEqual(await faults(page), [], look);
    await photograph(page, `docs-${look}`);
  });
  assert.deepEqual(errors, []);
  assert.deepEqual(strangers, []);
});

test("no page is wider than a phone of 360 pixels", { timeout: 60_000 }, async (t) => {
  const { page } = await open(t, address, { width: 360, height: 740 });
  const names = (await readdir(folder, { recursive: true })).filter((name) => name.endsWith(".html"));
  const wide = await page.evaluate(async (all) => { // without going to each of them, which takes ten times as long
    const found = [];
    for (const name of all) {
      const text = await (await fetch(name)).text();
      document.querySelector("main").replaceWith(new DOMParser().parseFromString(text, "text/html").querySelector("main"));
      const width = document.documentElement.scrollWidth;
      if (width > 360) {
        found.push(`${name}: ${width}`);
      }
    }
    return found;
  }, names);
  assert.deepEqual(wide, []);
});

test("the search works by keyboard", { timeout: 60_000 }, async (t) => {
  const { page, errors, strangers } = await open(t, `${address}adr/index.html`);
  const focused = () => page.evaluate(() => document.activeElement.id || document.activeElement.querySelector("strong").innerText);
  await page.keyboard.press("/");
  await page.keyboard.type("stored keys");
  await page.waitForSelector("#site-hits a");
  assert.match(await page.innerText("#site-count"), /^\d+ places/);
  assert.deepEqual(await faults(page), [], "with the list of places");
  await page.keyboard.press("ArrowDown");
  assert.match(await focused(), /^Tokens and stored keys/);
  await page.keyboard.press("ArrowUp");
  assert.equal(await focused(), "site-words");
  await page.keyboard.press("Escape");
  assert.equal(await page.isVisible("#site-found"), false);
  assert.equal(await focused(), "site-words");
  await page.keyboard.type("x?");
  await page.waitForFunction(() => document.getElementById("site-count").innerText.startsWith("Nothing found"));
  await page.keyboard.press("Backspace");
  await page.keyboard.press("Backspace");
  await page.waitForSelector("#site-hits a");
  await page.keyboard.press("Enter");
  await page.waitForURL(/\/tokens\.html/);
  assert.deepEqual(errors, []);
  assert.deepEqual(strangers, []);
});

test("the pages work as files", { timeout: 60_000 }, async (t) => {
  const { page, errors, strangers } = await open(t, pathToFileURL(path.join(folder, "adr", "index.html")).href);
  await page.fill("#site-words", "stored keys");
  await page.locator("#site-hits a").first().click();
  await page.waitForURL(/\/tokens\.html/);
  assert.equal(await page.evaluate(() => getComputedStyle(document.querySelector(".top")).position), "sticky", "with their style sheet");
  assert.deepEqual(errors, []);
  assert.deepEqual(strangers, []);
});

test("a button copies a command", { timeout: 60_000 }, async (t) => {
  const { page } = await open(t, `${address}getting-started.html`);
  await page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
  await page.locator(".code .copy").first().click();
  await page.waitForFunction(() => document.querySelector(".copy").textContent === "Copied");
  const copied = await page.evaluate(() => navigator.clipboard.readText());
  assert.match(copied, /^sudo apt-get install [^\n]*\ngit clone [^\n]*\nmake run\n?$/);
});

test("the list of pages is beside the text, and closed above it in a narrow window", { timeout: 60_000 }, async (t) => {
  const { page } = await open(t, `${address}rest.html`);
  assert.equal(await page.getAttribute("#site-pages", "open"), "");
  assert.equal(await page.innerText("#site-pages [aria-current]"), "REST");
  await page.setViewportSize({ width: 500, height: 800 });
  await page.waitForFunction(() => !document.getElementById("site-pages").open);
  await page.locator("summary").press("Enter");
  await page.waitForFunction(() => document.getElementById("site-pages").open);
  await page.emulateMedia({ media: "print" });
  assert.equal(await page.isVisible("#site-pages"), false, "on paper");
  assert.equal(await page.isVisible("article"), true, "on paper");
});

describe("search", () => {
  const sections = [
    { p: "REST", n: "rest.html", t: "A push sends a stream to a server." },
    { p: "REST", n: "rest.html#states", h: "States and reasons", t: "peer_slow: the server takes less than is sent." },
    { p: "Slow servers", n: "slow.html", t: "peer_slow in detail." },
    { p: "0030: a push is a record", n: "adr/0030.html", t: "" },
  ];
  test("finds sections that have all words, titles first", () => {
    const names = (asked) => find(sections, asked).map(({ n }) => n);
    assert.deepEqual(names("push"), ["adr/0030.html", "rest.html"]);
    assert.deepEqual(names("PEER_SLOW  reasons"), ["rest.html#states"]);
    assert.deepEqual(names("slow"), ["slow.html", "rest.html#states"]);
    assert.deepEqual(names("slow nowhere"), []);
    assert.deepEqual(names("  "), []);
  });
  test("shows the text around a word", () => {
    const text = `${"before ".repeat(40)}the needle in it${" after".repeat(40)}`;
    const parts = excerpt(text, "Needle");
    assert.deepEqual(parts.filter(({ found }) => found), [{ text: "needle", found: true }]);
    assert.match(parts.map((part) => part.text).join(""), /^… before .*the needle in it after.* after …$/);
    assert.deepEqual(excerpt("short", "nothing"), [{ text: "short", found: false }]);
    assert.deepEqual(excerpt("", "nothing"), []);
  });
});
