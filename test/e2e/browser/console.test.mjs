// The console in a real browser, with a server whose answers each test decides. Needs web/dist: run `make build` first.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { faults, inEveryLook, photograph } from "./lib/accessibility.mjs";
import { launch, tabTo, watchConsole } from "./lib/browser.mjs";
import { busy, node, session, several } from "./lib/console-world.mjs";
import { call, MockServer, push, stream } from "./lib/mock-server.mjs";

const timeout = 15_000;
let browser;

before(async () => {
  browser = await launch();
}, { timeout: 60_000 });
after(() => browser?.close());

async function open(t, setUp, context = browser) {
  const mock = await MockServer.start(browser);
  setUp(mock);
  const page = await context.newPage({ viewport: { width: 1280, height: 860 } });
  page.setDefaultTimeout(timeout);
  const errors = watchConsole(page);
  t.after(async () => {
    await page.close();
    await mock.close().catch(() => undefined);
  });
  await page.goto(`${mock.address}console`);
  const text = async (selector) => (await page.locator(selector).innerText()).replaceAll(/\s+/g, " ").trim();
  const says = (selector, pattern) => page.waitForFunction(
    ([where, source]) => new RegExp(source).test((document.querySelector(where)?.innerText ?? "").replaceAll(/\s+/g, " ")), [selector, pattern.source]);
  return { mock, page, errors, text, says };
}

async function until(holds) {
  for (const deadline = Date.now() + timeout; !holds();) {
    assert.ok(Date.now() < deadline, `never: ${holds}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

test("shows everything except secrets", async (t) => {
  const { page, text, says, errors } = await open(t, busy);
  await says("#pushes", /morning-show/);
  assert.equal(await text("#push-count"), "3 of 4");
  assert.equal(await text("#stream-count"), "3");
  assert.equal(await text("#session-count"), "2");
  assert.match(await text("#pushes li:nth-child(1)"), /Live morning-show a\.rtmps\.youtube\.com\/live2\/•••/);
  assert.match(await text("#pushes li:nth-child(3)"), /Reconnecting lobby .*closed the connection\. Attempt 4\./);
  assert.match(await text("#streams li:nth-child(2)"), /Published lobby RTMP .*640 × 360, 30 fps .*H264 \+ AAC/);
  assert.match(await text("#streams li:nth-child(4)"), /Played lobby WHEP .*1280 × 720 Codecs/);
  assert.match(await text("#sessions li:nth-child(2)"), /Away 198\.51\.100\.20/);
  assert.match(await text("#calls li:nth-child(1)"), /^Connected 1001 called by 1000 Codecs H264 \+ PCMU Packets lost 3 \(0\.3 %\) Stream lobby Pushes Live Talking 1:0\d/);
  assert.equal(await page.locator("#calls li:nth-child(1) .fact a").getAttribute("href"), "/stream?name=lobby");
  assert.match(await text("#calls li:nth-child(2)"), /^On hold \+49 30 1234567 calls studio \(Reception\), a page Hears music\.wav\. Has sent 12#\. Codecs PCMU /);
  assert.match(await text("#calls li:nth-child(3)"), /^Ringing sip:room@meet\.example called by 1000 Codecs – Packets lost – .*Talking –/);
  assert.match(await text("#calls li:nth-child(4)"), /^Failed 1009 called by 1000 No media came from the phone\. no RTP from 192\.0\.2\.9; NAT\? .*Talking 1:00$/);
  await says("#history", /Failed lobby live\.twitch\.tv\/app\/••• The destination refused the stream name or key\./);
  await says("#history", /Ended evening localhost\/live\/rtmp_evening Somebody ended this push/);
  assert.doesNotMatch(await page.locator("html").innerHTML(), /abcd-1234|77_secret|bandwidthtest|hidden-key/);
  await page.waitForFunction(() => /^M.*L/.test(document.querySelector("#pushes .line").getAttribute("d")));
  await page.locator("#filter").fill("YOUTUBE");
  assert.equal(await page.locator("#pushes li").count(), 1);
  assert.match(await text("#sessions-empty"), /Nothing here matches/);
  assert.deepEqual(errors, []);
});

test("a server alone shows no table of servers", async (t) => {
  const { page, says } = await open(t, (mock) => {
    busy(mock);
    mock.methods["node/find_all"] = () => [node({ self: true })];
  });
  await says("#pushes", /morning-show/);
  assert.equal(await page.locator("#nodes-card").isVisible(), false);
});

test("lists servers, takes one out and lets it go on, after a question", async (t) => {
  let nodes;
  const asked = [];
  const { page, text, says, errors } = await open(t, (mock) => {
    nodes = several(mock);
    mock.methods["node/drain"] = (body) => {
      asked.push(["drain", body]);
      nodes[1].state = "draining";
      return {};
    };
    mock.methods["node/resume"] = (body) => {
      asked.push(["resume", body]);
      nodes[1].state = "ready";
      return {};
    };
  });
  await says("#nodes", /berlin-1/);
  assert.match(await text("#nodes li:nth-child(1)"), /^Ready berlin-1 1\.4\.0, this server Cores 0\.42 of 7\.50 Streams 3 Pushes 4 Players 25 Running 1:01:4\d Take out$/);
  assert.match(await text("#nodes li:nth-child(2)"), /^Full berlin-2 1\.3\.9 Cores 7\.31 of 7\.50 Streams 1 /);
  assert.match(await text("#nodes li:nth-child(3)"), /^Draining paris .* Go on$/);
  await says("#pushes", /On berlin-1\./);
  await says("#pushes", /waits for its publisher\. Muted\. rome does not answer: this is what was known last\./);
  const button = (row) => page.locator(`#nodes li:nth-child(${row}) button:visible`);
  await button(2).click();
  await says("#confirm", /Take the server “berlin-2” out\? It takes no new streams, and stops when its only stream has ended, at the latest in an hour\./);
  await page.locator("#confirm-no").click();
  await button(2).click();
  await page.locator("#confirm-yes").click();
  await says("#nodes li:nth-child(2)", /^Draining berlin-2 .* Go on$/);
  await button(2).click();
  await says("#confirm", /Let the server “berlin-2” go on\?/);
  await page.locator("#confirm-yes").click();
  await says("#nodes li:nth-child(2)", /^Ready berlin-2 .* Take out$/);
  assert.deepEqual(asked, [["drain", { nodeId: "berlin-2", finishMs: 3_600_000 }], ["resume", { nodeId: "berlin-2" }]]);
  assert.deepEqual(errors, []);
});

test("only an administrator may take a server out", async (t) => {
  const { page, says } = await open(t, (mock) => {
    several(mock);
    mock.me = { ...mock.me, kind: "user", name: "eve", role: "operator", actions: ["read", "control"] };
  });
  await says("#nodes", /berlin-1/);
  assert.equal(await page.locator("#nodes button:visible").count(), 0);
  assert.ok(await page.locator("#pushes button:visible").count() > 0);
});

test("stops a push by keyboard, after a confirmation", async (t) => {
  let pushes;
  const { mock, page, says } = await open(t, (m) => (pushes = busy(m)));
  await says("#pushes", /lobby/);
  const stop = page.locator("#pushes li:nth-child(3) button");
  await stop.focus();
  await page.keyboard.press("Enter");
  await says("#confirm", /Stop the push of “lobby”\? media\.example\/live\/rtmp_lobby gets nothing any more/);
  await page.keyboard.press("Enter"); // on what changes nothing
  await page.locator("#confirm").waitFor({ state: "hidden" });
  assert.equal(mock.count("POST /rest-api/push/terminate"), 0);
  await page.keyboard.press("Enter"); // the focus is back
  await tabTo(page, "confirm-yes", 3);
  mock.terminate = () => {
    pushes.splice(2, 1);
    return 200;
  };
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => document.querySelectorAll("#pushes li").length === 3);
  assert.deepEqual(JSON.parse(mock.last("POST /rest-api/push/terminate").body), { mediaSessionId: "p-3" });
  assert.equal(await page.evaluate(() => document.activeElement.id), "pushes-title");
});

test("each question gets its own answer, however soon the next one is asked", async (t) => {
  const { mock, page, says } = await open(t, busy);
  await says("#pushes", /lobby/);
  const answers = (...clicks) => page.evaluate((all) => all.forEach((selector) => document.querySelector(selector).click()), clicks);
  const [stop, no, yes] = ["#pushes li:nth-child(3) button", "#confirm-no", "#confirm-yes"];
  await answers(stop, no, stop); // the browser tells of the closing only afterwards
  await page.locator("#confirm-yes").click();
  await until(() => mock.count("POST /rest-api/push/terminate") === 1);
  await page.locator("#confirm").waitFor({ state: "hidden" });
  await answers(stop, no, "#streams li:nth-child(1) button.danger", yes);
  await until(() => mock.count("POST /rest-api/stream/terminate") === 1);
  await answers(stop, yes, stop);
  await until(() => mock.count("POST /rest-api/push/terminate") === 2);
  await page.keyboard.press("Escape");
  await page.locator("#confirm").waitFor({ state: "hidden" });
  await answers(stop, yes);
  await until(() => mock.count("POST /rest-api/push/terminate") === 3);
});

test("stops a stream and a session", async (t) => {
  const { mock, page, says } = await open(t, busy);
  await says("#streams", /morning-show/);
  await page.locator("#streams li:nth-child(1) button.danger").click();
  await says("#confirm", /Stop the stream “morning-show”\? Its publisher is cut off, and with it 2 pushes\./);
  await page.locator("#confirm-yes").click();
  await page.locator("#confirm").waitFor({ state: "hidden" });
  await page.locator("#sessions li:nth-child(1) button").click();
  await page.locator("#confirm-yes").click();
  await page.locator("#confirm").waitFor({ state: "hidden" });
  await until(() => mock.count("POST /rest-api/connection/terminate") > 0);
  assert.deepEqual(JSON.parse(mock.last("POST /rest-api/stream/terminate").body), { mediaSessionId: "56141d10" });
  assert.deepEqual(JSON.parse(mock.last("POST /rest-api/connection/terminate").body), { sessionId: "s-1" });
});

test("sends digits to a phone, and hangs up", async (t) => {
  let left = 2;
  const { mock, page, says } = await open(t, (m) => {
    m.calls = () => [call(), call({ callId: "c-2", status: "RING", callee: "1002" })].slice(0, left);
    m.digits = (n) => (n === 1 ? 400 : 200);
    m.methods["call/terminate"] = () => (left === 2 ? 500 : 200);
  });
  await says("#calls", /Connected 1001/);
  assert.equal(await page.locator("#calls form:visible").count(), 1, "only a call that was answered takes digits");
  const field = page.getByLabel("Digits for 1001");
  await field.fill("12x");
  await page.keyboard.press("Enter");
  await says("#refusal", /cannot send these digits/);
  assert.equal(await field.inputValue(), "12x");
  await field.fill(" 12# ");
  await page.keyboard.press("Enter");
  await says("#news", /Sent: 12#/);
  assert.deepEqual(JSON.parse(mock.last("POST /rest-api/call/send_dtmf").body), { callId: "c-1", dtmf: "12#" });
  assert.equal(await field.inputValue(), "");
  await page.getByRole("button", { name: "Hang up the call with 1002" }).click();
  await says("#confirm", /Hang up the call with 1002\? The stream of the phone ends/);
  assert.equal(await page.locator("#refusal").isVisible(), true, "a look at the server does not hide it");
  await page.locator("#confirm-yes").click();
  await says("#refusal", /The server failed/);
  left = 1;
  await page.getByRole("button", { name: "Hang up the call with 1002" }).click();
  await page.locator("#confirm-yes").click();
  await page.waitForFunction(() => document.querySelectorAll("#calls li").length === 1);
  assert.deepEqual(JSON.parse(mock.last("POST /rest-api/call/terminate").body), { callId: "c-2" });
  left = 0;
  await says("#calls-empty", /There are no calls with phones/);
});

test("has no list of calls if the server takes none, and does not ask again", async (t) => {
  const { mock, page, says } = await open(t, (m) => {
    busy(m);
    m.calls = () => 501;
  });
  await says("#pushes", /lobby/);
  assert.equal(await page.locator("#calls-card").isVisible(), false);
  await until(() => mock.count("POST /rest-api/stream/find_all") >= 3);
  assert.equal(mock.count("POST /rest-api/call/find_all"), 1);
});

test("shows events at once", async (t) => {
  let pushes;
  const { mock, says } = await open(t, (m) => (pushes = busy(m)));
  await says("#pushes", /lobby/);
  await until(() => mock.followers.size > 0);
  pushes.length = 0;
  mock.tell({ id: "p-1", to: "FAILED", reason: "peer_closed", sourceStreamName: "morning-show", target: "rtmps://a.rtmps.youtube.com/live2/***" });
  await says("#news", /morning-show to a\.rtmps\.youtube\.com: Failed/);
  await says("#pushes-empty", /Nothing is being pushed\. Start a push in the Studio, beside a stream below/);
  mock.streams = () => 404;
  await says("#pushes-empty", /Start a push in the Studio, or by REST/);
});

test("asks for a login, and asks again if it is wrong", async (t) => {
  const { mock, page, says } = await open(t, (m) => {
    busy(m);
    m.login = "anna:sesame";
  });
  await page.locator("#login").waitFor();
  assert.equal(await page.locator("#board").isVisible(), false);
  assert.equal(await page.evaluate(() => document.activeElement.id), "user");
  await page.keyboard.type("anna");
  await tabTo(page, "password", 2);
  await page.keyboard.type("open");
  await page.keyboard.press("Enter");
  await says("#login-problem", /does not know this name/);
  await page.locator("#password").fill("sesame");
  await inEveryLook(page, async (look) => {
    assert.deepEqual(await faults(page), [], look);
    await photograph(page, `console-login-${look}`);
  });
  await page.keyboard.press("Tab");
  await page.locator("#login button").click();
  await says("#pushes", /lobby/);
  await says("#account", /anna Sign out/);
  await page.reload();
  await says("#pushes", /lobby/);
  assert.equal(await page.locator("#login").isVisible(), false);
  assert.equal(mock.requests.some(({ headers }) => headers.authorization), false, "the password is sent to sign in, and in no header");
  assert.doesNotMatch(await page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie])), /sesame|transponder=/);
  mock.login = "somebody:else";
  await page.locator("#login").waitFor();
  assert.equal(await page.locator("#password").inputValue(), "");
  assert.equal(await page.locator("#account").isVisible(), false);
});

test("signs out", async (t) => {
  const { mock, page, says } = await open(t, (m) => {
    busy(m);
    m.login = "anna:sesame";
  });
  await page.locator("#user").fill("anna");
  await page.locator("#password").fill("sesame");
  await page.keyboard.press("Enter");
  await page.locator("#sign-out").click();
  await page.waitForURL("**/login");
  assert.equal(mock.count("DELETE /rest-api/session"), 1);
  await page.locator("#login").waitFor();
  await page.locator("#user").fill("anna");
  await page.locator("#password").fill("sesame");
  await page.keyboard.press("Enter");
  await page.waitForURL("**/console");
  await says("#pushes", /lobby/);
});

test("somebody changes the own password", async (t) => {
  const { mock, page, says } = await open(t, (m) => {
    busy(m);
    m.login = "anna:sesame";
    m.methods["session/password"] = ({ password }) => (password === "sesame" ? 200 : 403);
  });
  await page.locator("#user").fill("anna");
  await page.locator("#password").fill("sesame");
  await page.keyboard.press("Enter");
  await page.getByRole("button", { name: "anna" }).click();
  await page.getByLabel("Present password").fill("wrong");
  await page.getByLabel("New password").fill("open-sesame");
  await page.keyboard.press("Enter");
  await says("dialog[open]", /not your present password/);
  await page.getByLabel("Present password").fill("sesame");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => !document.querySelector("dialog[open]"));
  assert.deepEqual(JSON.parse(mock.last("POST /rest-api/session/password").body), { password: "sesame", newPassword: "open-sesame" });
  assert.doesNotMatch(await page.content(), /sesame/);
  await says("#pushes", /lobby/);
});

test("whoever signs in in one tab is signed in in all", async (t) => {
  const context = await browser.newContext();
  t.after(() => context.close());
  const { mock, page, says } = await open(t, (m) => {
    busy(m);
    m.login = "anna:sesame";
  }, context);
  await page.locator("#login").waitFor();
  const other = await context.newPage();
  await other.goto(`${mock.address}login?next=/access%23users`);
  await other.locator("#user").fill("anna");
  await other.locator("#password").fill("sesame");
  await other.keyboard.press("Enter");
  await says("#pushes", /lobby/);
  await other.waitForURL("**/access#users");
  await other.close();
});

test("says why a login is refused", async (t) => {
  const { mock, page, says } = await open(t, (m) => {
    m.login = "anna:sesame";
    m.refuseLogin = (n) => [429, 403, 500][n - 1];
  });
  await page.locator("#user").fill("anna");
  await page.locator("#password").fill("sesame");
  for (const words of [/too many tries\. Wait a moment.*the mock says 429/, /may not do that.*the mock says 403/, /server failed.*the mock says 500/]) {
    await page.locator("#login button").click();
    await says("#login-trouble", words);
  }
  assert.equal(await page.locator("#login-trouble a").count(), 0);
  await page.locator("#login button").click();
  await says("#account", /anna/);
  assert.equal(mock.count("POST /rest-api/session"), 4);
});

test("a viewer sees everything, and no button that ends it", async (t) => {
  const { page, says } = await open(t, (m) => {
    busy(m);
    m.me = { ...m.me, kind: "user", name: "vera", role: "viewer", actions: ["read"] };
  });
  await says("#pushes", /lobby/);
  assert.equal(await page.locator("#board .danger:visible").count(), 0);
  assert.equal(await page.locator("#open-mode").isVisible(), false);
});

test("a server that is open to everybody says so in red", async (t) => {
  const { page, says } = await open(t, (m) => {
    busy(m);
    m.me = { ...m.me, kind: "anonymous", mode: "open" };
  });
  await says("#open-mode", /Everybody who reaches this server may do everything\. Its settings say access=open\./);
  const [red, ground] = await page.evaluate(() => ["color", "backgroundColor"].map((name) => getComputedStyle(document.getElementById("open-mode"))[name]));
  assert.notEqual(red, ground);
  await inEveryLook(page, async (look) => {
    await page.waitForSelector("#board:not(.stale)"); // dimmed while an answer is late, which is too pale on purpose
    assert.deepEqual(await faults(page), [], look);
    await photograph(page, `console-open-${look}`);
  });
});

test("a name cannot turn the words around it", async (t) => {
  const tricky = "\u202egnp.show\u2069\u202e";
  const { page, says } = await open(t, (m) => {
    busy(m);
    m.streams = () => [stream({ name: tricky }), stream({ mediaSessionId: "s-2", name: "<svg/onload=alert(1)>" })];
    m.find = () => [push({ status: "FAILED", reason: "key_rejected", info: '"><img src=x onerror=alert(1)>', rtmpUrl: "destination://<script>", target: "rtmp://h/<b>/***" })];
    m.sessions = () => [session({ clientAddress: "192.0.2.7:1", origin: `https://\u05d0\u05d1.example` })];
  });
  await says("#streams", /onload/);
  assert.equal(await page.locator("#board :is(.rows svg:not(.chart), img, script, b)").count(), 0);
  await says("#pushes", /<script>, h\/<b>\/rtmp_test/);
  // Each name is a line of text of its own: the word behind it stays behind it.
  assert.equal(await page.locator("#streams li:nth-child(1) h3 > bdi").evaluate((name) => getComputedStyle(name).display), "inline-block");
  await page.locator("#streams li:nth-child(1) button.danger").click();
  await says("#confirm-title", /^Stop the stream “\ufffdgnp\.show\ufffd\ufffd”\?$/);
});

test("says that the server does not answer, and that it cannot list sessions", async (t) => {
  const { mock, says } = await open(t, (m) => {
    busy(m);
    m.sessions = () => 501;
  });
  await says("#sessions-empty", /does not list its sessions/);
  await mock.close();
  await says("#trouble", /The server does not answer\. Check that it is running/);
});

test("every look is accessible and fits", async (t) => {
  const { page, says } = await open(t, several);
  await says("#history", /Somebody ended/);
  const inspect = (what) => inEveryLook(page, async (look) => {
    assert.deepEqual(await faults(page), [], `${what}, ${look}`);
    const [wide, width] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
    assert.ok(wide <= width, `${what}, ${look}: ${wide} px wide of ${width}`);
    const spilt = await page.evaluate(() => [...document.querySelectorAll(".rows .fact")].filter((cell) => cell.scrollWidth > cell.clientWidth)
      .map((cell) => cell.textContent));
    assert.deepEqual(spilt, [], `${what}, ${look}: what does not fit its column`);
    await photograph(page, `${what}-${look}`);
  });
  await page.waitForFunction(() => document.querySelector("#pushes .line").getAttribute("d").split("L").length >= 3);
  await inspect("console");
  await page.locator("#pushes li:nth-child(1) button").click();
  await inspect("console-confirm");
});
