// What the console does besides showing: pushes are started, started again, removed and searched for, and trouble is told. The server is one whose
// answers each test decides. Needs web/dist: run `make build` first.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { faults, inEveryLook, photograph } from "./lib/accessibility.mjs";
import { launch, watchConsole } from "./lib/browser.mjs";
import { MockServer, push, stream } from "./lib/mock-server.mjs";

const timeout = 15_000;
const key = "abcd-1234-key";
let browser;

before(async () => {
  browser = await launch();
}, { timeout: 60_000 });
after(() => browser?.close());

async function open(t, setUp, { prepare = async () => undefined } = {}) {
  const mock = await MockServer.start(browser);
  setUp(mock);
  const page = await browser.newPage({ viewport: { width: 1280, height: 860 } });
  page.setDefaultTimeout(timeout);
  const errors = watchConsole(page);
  t.after(async () => {
    await page.close();
    await mock.close().catch(() => undefined);
  });
  await prepare(page);
  await page.goto(`${mock.address}console`);
  const text = async (selector) => (await page.locator(selector).innerText()).replaceAll(/\s+/g, " ").trim();
  const says = (selector, pattern) => page.waitForFunction(
    ([where, source]) => new RegExp(source).test((document.querySelector(where)?.innerText ?? "").replaceAll(/\s+/g, " ")), [selector, pattern.source]);
  return { mock, page, errors, text, says };
}

/** Waits until `is` returns something true. */
async function until(is, what) {
  for (const deadline = Date.now() + timeout; !is(); ) {
    assert.ok(Date.now() < deadline, what);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

const startedAt = Date.now() - 60_000;
const failedPush = (fields = {}) => push({
  mediaSessionId: "p-failed", sourceStreamName: "morning", streamName: "***", secretName: true, rtmpUrl: "rtmps://a.rtmps.youtube.com/live2/***",
  target: "rtmps://a.rtmps.youtube.com/live2/***", status: "FAILED", reason: "key_rejected", info: "NetStream.Publish.BadName", startedAt, endedAt: startedAt + 4000,
  startedBy: { kind: "user", name: "anna", via: "rest" }, ...fields,
});

/** One stream, one push that is live, one that has failed, and a history. */
function busy(mock) {
  const pushes = [
    push({ mediaSessionId: "p-live", sourceStreamName: "morning", streamName: "rtmp_morning", startedAt, startedBy: { kind: "local", via: "sdk" } }), failedPush(),
  ];
  mock.find = () => [...pushes];
  mock.streams = () => [stream({ name: "morning" }), stream({ mediaSessionId: "s-2", name: "morning", published: false, mediaType: "play", status: "PLAYING" })];
  mock.history = () => [failedPush(), failedPush({ mediaSessionId: "h-2", sourceStreamName: "evening", status: "ENDED", reason: "terminated", info: "", startedBy: { kind: "", via: "auto" } })];
  mock.terminate = () => {
    const id = JSON.parse(mock.last("POST /rest-api/push/terminate").body).mediaSessionId;
    const at = pushes.findIndex((one) => one.mediaSessionId === id);
    return at < 0 ? 404 : (pushes.splice(at, 1), 200);
  };
  return pushes;
}

test("starts a push from the row of a stream", async (t) => {
  let pushes;
  const { mock, page, says, errors } = await open(t, (m) => {
    pushes = busy(m);
    m.destinations = () => [{ name: "main", label: "Our channel", streams: ["*"], usedBy: 0 }, { name: "<b>x</b>", label: "", streams: ["*"], usedBy: 0 }];
    m.startup = (n, request) => {
      const answer = [409, 404, 403, 503, null][n - 1];
      const made = push({ mediaSessionId: "p-new", sourceStreamName: request.streamName, target: "rtmps://live.twitch.tv/app/***", secretName: true });
      return answer ?? (pushes.push(made), made);
    };
  });
  await says("#streams", /morning/);
  assert.equal(await page.locator("#streams button:visible", { hasText: "Push" }).count(), 1, "a player cannot be pushed");
  await page.getByRole("button", { name: "Push the stream morning" }).evaluate((button) => [1, 2].forEach(() => button.click())); // faster than the server
  await says("#form", /Push “morning” to/);
  assert.equal(mock.count("POST /rest-api/destination/find_all"), 1, "one form");
  assert.deepEqual(await page.locator("#form-where option").allInnerTexts().then((all) => all.slice(0, 3)), ["main, Our channel", "<b>x</b>", "RTMP server"]);
  assert.equal(await page.locator("#form-address:visible, #form-key:visible").count(), 0, "the server has the address");
  await page.locator("#form-where").selectOption("twitch");
  await page.locator("#form-send").click();
  await says("#form-key-problem", /Give the stream key of Twitch/);
  await page.locator("#form-key").fill(key);
  await page.locator("#form-loss").selectOption("hold");
  for (const words of [/already goes to this address/, /Nobody publishes this stream any more/, /You may not do that/, /takes no more pushes/]) {
    await page.locator("#form-send").click();
    await says("#form-trouble", words);
  }
  await page.locator("#form-send").click();
  await page.locator("#form").waitFor({ state: "hidden" });
  await says("#pushes", /live\.twitch\.tv/);
  assert.deepEqual(JSON.parse(mock.last("POST /rest-api/push/startup").body), {
    streamName: "morning", rtmpUrl: `rtmps://live.twitch.tv/app/${key}`, rtmpTransponderFullUrl: true, options: { onSourceLoss: "hold" },
  });
  assert.ok(!(await page.content()).includes(key), "the key is gone with the form");
  await page.getByRole("button", { name: "Push the stream morning" }).click();
  await page.locator("#form-send").click();
  await page.locator("#form").waitFor({ state: "hidden" });
  assert.deepEqual(JSON.parse(mock.last("POST /rest-api/push/startup").body), { streamName: "morning", rtmpUrl: "destination://main" });
  await page.getByRole("button", { name: "Push the stream morning" }).click();
  await page.locator("#form").waitFor(); // it opens when the server has told its destinations
  await page.keyboard.press("Escape");
  await page.locator("#form").waitFor({ state: "hidden" });
  assert.equal(mock.count("POST /rest-api/push/startup"), 6);
  assert.deepEqual(errors.filter((error) => !/status of (403|404|409|503)/.test(error)), []);
});

test("starts a push again that has failed, and takes the old one out of the list", async (t) => {
  let pushes;
  const { mock, page, says, text } = await open(t, (m) => {
    pushes = busy(m);
    let n = 0;
    m.methods["push/retry"] = ({ mediaSessionId }) => {
      const answer = [404, 409, 403, 500][n++];
      const made = push({ mediaSessionId: "p-again", sourceStreamName: mediaSessionId === "h-2" ? "evening" : "morning" });
      return answer ?? (pushes.push(made), made);
    };
  });
  await says("#pushes li:nth-child(2)", /^Failed morning a\.rtmps\.youtube\.com\/live2\/••• Started by anna NetStream\.Publish\.BadName Lasted 0:04 Retry Remove$/);
  await says("#pushes li:nth-child(1)", /Started by somebody on the server's machine, in a page/);
  const retry = page.getByRole("button", { name: "Retry the push of morning to a.rtmps.youtube.com/live2/•••" });
  for (const words of [/Nobody publishes this stream now.*the mock says 404/, /cannot be started again as it was.*the mock says 409/, /You may not start this push again/, /The server failed/]) {
    await retry.click();
    await says("#refusal", words);
  }
  assert.equal(mock.count("POST /rest-api/push/terminate"), 0, "what was refused stays");
  await retry.click();
  await page.waitForFunction(() => !document.querySelector("#pushes [data-status=FAILED]"));
  assert.equal(await page.locator("#refusal").isVisible(), false);
  assert.deepEqual(JSON.parse(mock.last("POST /rest-api/push/retry").body), { mediaSessionId: "p-failed" });
  assert.deepEqual(JSON.parse(mock.last("POST /rest-api/push/terminate").body), { mediaSessionId: "p-failed" });
  assert.equal(await page.evaluate(() => document.activeElement.id), "pushes-title");
  assert.match(await text("#history li:nth-child(2)"), /Ended evening .*Started by the settings, which push each stream/);
  await page.getByRole("button", { name: "Start again the push of evening to a.rtmps.youtube.com/live2/•••" }).click();
  await says("#news", /Started again: evening/);
  assert.deepEqual(JSON.parse(mock.last("POST /rest-api/push/retry").body), { mediaSessionId: "h-2" });
});

test("removes pushes that have failed, one or all", async (t) => {
  let pushes;
  const { mock, page, says } = await open(t, (m) => {
    pushes = busy(m);
    pushes.push(...Array.from({ length: 20 }, (_, i) => failedPush({ mediaSessionId: `f-${i}` })));
  });
  await says("#pushes-clear", /Remove the 21 that failed/);
  await page.locator("#pushes li:nth-child(2)").getByRole("button", { name: /^Remove/ }).click();
  await says("#pushes-clear", /Remove the 20 that failed/);
  assert.equal(await page.locator("#confirm").isVisible(), false, "nothing is lost: the history keeps it");
  await page.locator("#pushes-clear").click();
  await page.waitForFunction(() => document.querySelectorAll("#pushes li").length === 1);
  assert.equal(await page.locator("#pushes-clear").isVisible(), false);
  assert.equal(mock.count("POST /rest-api/push/terminate"), 21);
});

/** The page of a history that is asked for. */
const pageOf = (all, query) => {
  const at = all.findIndex((one) => one.mediaSessionId === query.get("after")) + 1;
  return all.slice(at, at + Number(query.get("limit")));
};

test("searches the history on the server", async (t) => {
  const asked = [];
  let found = 120;
  const aheadMs = 3 * 3_600_000;
  const { page, says } = await open(t, (m) => {
    busy(m);
    m.history = (_, query) => {
      asked.push(Object.fromEntries(query));
      return pageOf(Array.from({ length: found }, (_, i) => failedPush({ mediaSessionId: `h-${i}` })), query);
    };
  }, { prepare: (page) => page.addInitScript((ms) => { // a clock that is wrong
    const { now } = Date;
    Date.now = () => now() + ms;
  }, aheadMs) });
  const latest = (is, what) => until(() => asked.length > 0 && is(asked.at(-1)), `${what}: ${JSON.stringify(asked.at(-1))}`);
  await page.waitForFunction(() => document.querySelectorAll("#history li").length === 50);
  assert.deepEqual(asked[0], { limit: "50" });
  await page.locator("#filter").fill("morn");
  await latest((query) => query.text === "morn", "the filter of the page");
  await page.locator("#filter").fill("");
  await latest((query) => query.text === undefined, "no filter");
  await says("#streams li:nth-child(1)", /Running 1:\d\d /);
  await says("#pushes li:nth-child(1)", /Running \d?\d:\d\d /);
  await page.locator("#history-older").click();
  await page.waitForFunction(() => document.querySelectorAll("#history li").length === 100);
  await page.locator("#history-older").click();
  await page.waitForFunction(() => document.querySelectorAll("#history li").length === 120);
  assert.equal(await page.locator("#history-older").isVisible(), false, "that was all");
  found = 3;
  await page.locator("#history-text").fill("You & me");
  await latest((query) => query.text === "You & me" && query.limit === "50", "text");
  await page.waitForFunction(() => document.querySelectorAll("#history li").length === 3);
  await page.locator("#history-reason").selectOption("FAILED");
  await latest((query) => query.status === "FAILED" && query.reason === undefined && query.text === "You & me", "outcome");
  await page.locator("#history-reason").selectOption({ label: "The destination refused the stream name or key." });
  await latest((query) => query.reason === "key_rejected" && query.status === undefined, "reason");
  await page.locator("#history-time").selectOption("1");
  await latest((query) => Math.abs(Number(query.from) - (Date.now() - 3_600_000)) < 60_000 && query.to === undefined, "hour");
  await page.locator("#history-time").selectOption("between");
  await page.locator("#history-from").fill("2026-09-01T10:00");
  await page.locator("#history-to").fill("2026-09-01T12:30");
  await latest((query) => Number(query.to) - Number(query.from) === 9_000_000, "between");
  found = 0;
  await page.locator("#history-text").fill("nothing like it");
  await says("#history-empty", /Nothing in the history matches/);
});

test("reads a long history page by page, and never again what it has", async (t) => {
  const asked = [];
  let all = Array.from({ length: 5000 }, (_, i) => failedPush({ mediaSessionId: `h-${i}`, sourceStreamName: `cam-${i}`, endedAt: startedAt - i }));
  const { mock, page } = await open(t, (m) => {
    busy(m);
    m.history = (_, query) => {
      asked.push(Object.fromEntries(query));
      return pageOf(all, query);
    };
  });
  const rows = (n) => page.waitForFunction((wanted) => document.querySelectorAll("#history li").length === wanted, n);
  const texts = () => page.locator("#history li").allInnerTexts().then((all) => all.map((text) => /cam-[\w-]+/.exec(text)?.[0]));
  await rows(50);
  for (let n = 100; n <= 250; n += 50) {
    await page.locator("#history-older").click();
    await rows(n);
    assert.deepEqual(asked.at(-1), { limit: "50", after: `h-${n - 51}`, afterEnded: String(startedAt - (n - 51)) });
  }
  all = [...Array.from({ length: 3 }, (_, i) => failedPush({ mediaSessionId: `new-${i}`, sourceStreamName: `cam-new-${i}` })), ...all];
  const before = asked.length;
  mock.tell({ id: "p-live", to: "ENDED" });
  await rows(253);
  assert.equal(asked.length, before + 1, "one page for what is new");
  assert.deepEqual(await texts(), ["cam-new-0", "cam-new-1", "cam-new-2", ...Array.from({ length: 250 }, (_, i) => `cam-${i}`)], "also those far from the window have words");
  all = [...Array.from({ length: 120 }, (_, i) => failedPush({ mediaSessionId: `storm-${i}`, sourceStreamName: `cam-storm-${i}`, endedAt: startedAt + 1000 - i })), ...all];
  mock.tell({ id: "p-live", to: "ENDED" });
  await rows(373); // what ended between is read, and nothing twice
  assert.equal(new Set(await texts()).size, 373);
  assert.equal(await page.locator("#history-older").isVisible(), true);
});

test("tells of trouble in the title, in a filter and by a sound", async (t) => {
  let pushes;
  const { mock, page, says } = await open(t, (m) => (pushes = busy(m)), {
    prepare: (page) => page.addInitScript(() => {
      globalThis.tones = 0;
      const { start } = OscillatorNode.prototype;
      OscillatorNode.prototype.start = function (...args) {
        globalThis.tones++;
        return start.apply(this, args);
      };
    }),
  });
  const title = (text) => page.waitForFunction((wanted) => document.title === wanted, text);
  const tones = () => page.evaluate(() => globalThis.tones);
  await title("(1) Console – Transponder");
  pushes.push(push({ mediaSessionId: "p-late", sourceStreamName: "late", queuedMs: 3100 }), push({ mediaSessionId: "p-slow", sourceStreamName: "slow", status: "DEGRADED" }));
  await title("(3) Console – Transponder");
  assert.equal(await tones(), 0, "nobody has asked for a sound");
  await page.locator("#only-trouble").click();
  await page.waitForFunction(() => document.querySelectorAll("#pushes li").length === 3);
  await says("#only-trouble", /Only trouble \(3\)/);
  await page.locator("#alarm-sound").click();
  assert.equal(await tones(), 1, "the sound is heard when it is switched on");
  pushes.push(push({ mediaSessionId: "p-lost", sourceStreamName: "lost", status: "RECONNECTING" }));
  await title("(4) Console – Transponder");
  assert.equal(await tones(), 2);
  pushes.length = 1;
  await title("Console – Transponder");
  await says("#pushes-empty", /Nothing here matches the filter/);
  await page.locator("#only-trouble").click();
  await says("#pushes", /Live morning/);
  assert.equal(await tones(), 2, "an end of trouble makes no sound");
  await page.reload();
  await says("#pushes", /Live morning/);
  assert.equal(await page.locator("#alarm-sound").getAttribute("aria-pressed"), "true", "the choice is kept");

  const look = async () => { // an event makes the page ask
    const before = mock.count("POST /rest-api/push/find");
    await until(() => {
      mock.tell({ id: "p-live" });
      return mock.count("POST /rest-api/push/find") >= before + 2;
    }, "two looks at the server");
  };
  const unseen = failedPush({ mediaSessionId: "p-unseen", streamName: "rtmp_morning", rtmpUrl: "rtmp://far.example/live", target: "rtmp://far.example/live/***", secretName: false });
  pushes.push(unseen, failedPush({ mediaSessionId: "p-unseen-2" }));
  await title("(2) Console – Transponder");
  pushes.length = 1; // the server forgets it soon
  await look();
  await title("(2) Console – Transponder");
  pushes.push({ ...unseen, mediaSessionId: "p-again", status: "PUBLISHING", startedAt: unseen.endedAt + 1000, endedAt: undefined });
  await title("(1) Console – Transponder"); // somebody has started it again
  await page.getByRole("button", { name: /^Remove the push of morning/ }).click();
  await title("Console – Transponder");
  assert.equal(await page.locator("#pushes [data-status=FAILED]").count(), 0);
  await mock.close();
  await title("(!) Console – Transponder");
  await says("#trouble", /does not answer/);
  assert.deepEqual(await faults(page), [], "what was known last can be read");
});

test("who may not push sees no button for it", async (t) => {
  const { page, says } = await open(t, (m) => {
    busy(m).push(failedPush({ mediaSessionId: "p-2" }));
    m.me = { ...m.me, kind: "user", name: "vera", role: "viewer", actions: ["read"] };
  });
  await says("#streams", /morning/);
  assert.equal(await page.locator("#board .can-push:visible, #board .danger:visible").count(), 0);
});

test("an operator is offered only the destinations that the server keeps", async (t) => {
  let saved = [];
  const { page, says } = await open(t, (m) => {
    busy(m);
    m.destinations = () => saved;
    m.me = { ...m.me, kind: "user", name: "olga", role: "operator", actions: ["publish", "play", "push", "read", "control"] };
  });
  await page.getByRole("button", { name: "Push the stream morning" }).click();
  await says("#refusal", /There are no destinations\. You may push to saved destinations only/);
  saved = [{ name: "main", label: "", streams: ["*"], usedBy: 0 }];
  await page.getByRole("button", { name: "Push the stream morning" }).click();
  await says("#form", /Push “morning” to/);
  assert.deepEqual(await page.locator("#form-where option").allInnerTexts(), ["main"]);
  assert.equal(await page.locator("#refusal").isVisible(), false);
});

test("draws only the rows near the window of 2000 pushes, and finds the others", async (t) => {
  const { page, says, mock } = await open(t, (m) => {
    const all = Array.from({ length: 2000 }, (_, i) => push({ mediaSessionId: `p-${i}`, sourceStreamName: `cam-${i}`, streamName: `rtmp_cam-${i}`, startedAt }));
    m.find = (n) => all.map((one, i) => ({ ...one, bitrate: 2000 + ((n * 31 + i) % 900), queuedMs: (n + i) % 90 }));
    m.streams = () => Array.from({ length: 2000 }, (_, i) => stream({ mediaSessionId: `s-${i}`, name: `cam-${i}` }));
  });
  await page.waitForFunction(() => /cam-1999/.test(document.querySelectorAll("#pushes li")[1999]?.textContent)); // for the search of the browser and for screen readers
  const built = () => page.evaluate(() => document.querySelectorAll("#pushes li:not(.far), #streams li:not(.far)").length);
  assert.ok((await built()) < 60, `${await built()} rows are built`);
  await page.locator("#pushes li").nth(1500).scrollIntoViewIfNeeded();
  await says("#pushes li:nth-child(1501)", /Live cam-1500 .*Bitrate \d/);
  assert.ok((await built()) < 120, `${await built()} rows are built`);
  const before = await page.locator("#pushes li").nth(1500).innerText();
  await page.waitForFunction((text) => document.querySelectorAll("#pushes li")[1500].innerText !== text, before);
  const stop = page.locator("#pushes li").nth(1500).getByRole("button");
  await stop.focus();
  await page.evaluate(() => scrollTo(0, 0));
  await says("#pushes li:nth-child(1)", /Bitrate \d/);
  assert.equal(await stop.evaluate((button) => button === document.activeElement), true, "the row with the focus stays");
  await page.locator("#filter").fill("cam-777");
  await page.waitForFunction(() => document.querySelectorAll("#pushes li").length === 1 && /Bitrate/.test(document.querySelector("#pushes li").innerText));
  assert.ok(mock.count("POST /rest-api/push/find") >= 2);
});

test("hostile names do nothing in the new parts, and every look is accessible and fits", async (t) => {
  const tricky = `\u202e<img src=x onerror=alert(1)>`;
  const { page, says, errors } = await open(t, (m) => {
    busy(m);
    m.streams = () => [stream({ name: tricky })];
    m.find = () => [failedPush({ sourceStreamName: tricky, startedBy: { kind: "user", name: "<script>alert(1)</script>", via: "rest" } }), failedPush({ mediaSessionId: "p-2" })];
    m.history = () => [failedPush({ sourceStreamName: tricky, startedBy: { kind: "token", name: "\u202egnp", via: "sdk" } })];
    m.destinations = () => [{ name: "x", label: tricky, streams: ["*"], usedBy: 0 }];
    m.methods["push/retry"] = () => 404;
  });
  const inspect = (what) => inEveryLook(page, async (look) => {
    if (look === "phone") {
      await page.setViewportSize({ width: 360, height: 780 });
    }
    assert.deepEqual(await faults(page), [], `${what}, ${look}`);
    const [wide, room] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
    assert.ok(wide <= room, `${what}, ${look}: ${wide} px wide of ${room}`);
    await photograph(page, `${what}-${look}`);
  });
  await says("#pushes", /Started by <script>/);
  await page.locator("#history-time").selectOption("between");
  await page.locator("#pushes li:nth-child(1)").getByRole("button", { name: /^Retry/ }).click();
  await says("#refusal", /Nobody publishes/);
  await inspect("console-actions");
  await page.getByRole("button", { name: /^Push the stream/ }).click();
  await says("#form", /Push “\ufffd<img src=x onerror=alert\(1\)>” to/);
  await page.locator("#form-where").selectOption("custom");
  await page.locator("#form-send").click();
  await inspect("console-push-form");
  assert.equal(await page.locator("#board :is(img, script), #form :is(img, script)").count(), 0);
  assert.deepEqual(errors.filter((error) => !/status of 404/.test(error)), []);
});
