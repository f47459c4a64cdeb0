// The page about one stream, with a server whose answers each test decides. Needs web/dist: run `make build` first.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { faults, inEveryLook, photograph } from "./lib/accessibility.mjs";
import { launch, watchConsole } from "./lib/browser.mjs";
import { failedPush, jpeg, showStream as show } from "./lib/console-world.mjs";
import { MockServer } from "./lib/mock-server.mjs";

const timeout = 15_000;
let browser;

before(async () => {
  browser = await launch();
}, { timeout: 60_000 });
after(() => browser?.close());

async function open(t, setUp, name = "morning") {
  const mock = await MockServer.start(browser);
  setUp(mock);
  const page = await browser.newPage({ viewport: { width: 1280, height: 860 } });
  page.setDefaultTimeout(timeout);
  const errors = watchConsole(page);
  t.after(async () => {
    await page.close();
    await mock.close().catch(() => undefined);
  });
  await page.goto(`${mock.address}stream?${new URLSearchParams({ name })}`);
  const text = async (selector) => (await page.locator(selector).innerText()).replaceAll(/\s+/g, " ").trim();
  const says = (selector, pattern) => page.waitForFunction(
    ([where, source]) => new RegExp(source).test((document.querySelector(where)?.innerText ?? "").replaceAll(/\s+/g, " ")), [selector, pattern.source]);
  return { mock, page, errors, text, says };
}

test("shows how a stream looks, how it gets here and where it goes", async (t) => {
  let asked;
  const { mock, page, text, says, errors } = await open(t, (m) => {
    show(m);
    m.history = (_, query) => {
      asked = Object.fromEntries(query);
      return [failedPush()];
    };
  });
  await says("#state", /Published/);
  await page.waitForFunction(() => document.querySelector("#picture").naturalWidth === 64);
  assert.match(await page.locator("#picture").getAttribute("alt"), /^The stream morning at \d/);
  assert.deepEqual(await Promise.all(["#size", "#fps", "#codecs", "#keys", "#way", "#jitter", "#players", "#rate", "#trip"].map(text)),
    ["1280 × 720", "30 fps", "H264 + opus", "every 2.0 s", "WebRTC, UDP", "4 ms", "2", "2.5 Mbit/s", "31 ms"]);
  await says("#lost", /^3\.0 %$/); // of what came since the look before
  assert.equal(await page.locator("#pushes li").count(), 2, "not the push of another stream to this name");
  assert.equal(await page.title(), "(1) morning – Transponder");
  assert.deepEqual(asked, { limit: "50", streamName: "morning" });
  await says("#history", /Failed morning live\.twitch\.tv/);
  const made = mock.count("GET /rest-api/stream/snapshot");
  await page.waitForFunction((before) => document.querySelector("#picture").alt !== before, await page.locator("#picture").getAttribute("alt"));
  assert.ok(mock.count("GET /rest-api/stream/snapshot") - made <= 2, "a picture is asked for every five seconds");
  assert.deepEqual(errors, []);
});

test("says why there is no picture, and asks again only if that can change", async (t) => {
  const answers = [404, 503, jpeg, 403];
  let begin;
  const first = new Promise((resolve) => (begin = resolve));
  const { mock, page, says } = await open(t, (m) => {
    show(m);
    m.methods["stream/snapshot"] = async () => (await first, answers.shift() ?? jpeg);
  });
  await says("#picture-note", /^The first picture comes in a moment\.$/);
  begin();
  await says("#picture-note", /no picture now\. It may send sound only/);
  await says("#picture-note", /makes too many pictures right now/);
  await page.waitForFunction(() => document.querySelector("#picture").naturalWidth === 64 && document.querySelector("#picture-note").innerText === "");
  await says("#picture-note", /You may not watch this stream/);
  assert.equal(await page.locator("#picture").isVisible(), false);
  const count = mock.count("GET /rest-api/stream/snapshot");
  for (const polls = mock.count("POST /rest-api/stream/find"); mock.count("POST /rest-api/stream/find") < polls + 4;) {
    await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(resolve)));
  }
  assert.equal(mock.count("GET /rest-api/stream/snapshot"), count);
});

test("says at once that a stream with sound only has no picture, and asks for none", async (t) => {
  const { mock, page, says, errors } = await open(t, (m) => {
    const world = show(m);
    Object.assign(world.streams[0], { hasVideo: false, videoCodec: "", width: 0, height: 0 });
    m.methods["stream/snapshot"] = () => new Promise(() => undefined); // the page need not wait for it
  });
  await says("#picture-note", /^This stream has no picture: its publisher sends sound only\.$/);
  assert.equal(await page.locator("#picture").isVisible(), false);
  assert.equal(mock.count("GET /rest-api/stream/snapshot"), 0);
  assert.deepEqual(errors, []);
});

test("starts, retries and removes pushes of the stream, and stops it", async (t) => {
  let world;
  const { mock, page, says } = await open(t, (m) => {
    world = show(m);
    m.methods["push/retry"] = () => 409;
    m.methods["stream/terminate"] = () => {
      world.streams = [];
      world.pushes = [];
      return 200;
    };
  });
  await page.getByRole("button", { name: "Push", exact: true }).click();
  await says("#form", /Push “morning” to/);
  await page.keyboard.press("Escape");
  await page.getByRole("button", { name: /^Retry/ }).click();
  await says("#refusal", /cannot be started again as it was/);
  await page.getByRole("button", { name: /^Remove/ }).click();
  await page.waitForFunction(() => document.querySelectorAll("#pushes li").length === 1);
  await page.getByRole("button", { name: "Stop the stream" }).click();
  await says("#confirm", /Stop the stream “morning”\?/);
  await page.locator("#confirm-yes").click();
  await says("#state", /Not published/);
  await says("#picture-note", /Nobody publishes this stream now/);
  await says("#pushes-empty", /not being pushed/);
  assert.deepEqual(JSON.parse(mock.last("POST /rest-api/stream/terminate").body), { mediaSessionId: "56141d10" });
  assert.equal(await page.locator("#push:visible, #stop:visible, #picture:visible").count(), 0);
});

test("the console leads to the page, by any name; without a name the page leads back", async (t) => {
  const tricky = "a/b ?&<i>é\u202e";
  const { mock, page, says } = await open(t, (m) => {
    const world = show(m, tricky);
    m.streams = () => world.streams;
  }, "");
  await page.waitForURL("**/console");
  for (const list of ["streams", "pushes", "history"]) {
    await says(`#${list}`, /a\/b/);
    await page.locator(`#${list} li:nth-child(1) h3 a`).click();
    await page.waitForURL("**/stream?name=*");
    await says("#state", /Published/);
    assert.equal(await page.locator("#name").textContent(), tricky);
    assert.deepEqual(JSON.parse(mock.last("POST /rest-api/stream/find").body).name, tricky);
    await page.goBack();
  }
});

test("a viewer sees no button, and whoever is unknown signs in", async (t) => {
  const { mock, page, says } = await open(t, (m) => {
    show(m);
    m.me = { ...m.me, kind: "user", name: "vera", role: "viewer", actions: ["read"] };
    m.login = "vera:sesame";
  });
  await page.locator("#user").fill("vera");
  await page.locator("#password").fill("sesame");
  await page.keyboard.press("Enter");
  await says("#state", /Published/);
  assert.equal(await page.locator("#board .can-push:visible, #board .danger:visible").count(), 0);
  await mock.close();
  await says("#trouble", /does not answer/);
});

test("every look is accessible and fits", async (t) => {
  const { page, says } = await open(t, (m) => show(m, `<img src=x onerror=alert(1)>\u202e${"x".repeat(60)}`), `<img src=x onerror=alert(1)>\u202e${"x".repeat(60)}`);
  await says("#lost", /%/);
  await page.waitForFunction(() => document.querySelector("#picture").naturalWidth === 64);
  await inEveryLook(page, async (look) => {
    if (look === "phone") {
      await page.setViewportSize({ width: 360, height: 780 });
    }
    assert.deepEqual(await faults(page), [], look);
    const [wide, room] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
    assert.ok(wide <= room, `${look}: ${wide} px wide of ${room}`);
    const inRows = await page.evaluate(() => Object.values(Object.groupBy(document.querySelectorAll(".reach .numbers div"), (field) => field.offsetTop)).map((row) => row.length));
    assert.equal(new Set(inRows).size, 1, `${look}: rows of ${inRows} fields`);
    await photograph(page, `stream-${look}`);
  });
  assert.equal(await page.locator("h1 img, .rows img").count(), 0);
});
