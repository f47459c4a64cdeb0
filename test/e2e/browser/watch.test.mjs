// The page for viewers in a real browser, with a server whose answers each test decides. Needs web/dist: run `make build` first.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, before, describe, test } from "node:test";
import { faults, inEveryLook, photograph } from "./lib/accessibility.mjs";
import { launch, watchConsole } from "./lib/browser.mjs";
import { jpeg } from "./lib/console-world.mjs";
import { MockServer } from "./lib/mock-server.mjs";
import { until } from "./lib/studio-page.mjs";

let browser;

before(async () => {
  browser = await launch();
}, { timeout: 60_000 });
after(() => browser?.close());

/** Opens the page of a stream. status answers offers: what the number of the offer and its headers deserve. */
async function open(t, { path = "watch/show", status = () => 404, setUp = () => undefined, script = () => undefined } = {}) {
  const mock = await MockServer.start(browser);
  mock.whep = status;
  setUp(mock);
  const context = await browser.newContext({ viewport: { width: 640, height: 360 } });
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
  await page.addInitScript(script);
  const errors = watchConsole(page);
  t.after(async () => {
    await context.close();
    await mock.close().catch(() => undefined);
  });
  await page.goto(`${mock.address}${path}`);
  const says = (pattern) => page.waitForFunction((text) => new RegExp(text).test(document.getElementById("title").textContent), pattern.source);
  const plays = (target = page) => target.waitForFunction(() => {
    const video = document.getElementById("video");
    return document.getElementById("cover").hidden && video.videoWidth > 0 && video.currentTime > 0 && !video.paused;
  });
  return { mock, context, page, errors, says, plays };
}

test("not live yet, live, ended, and back by itself", async (t) => {
  const { mock, page, says, plays } = await open(t);
  await says(/not live now/);
  assert.equal(await page.locator("#poster").innerText(), "show");
  assert.equal(await page.locator("#sound").isVisible(), false);
  mock.whep = () => 201;
  await plays();
  assert.equal(await page.title(), "● show – Transponder");

  await page.locator("#sound").click(); // it plays without sound before that
  assert.equal(await page.locator("#video").evaluate((video) => video.muted), false);
  assert.equal(await page.locator("#sound").isVisible(), false);

  mock.tellViewers("inactive");
  await says(/interrupted/);
  assert.equal(await page.locator("#cover").isVisible(), false); // the last picture stays
  mock.tellViewers("active");
  await page.waitForFunction(() => document.getElementById("title").textContent === "");

  await mock.endShow();
  await says(/has ended/);
  assert.equal(await page.locator("#poster").isVisible(), true);
  assert.equal(await page.title(), "show – Transponder");
  mock.whep = () => 201;
  await plays();
  assert.equal(await page.locator("#video").evaluate((video) => video.muted), false); // as the viewer has left it
  await page.goto("about:blank");
  await until(() => mock.count("DELETE /whep/show/session-1") >= 1, "the end of the session");
});

test("the stream as it looks stands there until it plays", async (t) => {
  const { mock, page, plays, says } = await open(t, {
    path: "watch/show#token=tpk_1", status: () => 201, setUp: (mock) => (mock.methods["stream/snapshot"] = () => jpeg),
    script: () => {
      const really = RTCPeerConnection.prototype.setRemoteDescription;
      const held = new Promise((resolve) => (globalThis.letIn = resolve));
      RTCPeerConnection.prototype.setRemoteDescription = async function (...values) {
        await held;
        return really.apply(this, values);
      };
    },
  });
  const poster = () => page.locator("#video").getAttribute("poster");
  await page.waitForFunction(() => document.getElementById("video").poster.startsWith("data:image/jpeg;base64,"));
  const { query, headers } = mock.last("GET /rest-api/stream/snapshot");
  assert.deepEqual([new URLSearchParams(query).get("name"), headers.authorization], ["show", "Bearer tpk_1"]);
  await says(/Connecting/);
  assert.match(await page.locator("#cover").evaluate((cover) => getComputedStyle(cover).backgroundImage), /none/); // the picture shines through
  await inEveryLook(page, async (look) => {
    assert.deepEqual(await faults(page), [], look);
    await photograph(page, `watch-poster-${look}`);
  });
  await page.evaluate(() => globalThis.letIn());
  await plays();
  mock.whep = () => 404;
  await mock.endShow(404);
  await says(/has ended/);
  assert.equal(await poster(), null);
  assert.equal(mock.count("GET /rest-api/stream/snapshot"), 1); // whoever may not play it, or comes too early, does not ask
});

test("a server that goes away and comes back", async (t) => {
  const { mock, says, plays } = await open(t, { status: () => 201 });
  await plays();
  mock.playing = false;
  mock.port = mock.server.address().port;
  mock.server.closeAllConnections();
  await Promise.all([new Promise((resolve) => mock.server.close(resolve)), mock.far.evaluate(() => globalThis.player.close())]);
  await says(/does not answer/);
  await mock.comeBack();
  await plays();
});

describe("who may watch", () => {
  test("a link with a token", async (t) => {
    const { mock, page, plays, says } = await open(t, {
      path: "watch/acme%2Fshow#token=tpk_1", status: (_, { authorization }) => (authorization === "Bearer tpk_1" ? 201 : 401),
    });
    await plays();
    assert.equal(await page.title(), "● acme/show – Transponder");
    assert.doesNotMatch(await page.locator("body").innerText(), /tpk_1/);
    assert.equal(mock.requests.some(({ what }) => what.includes("tpk_1")), false);
    await mock.endShow(401);
    await says(/no longer valid/);
  });

  test("whoever has signed in may watch what he controls", async (t) => {
    const { mock, context, page, says, plays } = await open(t, {
      status: (_, { authorization }) => (authorization === "Bearer ticket-1" ? 201 : 401), setUp: (mock) => (mock.login = "anna:sesame"),
    });
    await says(/only for some/);
    const tries = mock.count("POST /whep/show");
    const [login] = await Promise.all([context.waitForEvent("page"), page.locator("#login").click()]);
    await login.locator("#user").fill("anna");
    await login.locator("#password").fill("sesame");
    await login.keyboard.press("Enter");
    await plays();
    assert.match(login.url(), /\/(login\?next=%2Fwatch%2F|watch\/)show/);
    assert.deepEqual(JSON.parse(mock.last("POST /rest-api/token/create").body), { grants: [{ actions: ["play"], streams: ["show"] }], expiresIn: 43_200 });
    assert.ok(mock.count("POST /whep/show") > tries);
  });

  test("somebody who may not", async (t) => {
    const { mock, page, says } = await open(t, { status: () => 403 });
    await says(/may not watch/);
    assert.equal(mock.count("POST /whep/show"), 1); // it does not ask again by itself
    await page.locator("#again").click();
    await until(() => mock.count("POST /whep/show") === 2, "the second try");
  });

  test("and the server gives a token that it does not take", async (t) => {
    const { mock, page, says } = await open(t, { status: () => 401 });
    await says(/only for some/);
    assert.equal(mock.count("POST /whep/show"), 2);
    assert.equal(await page.locator("#again").isVisible(), true);
  });
});

test("in a frame of another server's page", async (t) => {
  const { mock, context, plays } = await open(t, { status: () => 201 });
  const stranger = createServer((_, response) => response.setHeader("Content-Type", "text/html")
    .end(`<!doctype html><title>Shop</title><iframe title="The show" width="640" height="360" src="${mock.address}watch/show"></iframe>`));
  await new Promise((resolve) => stranger.listen(0, "127.0.0.1", resolve));
  t.after(() => stranger.close());
  const page = await context.newPage();
  await page.goto(`http://127.0.0.1:${stranger.address().port}/`);
  const frame = await (await page.locator("iframe").elementHandle()).contentFrame();
  await plays(frame);
  await frame.locator("#sound").click();
  assert.equal(await frame.locator("#video").evaluate((video) => video.muted), false);
});

test("hostile names", async (t) => {
  const { page, errors, says } = await open(t, { path: `watch/${encodeURIComponent("<img src=x onerror=alert(1)>\u202Eevil")}` });
  await says(/not live now/);
  assert.match(await page.locator("#poster").innerText(), /^<img src=x onerror/);
  assert.equal(await page.locator("img").count(), 0);
  for (const [path, words] of [["watch/", /names no stream/], ["watch/%E0%A4%A", /names no stream/], [`watch/${"long-".repeat(60)}`, /not live now/]]) {
    await page.goto(new URL(`/${path}`, page.url()).href);
    await says(words);
    const [wide, width] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
    assert.ok(wide <= width, path);
  }
  assert.deepEqual(errors.filter((text) => !/404/.test(text)), []);
});

test("every look", async (t) => {
  const { mock, page, says, plays } = await open(t);
  const look = (what) => inEveryLook(page, async (look) => {
    assert.deepEqual(await faults(page), [], `${what}, ${look}`);
    const [wide, width, tall, height] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth, document.documentElement.scrollHeight, innerHeight]);
    assert.ok(wide <= width && tall <= height, `${what}, ${look}: ${wide} × ${tall}`);
    await photograph(page, `watch-${what}-${look}`);
  });
  await says(/not live now/);
  await look("offline");
  mock.whep = () => 201;
  await plays();
  await page.locator("#sound").waitFor();
  await look("playing");
  await mock.endShow(403);
  await says(/may not watch/);
  await look("forbidden");
});
