// The studio in a real browser, with a server whose answers each test decides. Needs web/dist: run `make build` first.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { faults, photograph } from "./lib/accessibility.mjs";
import { launch, tabTo } from "./lib/browser.mjs";
import { MockServer, push } from "./lib/mock-server.mjs";
import { looks, openStudio, until } from "./lib/studio-page.mjs";

let browser;

before(async () => {
  browser = await launch({ devices: 3, args: ["--host-resolver-rules=MAP insecure.test 127.0.0.1"] });
}, { timeout: 60_000 });
after(() => browser?.close());

/** Opens the studio of a new mock server. */
const open = (t, setUp, options) => openStudio(t, browser, setUp, options);

/** The text of the failure that the page shows, in one line: of the stream, or of the destination. */
async function failure({ phase, text }) {
  await phase("failed");
  return `${await text("failure")}${await text("failure-1")}`.replaceAll("\n", " ");
}

test("STUN and TURN servers that the server tells", async (t) => {
  const { mock, page, phase, start } = await open(t, (server) => {
    server.iceServers = ['<stun:127.0.0.1:9>; rel="ice-server"',
      '<turn:127.0.0.1:9>; rel="ice-server"; username="1:a"; credential="b="; credential-type="password"'];
  });
  await page.evaluate(() => {
    const set = RTCPeerConnection.prototype.setLocalDescription;
    RTCPeerConnection.prototype.setLocalDescription = function (...args) {
      globalThis.used = this.getConfiguration();
      return set.apply(this, args);
    };
  });
  await start();
  await phase("live");
  const { iceServers, bundlePolicy } = await page.evaluate(() => globalThis.used);
  assert.deepEqual(iceServers.map(({ urls, username, credential }) => [String(urls), username ?? "", credential ?? ""]),
    [["stun:127.0.0.1:9", "", ""], ["turn:127.0.0.1:9", "1:a", "b="]]);
  assert.equal(bundlePolicy, "max-bundle");
  assert.equal(mock.last("OPTIONS /whip/test").headers.authorization, mock.last("POST /whip/test").headers.authorization);
});

test("from Start to Stop", async (t) => {
  const { mock, page, errors, phase, text, start } = await open(t);
  await page.waitForFunction(() => document.getElementById("video").videoWidth > 0);
  assert.match(await text("state"), /Ready/);
  await page.waitForFunction(() => Number(document.getElementById("meter").getAttribute("aria-valuenow")) > 10);

  await start();
  await phase("live");
  assert.equal(await text("state"), "Live on localhost:1935");
  assert.equal(await text("bitrate-1"), "2.5 Mbit/s");
  await page.waitForFunction(() => document.getElementById("picture").textContent === "1280 × 720");
  assert.equal(await text("frames-1"), "1,234");
  assert.equal(await text("dropped-1"), "0");
  await page.waitForFunction(() => document.getElementById("interval").textContent === "every 2.0 s");
  assert.equal(await text("command-1"), "ffplay rtmp://localhost:1935/live/rtmp_test");
  assert.match(await text("badge"), /Live\s+0:0/);
  assert.equal(await page.locator("#address-1").isDisabled(), true);
  await until(async () => (await mock.framesReceived()) >= 10, "10 frames at the far end");

  await page.locator("#go").click();
  await phase("idle");
  assert.match(await text("state"), /Stopped/);
  assert.equal(mock.count("POST /rest-api/push/terminate"), 1);
  assert.equal(mock.count("DELETE /whip/test/session-1"), 1);
  assert.deepEqual(JSON.parse(mock.last("POST /rest-api/push/startup").body),
    { streamName: "test", rtmpUrl: "rtmp://localhost:1935/live", rtmpTransponderFullUrl: false, options: { onSourceLoss: "hold" } });
  const offer = mock.last("POST /whip/test").body;
  const video = offer.slice(offer.indexOf("m=video"));
  const first = /m=video \d+ \S+ (\d+)/.exec(video)[1];
  assert.match(video, new RegExp(`a=rtpmap:${first} H264/90000`));

  await start("again"); // the page is good for more than one
  await phase("live");
  assert.deepEqual(errors, []);
});

describe("the main button is pressed twice", () => {
  const presses = [
    ["by a double click", (page) => page.locator("#go").dblclick()],
    ["by a double tap", async (page) => {
      const { height, width, x, y } = await page.locator("#go").boundingBox();
      for (let i = 0; i < 2; i++) {
        await page.touchscreen.tap(x + width / 2, y + height / 2);
      }
    }],
    ["by a key that is held down", async (page) => {
      await page.locator("#go").focus();
      await page.keyboard.down("Enter");
      await page.keyboard.down("Enter"); // the keyboard repeats it
      await page.keyboard.up("Enter");
    }],
    ["by a key that is held down in a field", async (page) => {
      await page.locator("#name").focus();
      await page.keyboard.down("Enter");
      await page.keyboard.down("Enter");
      await page.keyboard.up("Enter");
    }],
  ];
  for (const [how, press] of presses) {
    test(`${how}: the show begins, and goes on`, async (t) => {
      const { errors, mock, page, phase, text } = await openStudio(t, browser, undefined, { hasTouch: true });
      await press(page);
      await phase("live");
      assert.equal(await text("go"), "Stop");
      assert.equal(mock.count("POST /rest-api/push/startup"), 1);
      assert.equal(mock.count("POST /rest-api/push/terminate"), 0);
      assert.deepEqual(errors, []);
    });
  }
});

test("a platform with a stream key", async (t) => {
  const { mock, page, phase, text, start } = await open(t);
  await page.locator("label:has(#kind-custom-1)").click();
  await page.locator("#address-1").fill("rtmps://live.example/app");
  await page.locator("#key-1").fill("abcd-1234");
  await start();
  await phase("live");
  assert.deepEqual(JSON.parse(mock.last("POST /rest-api/push/startup").body),
    { streamName: "test", rtmpUrl: "rtmps://live.example/app/abcd-1234", rtmpTransponderFullUrl: true, options: { onSourceLoss: "hold" } });
  assert.equal(await text("state"), "Live on live.example");
  assert.doesNotMatch(await page.locator("body").innerText(), /abcd-1234/);
  const stored = await page.evaluate(() => JSON.stringify(sessionStorage));
  assert.doesNotMatch(stored, /abcd|live\.example/);
});

describe("Check of a destination", () => {
  const steps = (...list) => list.map(([step, result, info]) => ({ step, result, ms: 1, info }));
  const good = steps(["name", "ok", "The server's name was resolved."], ["address", "ok", "The server accepts connections here."],
    ["publish", "skipped", "Not tried, so the name or key may be wrong."], ["stream", "skipped", "Nobody publishes the stream on this server now."]);

  test("says in sentences what the server found out", async (t) => {
    const { mock, page, text, errors } = await open(t);
    let answer = { ok: true, target: "rtmp://live.example/app/***", steps: good, findings: [] };
    let proceed = () => undefined;
    mock.methods["push/check"] = () => new Promise((resolve) => (proceed = () => resolve(answer)));
    await page.locator("#name").fill("test");
    await page.locator("label:has(#kind-custom-1)").click();
    await page.locator("#address-1").fill("");
    await page.locator("#check-1").click(); // without an address nothing is sent
    assert.match(await text("address-1-problem"), /Give the address/);
    assert.equal(mock.count("POST /rest-api/push/check"), 0);
    await page.locator("#address-1").fill("rtmps://live.example/app");
    await page.locator("#key-1").fill("abcd-1234");

    await page.locator("#check-1").click();
    await until(() => mock.count("POST /rest-api/push/check") === 1, "the request");
    assert.equal(await text("check-1"), "Checking");
    assert.equal(await page.locator("#check-1").isDisabled(), true);
    proceed();
    await page.locator("#checked-1").waitFor();
    assert.deepEqual(JSON.parse(mock.last("POST /rest-api/push/check").body),
      { rtmpUrl: "rtmps://live.example/app/abcd-1234", rtmpTransponderFullUrl: true, streamName: "test", publish: false });
    assert.match(await text("checked-1"), /Nothing is wrong so far.*Name: ok.*was resolved.*Name or key: skipped/s);
    assert.doesNotMatch(await page.locator("body").innerText(), /abcd-1234/);
    assert.deepEqual(await faults(page), []);

    answer = { ...answer, ok: false, steps: steps(["name", "ok", "Resolved."], ["tls", "failed", "The server's certificate is for another name."]) };
    await page.locator("#card-1").check();
    assert.match(await text("card-hint-1"), /may begin a broadcast/);
    await page.locator("#check-1").click();
    assert.equal(await page.locator("#checked-1").isVisible(), false);
    await until(() => mock.count("POST /rest-api/push/check") === 2, "the second request");
    proceed();
    await page.locator("#checked-1 [data-result=failed]").waitFor();
    assert.equal(JSON.parse(mock.last("POST /rest-api/push/check").body).publish, true);
    assert.match(await text("checked-1"), /Something is wrong.*Encryption: failed.*another name/s);
    assert.deepEqual(await faults(page), []);

    await page.locator("#address-1").fill("rtmps://other.example/app"); // what was found out is about another address
    assert.equal(await page.locator("#checked-1").isVisible(), false);
    await page.locator("#check-1").click();
    await until(() => mock.count("POST /rest-api/push/check") === 3, "the third request");
    await page.locator("#address-1").fill("rtmps://third.example/app");
    proceed();
    await page.waitForFunction(() => document.getElementById("check-1").textContent === "Check");
    assert.equal(await page.locator("#checked-1").isVisible(), false);
    assert.deepEqual(errors, []);
  });

  test("shows each step as it comes, at each address", async (t) => {
    const { mock, page, text, errors } = await open(t);
    let response = null;
    mock.methods["push/check"] = () => (to) => (response = to.writeHead(200, { "Content-Type": "application/x-ndjson" }));
    const line = (value) => response.write(`${JSON.stringify(value)}\n`);
    const say = (step, result, info, backup) => line({ step, result, ms: 1, info, ...(backup ? { backup } : {}) });
    const last = (value) => response.end(`${JSON.stringify(value)}\n`);
    await page.locator("#check-1").click();
    await until(() => response !== null, "the request");
    assert.equal(mock.last("POST /rest-api/push/check").headers.accept, "application/x-ndjson");
    say("name", "ok", "The server's name was resolved.");
    await page.waitForFunction(() => document.querySelectorAll("#checked-1 li").length === 1);
    assert.match(await text("checked-1"), /So far:.*Name: ok.*was resolved/s);
    assert.equal(await text("check-1"), "Checking");
    say("name", "ok", "The second name was resolved.", 1);
    say("address", "ok", "The server accepts connections here.");
    say("address", "failed", "Nothing listens at this address.", 1);
    await page.locator("#checked-1 [data-result=failed]").waitFor();
    assert.match(await text("checked-1"), /So far:.*Name: ok.*Connection: ok.*Backup address 1.*second name.*Connection: failed/s);
    assert.deepEqual(await faults(page), []);
    await photograph(page, "check-goes-on");
    await page.evaluate(() => (document.querySelector("#checked-1 li").kept = true));
    const at = (result, ...infos) => infos.map((info, i) => ({ step: ["name", "address"][i], result: i === 1 ? result : "ok", ms: 1, info }));
    last({
      ok: false, target: "rtmp://localhost/live/***", findings: [], steps: at("ok", "The server's name was resolved.", "The server accepts connections here."),
      backups: [{ ok: false, target: "rtmp://b/***", findings: [], steps: at("failed", "The second name was resolved.", "Nothing listens at this address.") }],
    });
    await page.waitForFunction(() => document.getElementById("check-1").textContent === "Check");
    assert.match(await text("checked-1"), /Something is wrong.*Name: ok.*Connection: ok.*Backup address 1.*Connection: failed/s);
    assert.equal(await page.evaluate(() => document.querySelector("#checked-1 li").kept), true); // not drawn, and not spoken, again
    await photograph(page, "check-is-over");

    response = null;
    await page.locator("#check-1").click();
    await until(() => response !== null, "the second request");
    say("name", "ok", "Resolved again.");
    await page.waitForFunction(() => document.querySelectorAll("#checked-1 li").length === 1);
    last({ status: 503, message: "the server is stopping" });
    await page.locator("#check-problem-1").waitFor();
    assert.match(await text("check-problem-1"), /the server is stopping/);
    assert.deepEqual(errors, []);
  });

  test("that the server refuses", async (t) => {
    const { mock, page, text } = await open(t);
    mock.methods["push/check"] = () => 429;
    await page.locator("#check-1").click();
    await page.locator("#check-problem-1").waitFor();
    assert.match(await text("check-problem-1"), /too many tries/);
    mock.methods["push/check"] = () => ({ ok: true, target: "rtmp://localhost/live/***", findings: [], steps: steps(["publish", "ok", "Accepted."]) });
    await page.locator("#check-1").click();
    await page.locator("#checked-1").waitFor();
    assert.equal(await page.locator("#check-problem-1").isVisible(), false);
    assert.match(await text("checked-1"), /This destination works\./);
  });

  test("while live sends no test card", async (t) => {
    const { mock, page, phase, start } = await open(t);
    mock.methods["push/check"] = () => ({ ok: true, target: "rtmp://localhost/live/***", findings: [], steps: good });
    await page.locator("#card-1").check();
    await start();
    await phase("live");
    assert.equal(await page.locator("#card-1").isVisible(), false);
    await page.locator("#check-1").click();
    await page.locator("#checked-1").waitFor();
    assert.equal(JSON.parse(mock.last("POST /rest-api/push/check").body).publish, false);
  });
});

describe("several destinations", () => {
  /** A server that starts a push for each request. A test may change the pushes that find answers. */
  async function several(t, refuse = () => null, prepare = () => {}) {
    const pushes = [];
    const all = await open(t, (mock) => {
      prepare(mock);
      mock.startup = (n, request) => {
        const refused = refuse(request);
        if (refused) {
          return refused;
        }
        const made = push({ mediaSessionId: `push-${n}`, rtmpUrl: request.rtmpUrl, since: Date.now() });
        pushes.push(made);
        return made;
      };
      mock.find = () => (pushes.length > 0 ? pushes : 404);
    });
    const add = async (kind, n) => {
      await all.page.locator("#add").click();
      await all.page.locator(`label:has(#kind-${kind}-${n})`).click();
    };
    const chip = (n, wanted) => all.page.waitForFunction(([id, text]) => document.getElementById(id).textContent === text, [`state-${n}`, wanted]);
    return { ...all, pushes, add, chip };
  }

  test("one is refused, one is muted, one is added later and stopped again", async (t) => {
    const all = await several(t, (request) => (request.rtmpUrl.includes("refused") ? 409 : null));
    const { mock, page, phase, state, text, start, pushes, add, chip } = all;
    await add("youtube", 2);
    await page.locator("#go").click();
    assert.match(await text("key-2-problem"), /stream key of YouTube/);
    await page.locator("#key-2").fill("abcd-1234");
    await add("server", 3);
    await page.locator("#address-3").fill("rtmp://refused.example/live");
    await start();
    await state("Live on 2 of 3 destinations");
    await chip(3, "Not live");
    assert.match(await text("failure-3"), /already goes to this address/);
    assert.equal(await text("title-2"), "YouTube");
    assert.deepEqual(pushes.map(({ rtmpUrl }) => rtmpUrl).sort(), ["rtmp://localhost:1935/live", "rtmps://a.rtmps.youtube.com/live2/abcd-1234"]); // they start side by side

    await page.locator("#mute-2").click();
    const youtube = pushes.find(({ rtmpUrl }) => rtmpUrl.includes("youtube"));
    youtube.muted = true;
    await page.waitForFunction(() => document.getElementById("mute-2").textContent === "Unmute");
    assert.equal(await text("mute-1"), "Mute");
    assert.deepEqual(JSON.parse(mock.last("POST /rest-api/push/mute").body), { mediaSessionId: youtube.mediaSessionId });

    await page.locator("#remove-3").click();
    await add("custom", 4);
    await page.locator("#address-4").fill("rtmp://later.example/app/key");
    await page.locator("#begin-4").click();
    await chip(4, "Live");
    await state("Live on all 3 destinations");
    assert.equal(await page.evaluate(() => document.activeElement.id), "title-4"); // what was pressed is shown no more
    await page.locator("#end-4").click();
    await chip(4, "Stopped");
    assert.deepEqual(JSON.parse(mock.last("POST /rest-api/push/terminate").body), { mediaSessionId: "push-4" });
    await phase("live");
    assert.doesNotMatch(await page.locator("body").innerText(), /abcd-1234/);
  });

  test("the advice for one that fails names the button that is there", async (t) => {
    const all = await several(t, (request) => (request.rtmpUrl.includes("failing") ? 500 : null));
    const { page, phase, text, start, add, chip } = all;
    await add("server", 2);
    await page.locator("#address-2").fill("rtmp://failing.example/live");
    await start();
    await phase("live");
    await chip(2, "Not live");
    assert.match(await text("failure-2"), /Press “Go live here too”\. If it happens/);
    assert.equal(await text("begin-2"), "Go live here too");
    await page.locator("#go").click();
    await phase("idle");
    assert.match(await text("failure-2"), /Start again\. If it happens/);
    assert.equal(await page.locator("#begin-2").isVisible(), false);
  });

  test("a sound file", async (t) => {
    const { mock, page, phase, text, start, pushes } = await several(t);
    await start();
    await phase("live");
    await page.locator("#insert-1").click();
    await page.locator("#play-1").click();
    assert.match(await text("file-1-problem"), /name of a WAV file/);
    mock.sound = (n) => (n === 1 ? 404 : 200);
    await page.locator("#file-1").fill("jingle.wav");
    await page.keyboard.press("Enter");
    await page.waitForFunction(() => /no sound file of that name/.test(document.getElementById("sound-problem-1").textContent));
    await page.locator("label:has(#loop-1)").click();
    pushes[0].soundFile = "jingle.wav";
    await page.locator("#play-1").click();
    await page.waitForFunction(() => document.getElementById("playing-1").textContent === "Playing jingle.wav");
    assert.deepEqual(JSON.parse(mock.last("POST /rest-api/push/sound_on").body), { mediaSessionId: "push-1", soundFile: "jingle.wav", loop: true });
    await page.locator("#silence-1").click();
    await until(() => mock.count("POST /rest-api/push/sound_off") === 1, "sound_off");
    await phase("live"); // Enter in a field has stopped nothing
  });

  test("events are shown at once, and the server is asked after a gap", async (t) => {
    const { mock, page, phase, text, start, pushes, chip } = await several(t);
    await start();
    await phase("live");
    await until(() => mock.followers.size === 1, "a follower of the events");
    const at = new Date(Date.now() + 60_000).toISOString(); // newer than what find says
    mock.tell({ id: "push-1", to: "RECONNECTING", reason: "peer_closed", info: "The server closed the connection.", at });
    await chip(1, "Reconnecting");
    assert.match(await text("note-1"), /closed the connection/);
    pushes.length = 0; // it is over, and that was not told
    mock.history = () => [push({ mediaSessionId: "push-1", status: "FAILED", reason: "key_rejected", info: "Wrong key.", since: Date.parse(at) + 1 })];
    await phase("failed");
    assert.match(await text("failure-1"), /refused the stream name or key/);
    assert.equal(await page.locator("#address-1").isDisabled(), false);
  });

  test("a push that stops no longer shows the server's last words", async (t) => {
    const { mock, page, phase, text, start, chip } = await several(t);
    await start();
    await phase("live");
    mock.find = () => push({ mediaSessionId: "push-1", status: "RECONNECTING", info: "The server closed the connection.", attempts: 3, since: Date.now() });
    await chip(1, "Reconnecting");
    assert.match(await text("note-1"), /closed the connection\. Attempt 3\./);
    let terminate;
    await page.route("**/push/terminate", (route) => (terminate = () => route.continue()));
    await page.locator("#go").click();
    await chip(1, "Stopping");
    assert.equal(await text("note-1"), "");
    await until(() => terminate, "the request to end the push");
    await terminate();
    await phase("idle");
  });

  test("a key is kept if the user wants it, and forgotten again", async (t) => {
    const { page, phase, start, add } = await several(t);
    await add("twitch", 2);
    await page.locator("#key-2").fill("live_1_x");
    assert.equal(await page.locator("#key-2").getAttribute("type"), "password");
    await start();
    await phase("live");
    const stored = () => page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }]));
    assert.doesNotMatch(await stored(), /live_1_x/);
    await page.locator("#go").click();
    await phase("idle");
    await page.locator("label:has(#keep-2)").click();
    assert.match(await stored(), /twitch/);
    assert.doesNotMatch(await stored(), /live_1_x/);
    assert.match(await page.locator("#keep-key-hint-2").innerText(), /does not encrypt/);
    await page.locator("label:has(#keep-key-2)").click();
    await page.locator("#go").click();
    await phase("live");
    await page.locator("#go").click();
    await phase("idle");
    assert.match(await stored(), /live_1_x/);
    await page.reload();
    await page.waitForFunction(() => document.getElementById("key-2")?.value === "live_1_x");
    await page.locator("label:has(#keep-2)").click();
    assert.doesNotMatch(await stored(), /live_1_x/);
  });

  test("a server that asks for a login", async (t) => {
    const all = await open(t, (mock) => {
      mock.login = "anna:sesame";
    });
    await all.page.locator("#login").waitFor();
    await all.start();
    assert.match(await failure(all), /wants to know who you are/);
    assert.equal(all.mock.count("POST /whip/test"), 0);
    await all.page.locator("#user").fill("anna");
    await all.page.locator("#password").fill("sesame");
    await all.page.keyboard.press("Enter");
    await all.page.locator("#login").waitFor({ state: "hidden" });
    assert.equal(await all.page.locator("#token").isVisible(), false);
    await all.page.locator("#go").click();
    await all.phase("live");
    assert.equal(all.mock.last("POST /whip/test").headers.authorization, "Bearer ticket-1");
    const { until, ...request } = JSON.parse(all.mock.last("POST /rest-api/token/create").body);
    assert.ok(until > Date.now());
    assert.deepEqual(request, { grants: [{ actions: ["publish"], streams: ["test"] }], expiresIn: 600 });
    await all.page.locator("#go").click();
    await all.phase("idle");
    assert.equal(all.mock.last("DELETE /whip/test/session-1").headers.authorization, "Bearer ticket-1");
    assert.equal(all.mock.last("POST /rest-api/push/startup").headers.authorization, undefined);
    assert.doesNotMatch(await all.page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }])), /sesame|ticket/);
  });

  test("a token in place of a login", async (t) => {
    const all = await open(t, (mock) => {
      mock.login = "anna:sesame";
      mock.bearer = "tpk_tahini";
      mock.me = { ...mock.me, kind: "key", actions: ["publish", "push"] };
    });
    await all.page.locator("#token").fill("tpk_tahini");
    await all.page.locator("#name").focus();
    await all.page.locator("#login").waitFor({ state: "hidden" });
    await all.start();
    await all.phase("live");
    assert.equal(all.mock.last("POST /whip/test").headers.authorization, "Bearer tpk_tahini");
    assert.equal(all.mock.last("POST /rest-api/push/startup").headers.authorization, "Bearer tpk_tahini");
    assert.equal(all.mock.count("POST /rest-api/token/create"), 0);
    assert.doesNotMatch(await all.page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }])), /tahini/);
  });

  test("a destination that the server keeps", async (t) => {
    const all = await several(t, () => null, (mock) => {
      mock.destinations = () => [{ name: "youtube-main", target: "rtmps://a.rtmps.youtube.com/live2/***", keySet: true }, { name: "backup" }];
    });
    const { mock, page, phase, text, start, pushes } = all;
    await page.locator("label:has(#kind-named-1)").click();
    await page.locator("#named-1").selectOption("backup");
    assert.equal(await page.locator("#address-1").isVisible(), false);
    await start();
    await phase("live");
    assert.deepEqual(JSON.parse(mock.last("POST /rest-api/push/startup").body), { streamName: "test", rtmpUrl: "destination://backup", options: { onSourceLoss: "hold" } });
    assert.equal(await text("state"), "Live on backup");
    assert.equal(pushes.length, 1);
    await page.locator("#go").click();
    await phase("idle");
    await page.reload();
    await page.waitForFunction(() => document.getElementById("named-1")?.value === "backup");
    mock.destinations = () => [];
    await page.reload();
    await page.waitForFunction(() => document.getElementById("kind-server-1")?.checked);
    assert.equal(await page.locator("#kind-named-1").isVisible(), false);
  });

  test("a password that changes while live", async (t) => {
    const { mock, page, phase, start, add, text } = await several(t, () => null, (mock) => {
      mock.login = "anna:sesame";
    });
    const polls = () => mock.count("POST /rest-api/push/find");
    const signIn = async (password) => {
      await page.locator("#login").waitFor();
      await page.locator("#user").fill("anna");
      await page.locator("#password").fill(password);
      await page.keyboard.press("Enter");
      await page.locator("#login").waitFor({ state: "hidden" });
    };
    await signIn("sesame");
    await start();
    await phase("live");
    mock.login = "anna:tahini";
    const locked = () => page.waitForFunction(() => /wants you to sign in again/.test(document.getElementById("note").textContent));
    await locked();
    assert.equal(await page.locator("#account").isVisible(), false);
    const refused = polls();
    await page.waitForTimeout(1500); // longer than the pause between two polls
    assert.equal(polls(), refused, "a refused login is not sent again");
    assert.match(await text("note"), /wants you to sign in again/, "that is not silence");
    await phase("live");
    await signIn("tahini");
    await page.waitForFunction(() => document.getElementById("note").textContent === "");
    assert.ok(polls() > refused);
    mock.login = "anna:hummus"; // and another destination is started with the next password
    await locked();
    await add("twitch", 2);
    await page.locator("#key-2").fill("live_1_x");
    await signIn("hummus");
    await page.locator("#begin-2").click();
    await until(() => mock.count("POST /rest-api/push/startup") === 2, "the second push");
    assert.equal(await text("failure"), "");
    assert.equal(mock.count("DELETE /whip/test/session-1"), 0);
  });
});

test("ports and names of the server's own", async (t) => {
  const { page, text } = await open(t, (mock) => (mock.config = { version: "", rtmpPort: 19350, httpsPort: 0, namePrefix: "out-" }));
  assert.equal(await page.locator("#address-1").inputValue(), "rtmp://localhost:19350/live");
  await page.locator("#name").fill("cam");
  assert.equal(await text("address-hint-1"), "The stream arrives there as out-cam");
});

test("fields with mistakes", async (t) => {
  const { mock, page, text, start } = await open(t);
  await page.locator("#address-1").fill("http://localhost/live");
  await start("two words");
  assert.match(await text("name-problem"), /without spaces/);
  assert.match(await text("address-1-problem"), /rtmp:\/\//);
  assert.equal(await page.evaluate(() => document.activeElement.id), "name");
  assert.equal(mock.count("POST /whip/two%20words"), 0);
  assert.equal(mock.count("POST /rest-api/token/create"), 0);
});

describe("the push fails", () => {
  const reasons = {
    dns: /could not be found/, tcp_refused: /Nothing listens/, unreachable: /no way/, timeout: /in time/, tls: /secure connection/,
    tls_verify: /certificate/, rtmp_handshake: /not speak RTMP/, rtmp_protocol: /not valid RTMP/, auth_rejected: /password/,
    bad_app: /application/, key_in_use: /in use/, key_rejected: /refused/, peer_closed: /closed/, peer_stalled: /stopped taking/,
    source_lost: /no longer receives/, source_no_media: /no pictures/, source_no_video: /no pictures/, source_no_audio: /no sound/,
    source_unusable: /cannot read/, source_b_frames: /B-frames/, codec_unsupported: /H\.264/, terminated: /ended this push/,
    shutdown: /shut down/, internal: /error of its own/, something_new: /own words/,
  };
  test("each reason has its words", async (t) => {
    const all = await open(t);
    for (const [reason, words] of Object.entries(reasons)) {
      all.mock.startup = () => push({ status: "FAILED", reason, info: `info of ${reason}` });
      await all.start();
      assert.match(await failure(all), words, reason);
      assert.match(await all.text("failure-1"), new RegExp(`info of ${reason}`));
      assert.equal(await all.text("go"), "Start");
    }
    assert.equal(all.mock.count("POST /rest-api/push/terminate"), 0); // they had ended
    assert.equal(all.mock.count("DELETE /whip/test/session-1"), Object.keys(reasons).length);
  });

  test("while live", async (t) => {
    const all = await open(t, (mock) => {
      mock.find = (n) => (n < 2 ? push() : push({ status: "FAILED", reason: "peer_closed", info: "The server closed the connection." }));
    });
    await all.start();
    await all.phase("live");
    assert.match(await failure(all), /closed the connection.*stream key/);
    assert.match(await all.text("note-1"), /live for 0:0/);
    assert.equal(await all.page.locator("#badge").isVisible(), false);
  });

  test("it disappears without a reason", async (t) => {
    const all = await open(t, (mock) => (mock.find = (n) => (n < 2 ? push() : 404)));
    await all.start();
    assert.match(await failure(all), /no longer sends/);
  });
});

describe("the server refuses", () => {
  const cases = {
    startup: [[400, /cannot use this destination/], [404, /ended before/], [409, /already goes/], [500, /server failed/],
      [501, /cannot do that/], [503, /no more streams/]],
    whip: [[409, /already live under this/], [400, /did not accept/], [406, /did not accept/], [415, /did not accept/],
      [500, /server failed/], [503, /no more streams/]],
  };
  for (const [door, statuses] of Object.entries(cases)) {
    test(door, async (t) => {
      const all = await open(t);
      for (const [status, words] of statuses) {
        all.mock[door] = () => status;
        await all.start();
        const said = await failure(all);
        assert.match(said, words, String(status));
        assert.match(said, new RegExp(`says ${status}`));
        all.mock[door] = MockServer.prototype[door] ?? (() => 201);
      }
    });
  }

  test("without the right token", async (t) => {
    const all = await open(t, (mock) => (mock.whip = () => (mock.requests.at(-1).headers.authorization === "Bearer sesame" ? 201 : 401)));
    assert.equal(await all.page.locator("#token").isVisible(), false);
    await all.start();
    assert.match(await failure(all), /wants an access token/);
    await all.page.locator("#token").fill("sesame");
    await all.page.locator("#go").click();
    await all.phase("live");
  });

  test("a stream that the server knows a moment later", async (t) => {
    const all = await open(t, (mock) => (mock.startup = (n) => (n < 3 ? 404 : push())));
    await all.start();
    await all.phase("live");
    assert.equal(all.mock.count("POST /rest-api/push/startup"), 3);
  });
});

describe("the server goes away", () => {
  test("before the start", async (t) => {
    const all = await open(t);
    await all.mock.close();
    await all.start();
    assert.match(await failure(all), /does not answer/);
  });

  /** A live page. says waits until an element has a text. */
  async function live(t) {
    const all = await open(t);
    await all.start();
    await all.phase("live");
    const says = (id, pattern) => all.page.waitForFunction(
      ([i, source]) => new RegExp(source).test(document.getElementById(i).textContent), [id, pattern.source]);
    const flows = async () => {
      const before = await all.mock.framesReceived();
      await until(async () => (await all.mock.framesReceived()) > before + 10, "frames at the far end");
    };
    return { ...all, says, flows };
  }

  test("while live, the page says so, keeps the camera, and goes on", async (t) => {
    const { mock, page, phase, text, says, flows } = await live(t);
    const camera = () => page.evaluate(() => document.getElementById("video").srcObject.getVideoTracks()[0].id);
    const before = await camera();
    await mock.crash();
    await says("state", /No answer from this server|Reconnecting to this server/);
    await phase("returning");
    assert.match(await text("pill"), /Not known|Interrupted/);
    assert.equal(await page.locator("#badge").isVisible(), false);
    assert.match(await text("note"), /camera stays on.*still picture/);
    assert.equal(await text("go"), "Stop");
    assert.equal(await page.locator("#failure").isVisible(), false);
    assert.deepEqual(await faults(page), []);
    await mock.comeBack();
    await phase("live");
    await flows();
    assert.equal(await camera(), before);
    assert.equal(mock.count("POST /whip/test"), 2);
    assert.equal(mock.count("POST /rest-api/push/startup"), 1, "the server has the push still");
    assert.equal(mock.count("POST /rest-api/push/terminate"), 0);
    await page.locator("#go").click();
    await phase("idle");
    assert.equal(mock.count("DELETE /whip/test/session-1"), 1);
  });

  test("and Stop is pressed before it comes back", async (t) => {
    const { mock, page, phase, text } = await live(t);
    await mock.crash();
    await phase("returning");
    await page.locator("#go").click();
    await phase("idle");
    await mock.comeBack();
    assert.match(await text("state"), /Stopped/);
    assert.equal(await text("go"), "Start");
    assert.equal(mock.count("POST /whip/test"), 1);
  });

  test("without a sign: nothing is answered any more", async (t) => {
    const { page, says, phase } = await live(t);
    const numbers = () => page.evaluate(() => ["bitrate-1", "frames-1", "dropped-1", "time-1", "interval"].map((id) => document.getElementById(id).textContent));
    await page.waitForFunction(() => document.getElementById("interval").textContent !== "–");
    assert.equal((await numbers()).includes("–"), false);
    await page.route("**/rest-api/**", () => undefined); // never answered
    await says("state", /No answer from this server/);
    await says("interval", /^–$/);
    assert.deepEqual(await numbers(), ["–", "–", "–", "–", "–"]);
    const shown = () => page.evaluate(() => [
      document.getElementById("pill").textContent, document.querySelector(".destination [id^=state-]").textContent,
      document.getElementById("badge").hidden, document.title.includes("Live"),
    ]);
    assert.deepEqual(await shown(), ["Not known", "Not known", true, false]);
    await page.unroute("**/rest-api/**");
    await phase("live");
    await says("state", /^Live/);
    assert.deepEqual(await shown(), ["On air", "Live", false, true]);
  });

  test("for a moment", async (t) => {
    const all = await open(t);
    await all.start();
    await all.phase("live");
    await all.page.route("**/push/find", (route) => route.abort(), { times: 2 });
    await all.page.waitForFunction(() => /asking again/.test(document.getElementById("note").textContent));
    await all.page.waitForFunction(() => document.getElementById("note").textContent === "");
    assert.match(await all.text("state"), /^Live/);
  });

  test("but only for media", async (t) => {
    const { mock, flows, phase } = await live(t);
    mock.known = false;
    await mock.far.evaluate(() => globalThis.peer.close());
    await until(() => mock.count("POST /whip/test") === 2, "another connection");
    await phase("live");
    await flows();
    assert.equal(mock.count("DELETE /whip/test/session-1"), 0);
  });

  test("and another publisher has the name when it is back", async (t) => {
    const all = await live(t);
    const { mock, page, phase, text } = all;
    mock.known = false;
    mock.whip = () => 409;
    await mock.far.evaluate(() => globalThis.peer.close());
    await phase("waiting");
    assert.equal(await text("state"), "Another device or window sends this show");
    assert.match(await text("note"), /^Your camera is not sent\./);
    assert.equal(await text("failure"), "");
    assert.equal(mock.count("POST /rest-api/push/terminate"), 0, "the show of the other one goes on");
    assert.equal(mock.count("DELETE /whip/test/session-1"), 1); // an old session of ours might have had the name
    assert.ok(mock.requests.every(({ query }) => !query.has("takeover")), "the page has not asked for the name");
    mock.whip = () => 201;
    assert.equal(await text("go"), "Take over");
    await page.locator("#go").click();
    await phase("live");
    assert.equal(mock.last("POST /whip/test").query.get("takeover"), "true");
  });
});

describe("camera and microphone", () => {
  test("permission is asked for by a button", async (t) => {
    const { page, errors } = await open(t, undefined, { permitted: false });
    assert.equal(await page.locator("#cover").isVisible(), true);
    await page.locator("#open").click();
    await page.waitForFunction(() => document.getElementById("video").videoWidth > 0);
    assert.ok((await page.locator("#camera option").count()) === 3);
    assert.deepEqual(errors, []);
  });

  for (const [name, words] of [["NotAllowedError", /may not use.*Allow both/], ["NotFoundError", /connected.*Plug one in/],
    ["NotReadableError", /Another program/], ["TypeError", /could not be opened/]]) {
    test(`refused by ${name}`, async (t) => {
      const all = await open(t, undefined, { permitted: false });
      await all.page.evaluate((error) => {
        navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException("no", error));
      }, name);
      await all.page.locator("#open").click();
      await all.page.locator("#device-problem").waitFor();
      assert.match((await all.text("device-problem")).replaceAll("\n", " "), words);
      await all.start(); // the same by Start, where its reader looks
      assert.match(await failure(all), words);
    });
  }

  test("a microphone without a camera", async (t) => {
    const { mock, page, phase, start, text } = await open(t, undefined, { permitted: false });
    await page.evaluate(() => {
      const { getUserMedia } = navigator.mediaDevices;
      navigator.mediaDevices.getUserMedia = (wanted) => (wanted.video ? Promise.reject(new DOMException("no", "NotFoundError")) : getUserMedia.call(navigator.mediaDevices, wanted));
    });
    await page.locator("#open").click();
    await page.locator("#device-problem").waitFor();
    assert.match(await text("device-problem"), /Without a camera, press “Turn off camera”/);
    await page.locator("#camera-off").click();
    await page.locator("#device-problem").waitFor({ state: "hidden" });
    await start();
    await phase("live");
    await until(async () => (await mock.framesReceived()) > 5, "the card at the far end");
    assert.equal(await page.locator("#device-problem").isVisible(), false);
  });

  test("a page that is not secure", async (t) => {
    const all = await open(t, undefined, { address: (base) => base.replace("localhost", "insecure.test") });
    assert.match(await all.text("device-problem"), /secure pages/);
    assert.equal(await all.page.locator("#device-problem a").getAttribute("href"), "https://insecure.test:8444/");
    await all.start();
    assert.match(await failure(all), /secure pages/);
  });

  test("another camera while live", async (t) => {
    const { mock, page, phase, start } = await open(t);
    await start();
    await phase("live");
    const before = await mock.framesReceived();
    await page.locator("#camera").selectOption({ index: 2 }); // the one between has a format that no encoder takes
    await until(async () => (await mock.framesReceived()) > before + 20, "frames of the other camera at the far end");
    assert.equal(await page.locator("#camera").evaluate((select) => select.selectedIndex), 2);
    await phase("live");
  });

  describe("a device that cannot be opened, while live", () => {
    /** A page that is live. From then on, refusal decides which devices the browser refuses: it returns the name of an error, or "". */
    async function liveWith(t, refusal) {
      const all = await open(t);
      await all.page.evaluate(() => {
        const set = RTCPeerConnection.prototype.setLocalDescription;
        RTCPeerConnection.prototype.setLocalDescription = function (...args) {
          globalThis.sent = () => this.getSenders().map(({ track }) => track);
          return set.apply(this, args);
        };
      });
      await all.start();
      await all.phase("live");
      await all.page.evaluate((source) => {
        const refuse = new Function("asked", "live", `return (${source})(asked, live)`);
        const { mediaDevices } = navigator;
        const getUserMedia = mediaDevices.getUserMedia.bind(mediaDevices);
        globalThis.asked = [];
        globalThis.first = Object.fromEntries(globalThis.sent().map((track) => [track.kind, track]));
        globalThis.now = (kind) => globalThis.sent().find((track) => track.kind === kind);
        mediaDevices.getUserMedia = async (constraints) => {
          globalThis.asked.push(constraints);
          const wanted = JSON.stringify(constraints.video || constraints.audio);
          const index = [...document.querySelectorAll("#camera option, #microphone option")].findIndex(({ value }) => value && wanted.includes(value));
          const name = refuse({ index, video: Boolean(constraints.video), audio: Boolean(constraints.audio) },
            globalThis.sent().filter(({ readyState }) => readyState === "live").map(({ kind }) => kind));
          if (name) {
            throw new DOMException("no", name);
          }
          return getUserMedia(constraints);
        };
      }, String(refusal));
      const flows = async () => {
        const before = await all.mock.framesReceived();
        await until(async () => (await all.mock.framesReceived()) > before + 20, "frames at the far end");
      };
      return { ...all, flows, kept: (kind) => all.page.evaluate((k) => globalThis.first[k] === globalThis.now(k) && globalThis.now(k).readyState === "live", kind) };
    }

    test("a busy camera changes nothing", async (t) => {
      const { page, flows, kept, phase, text } = await liveWith(t, ({ index }) => (index === 2 ? "NotReadableError" : ""));
      await page.locator("#camera").selectOption({ index: 2 });
      await page.locator("#device-problem").waitFor();
      assert.match(await text("device-problem"), /Another program/);
      await flows();
      await phase("live");
      assert.equal(await kept("audio"), true);
      assert.equal(await page.evaluate(() => globalThis.asked.some(({ audio }) => audio)), false);
      assert.equal(await page.locator("#cover").isVisible(), false);
      assert.equal(await page.locator("#camera").evaluate((select) => select.selectedIndex), 0, "the list shows what is sent");
    });

    test("if a camera is gone or not allowed, the other one stays open", async (t) => {
      const { page, flows, kept } = await liveWith(t, ({ index }) => (index === 2 ? "NotFoundError" : index === 1 ? "NotAllowedError" : ""));
      for (const index of [2, 1]) {
        await page.locator("#camera").selectOption({ index });
        await page.waitForFunction((n) => globalThis.asked.length === n && document.getElementById("camera").selectedIndex === 0, 3 - index);
        assert.deepEqual([await kept("video"), await kept("audio")], [true, true]);
      }
      await flows();
    });

    test("where one camera can be open at a time", async (t) => {
      const { page, flows, kept } = await liveWith(t, ({ video }, live) => (video && live.includes("video") ? "NotReadableError" : ""));
      await page.locator("#camera").selectOption({ index: 2 });
      await page.waitForFunction(() => globalThis.first.video !== globalThis.now("video") && globalThis.now("video").readyState === "live");
      await flows();
      assert.equal(await kept("audio"), true);
      assert.equal(await page.locator("#camera").evaluate((select) => select.selectedIndex), 2);
    });

    test("a refused microphone does not touch the camera", async (t) => {
      const { page, flows, kept, text } = await liveWith(t, ({ audio }) => (audio ? "NotAllowedError" : ""));
      await page.locator("#microphone").selectOption({ index: 1 });
      await page.locator("#device-problem").waitFor();
      assert.match(await text("device-problem"), /may not use/);
      assert.deepEqual([await kept("video"), await kept("audio")], [true, true]);
      await flows();
    });

    test("the button on the cover opens the camera of the running stream again", async (t) => {
      const { mock, page, flows, kept, phase } = await liveWith(t, () => "");
      await page.evaluate(() => globalThis.unplug(globalThis.first.video));
      await page.locator("#open").click();
      await page.locator("#cover").waitFor({ state: "hidden" });
      await flows();
      assert.equal(await kept("audio"), true);
      assert.equal(await page.locator("#device-problem").isVisible(), false);
      await phase("live");
      assert.equal(mock.count("POST /whip/test"), 1);
    });
  });

  test("another quality of the same camera", async (t) => {
    const { page } = await open(t);
    const height = (wanted) => page.waitForFunction((h) => document.getElementById("video").srcObject?.getVideoTracks()[0]?.getSettings().height === h, wanted);
    await height(720);
    await page.locator("#quality").selectOption("360p");
    await height(360);
    await page.locator("#quality").selectOption("1080p");
    await height(1080);
  });

  test("unplugged while live", async (t) => {
    const { page, phase, start, text } = await open(t);
    await start();
    await phase("live");
    await page.evaluate(() => globalThis.unplug(document.getElementById("video").srcObject.getVideoTracks()[0]));
    await page.waitForFunction(() => /\(gone\)$/.test(document.getElementById("camera").selectedOptions[0].textContent));
    await page.locator("#device-problem").filter({ hasText: /camera is gone.*Plug it in.*Viewers see your card/s }).waitFor();
    await page.locator("#camera").selectOption({ index: 0 });
    await page.locator("#device-problem").waitFor({ state: "hidden" });
    assert.doesNotMatch(await text("camera"), /gone/);
  });

  test("unplugged and plugged in again while live", async (t) => {
    const { mock, page, phase, start, text } = await open(t);
    await start();
    await phase("live");
    const camera = () => page.evaluate(() => document.getElementById("camera").value);
    const picked = await camera();
    await page.evaluate(() => {
      globalThis.unplug(document.getElementById("video").srcObject.getVideoTracks()[0]);
      globalThis.unplug(globalThis.microphone);
    });
    await page.locator("#device-problem").filter({ hasText: /Camera and microphone are gone.*Viewers see your card meanwhile\. Viewers do not hear you meanwhile/s }).waitFor();
    assert.equal(await page.locator("#mute").isDisabled(), true);
    await page.evaluate(() => globalThis.plugIn());
    await page.locator("#device-problem").waitFor({ state: "hidden" });
    await page.waitForFunction(() => !document.getElementById("mute").disabled && document.getElementById("cover").hidden);
    assert.equal(await camera(), picked);
    const events = (await text("events")).replaceAll(/\d+:\d+:\d+(?: [AP]M)?\s*/g, "").split("\n").reverse();
    assert.deepEqual(events.filter((event) => /camera|microphone/.test(event)),
      ["The camera is gone.", "The microphone is gone.", "There is a camera again.", "There is a microphone again."]);
    assert.equal(mock.count("POST /whip/test"), 1);
  });

  test("a microphone whose place another one takes, by the system, until it is plugged in again", async (t) => {
    const { page, phase, start } = await open(t);
    await start();
    await phase("live");
    await page.evaluate(() => {
      globalThis.other = globalThis.microphone;
      globalThis.unplug(globalThis.other, true);
    });
    await page.locator("#device-problem").filter({ hasText: /The microphone is gone.*Plug it in again/s }).waitFor();
    await page.evaluate(() => globalThis.plugIn());
    await page.waitForFunction(() => globalThis.microphone !== globalThis.other && globalThis.other.readyState === "ended");
    await page.locator("#device-problem").waitFor({ state: "hidden" });
  });

  test("where the browser would ask for permission, a device that is back is opened by a button", async (t) => {
    const { page, phase, start } = await open(t, undefined, { permitted: false });
    await start();
    await phase("live");
    await page.evaluate(() => {
      globalThis.lost = globalThis.microphone;
      globalThis.unplug(globalThis.lost);
    });
    const shown = (gone) => page.waitForFunction((wanted) => /\(gone\)$/.test(document.getElementById("microphone").selectedOptions[0].textContent) === wanted, gone);
    await shown(true);
    await page.evaluate(() => globalThis.plugIn());
    await shown(false);
    assert.equal(await page.evaluate(() => globalThis.microphone === globalThis.lost), true);
    await page.locator("#device-problem").getByRole("button", { name: "Try again" }).click();
    await page.locator("#device-problem").waitFor({ state: "hidden" });
    await page.waitForFunction(() => globalThis.microphone !== globalThis.lost && !document.getElementById("mute").disabled);
  });

  test("the texts of the cover and of the measurements fit the state", async (t) => {
    const { page, phase, start, text } = await open(t, undefined, { permitted: false });
    const says = (id, pattern) => page.waitForFunction(([i, source]) => new RegExp(source).test(document.getElementById(i).textContent), [id, pattern.source]);
    assert.equal(await text("cover-text"), "Your browser asks for permission first. Nothing is sent before you press Start.");
    assert.equal(await text("open"), "Turn on camera and microphone");
    assert.equal(await text("advice"), "Measured while a stream is sent.");
    await start();
    await phase("live");
    await says("advice", /^The stream gets to the server well/);
    const unplug = () => page.evaluate(() => {
      const [camera] = document.getElementById("video").srcObject.getVideoTracks();
      camera.stop();
      camera.dispatchEvent(new Event("ended"));
    });
    await unplug();
    await page.locator("#cover").waitFor();
    assert.equal(await text("cover-text"), "Viewers see your card while the camera is off.");
    assert.equal(await text("open"), "Turn on the camera");
    await page.locator("#open").click();
    await page.locator("#cover").waitFor({ state: "hidden" });

    await page.locator("#go").click();
    await phase("idle");
    assert.equal(await text("advice"), "Measured while a stream is sent.");
    await unplug();
    await page.locator("#cover").waitFor();
    assert.equal(await text("cover-text"), "Nothing is sent before you press Start."); // not that the browser asks: it has asked before
  });

  test("the cover does not promise a question after the browser has refused", async (t) => {
    const { page, text, start, phase } = await open(t, undefined, { permitted: false });
    await page.evaluate(() => {
      navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException("no", "NotAllowedError"));
    });
    await page.locator("#open").click();
    await page.locator("#device-problem").waitFor();
    assert.equal(await text("cover-text"), "Nothing is sent before you press Start.");
    await start();
    await phase("failed");
    assert.doesNotMatch(await text("cover-text"), /asks for permission/);
  });

  test("mute, and no sound at all", async (t) => {
    const { mock, page, phase, start } = await open(t);
    const enabled = () => page.evaluate(() => globalThis.microphone.enabled);
    await page.locator("#mute").click();
    assert.equal(await enabled(), false);
    assert.equal(await page.locator("#mute").innerText(), "Unmute microphone");
    await page.locator("#mute").click();
    assert.equal(await enabled(), true);
    await page.evaluate(() => globalThis.unplug(globalThis.microphone));
    assert.match(await page.locator("#device-problem").innerText(), /microphone is gone/);
    assert.equal(await page.locator("#mute").isDisabled(), true);
    await page.locator("#microphone").selectOption({ index: 1 });
    await page.waitForFunction(() => !document.getElementById("mute").disabled);
    assert.equal(await enabled(), true);
    await page.locator("#microphone").selectOption("none");
    await page.waitForFunction(() => document.getElementById("mute").disabled);
    await start();
    await phase("live");
    assert.doesNotMatch(mock.last("POST /whip/test").body, /m=audio/);
  });

  test("after a reload the same devices are used, and a muted microphone stays muted", async (t) => {
    const { mock, page, errors } = await open(t);
    const shown = (target = page) => target.waitForFunction(() => document.getElementById("video").videoWidth > 0);
    const picked = (target = page) => target.evaluate(() => ["camera", "microphone"].map((id) => {
      const { options, selectedIndex } = document.getElementById(id);
      return id === "microphone" && options[selectedIndex].value === "none" ? "none" : selectedIndex;
    }).join(" "));
    await shown();
    await page.locator("#camera").selectOption({ index: 2 });
    await page.waitForFunction(() => document.getElementById("video").srcObject.getVideoTracks()[0].getSettings().deviceId === document.getElementById("camera").options[2].value);
    await page.locator("#microphone").selectOption({ index: 1 });
    await page.waitForFunction(() => globalThis.microphone.getSettings().deviceId === document.getElementById("microphone").options[1].value);
    await page.locator("#mute").click();
    await page.reload();
    await shown();
    await page.waitForFunction(() => globalThis.microphone instanceof MediaStreamTrack); // not the list of this name
    assert.equal(await picked(), "2 1");
    assert.equal(await page.evaluate(() => globalThis.microphone.enabled), false);
    assert.equal(await page.locator("#mute").innerText(), "Unmute microphone");
    await page.locator("#mute").click();
    await page.locator("#microphone").selectOption("none");
    await page.reload();
    await shown();
    assert.equal(await picked(), "2 none");
    assert.equal(await page.evaluate(() => globalThis.microphone instanceof MediaStreamTrack), false, "no microphone was opened");
    const other = await page.context().newPage(); // another day
    await other.goto(mock.address);
    await shown(other);
    assert.equal(await picked(other), "2 1", "a show does not begin without sound because of the last one");
    assert.equal(await other.evaluate(() => globalThis.microphone.enabled), true);
    assert.deepEqual(errors, []);
  });
});

test("the screen stays on while a stream runs", async (t) => {
  const { page, phase, start } = await open(t);
  await page.evaluate(() => {
    globalThis.locks = 0;
    Object.defineProperty(navigator, "wakeLock", { value: { request: async () => {
      globalThis.locks++;
      return { release: async () => globalThis.locks-- };
    } } });
  });
  await start();
  await phase("live");
  assert.equal(await page.evaluate(() => globalThis.locks), 1);
  await page.locator("#go").click();
  await phase("idle");
  await until(() => page.evaluate(() => globalThis.locks === 0), "the lock is released");
});

test("warnings, with a sound if wished", async (t) => {
  const { mock, page, phase, text, start, errors } = await open(t);
  await page.evaluate(() => {
    globalThis.tones = 0;
    const { start } = OscillatorNode.prototype;
    OscillatorNode.prototype.start = function (...all) {
      globalThis.tones++;
      start.apply(this, all);
    };
  });
  const tones = () => page.evaluate(() => globalThis.tones);
  // A busy machine may get other warnings as well, and deservedly.
  const warns = (code, wanted = true) => page.waitForFunction(
    ([c, is]) => [...document.querySelectorAll("#warnings li")].some(({ dataset }) => dataset.code === c) === is, [code, wanted]);
  const about = "key_interval localhost:1935";
  mock.find = () => push({ health: [{ code: "key_interval", info: "There are 8.0 s between key frames, and YouTube wants 2 s." }] });
  await start();
  await phase("live");
  await warns(about);
  assert.match(await text("warnings"), /may not take the stream well.*8\.0 s between key frames/s);
  assert.equal(await tones(), 0);
  mock.find = () => push();
  await warns(about, false);
  await page.locator("label:has(#beep)").click();
  assert.ok(await tones() > 0, "this is how it sounds");
  const before = await tones();
  await page.evaluate(() => { // the lens is covered
    VideoFrame.prototype.copyTo = async (pixels) => void pixels.fill(0);
    CanvasRenderingContext2D.prototype.drawImage = function () {
      this.fillRect(0, 0, 100, 100);
    };
  });
  await warns("black");
  await until(async () => await tones() > before, "a sound");
  await page.locator("#go").click();
  await phase("idle");
  await page.locator("#warnings").waitFor({ state: "hidden" });
  assert.deepEqual(errors, []);
});

describe("a reload while live", () => {
  const pushes = [
    push({ mediaSessionId: "p-1", sourceStreamName: "mine", rtmpUrl: "rtmp://127.0.0.1:1999/live", status: "HOLDING" }),
    push({ mediaSessionId: "p-2", sourceStreamName: "mine", rtmpUrl: "rtmps://a.rtmps.youtube.com/live2/abcd-1234", status: "HOLDING", secretName: true }),
  ];

  async function reload(t, found) {
    const all = await open(t);
    await all.page.locator("#address-1").fill("rtmp://127.0.0.1:1999/live");
    await all.page.locator("#add").click();
    await all.page.locator("label:has(#kind-youtube-2)").click();
    await all.page.locator("#key-2").fill("abcd-1234");
    all.mock.startup = (n) => push({ ...pushes[n - 1], status: "PUBLISHING" });
    all.mock.find = () => pushes.map((one) => ({ ...one, status: "PUBLISHING" }));
    await all.start("mine");
    await all.state("Live on all 2 destinations");
    let asked = false;
    all.page.on("dialog", (dialog) => {
      asked = true;
      void dialog.accept();
    });
    all.mock.find = found;
    await all.page.reload();
    assert.equal(asked, true);
    assert.equal(all.mock.count("DELETE /whip/mine/session-1"), 1);
    assert.equal(all.mock.count("POST /rest-api/push/terminate"), 0);
    return all;
  }

  test("offers to go on", async (t) => {
    const { mock, page, phase, state, text } = await reload(t, (n) => pushes.map((one) => ({ ...one, status: n % 2 ? "PUBLISHING" : "HOLDING" })));
    await phase("waiting");
    assert.equal(await text("state"), "Your show is interrupted");
    assert.equal(await text("title-1"), "127.0.0.1:1999");
    assert.equal(await text("title-2"), "YouTube");
    assert.equal(await page.locator("#name").inputValue(), "mine");
    assert.equal(await page.locator("#name").isDisabled(), true);
    assert.equal(mock.count("POST /whip/mine"), 1, "nothing is sent yet");
    await looks(page, "waiting");
    mock.find = () => pushes;
    await page.reload(); // it is offered again, and nobody is asked: nothing is lost
    await phase("waiting");
    await page.waitForFunction(() => document.getElementById("video").videoWidth > 0);
    mock.find = () => pushes.map((one) => ({ ...one, status: "PUBLISHING" }));
    await page.locator("#go").click();
    await state("Live on all 2 destinations");
    assert.equal(mock.count("POST /whip/mine"), 2);
    assert.equal(mock.count("POST /rest-api/push/startup"), 2, "the pushes are the same");
    assert.doesNotMatch(await page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }])), /abcd/);
    assert.doesNotMatch(await page.locator("body").innerText(), /abcd/);
    await page.locator("#go").click();
    await phase("idle");
    assert.equal(mock.count("POST /rest-api/push/terminate"), 2);
    assert.equal(await page.locator("#key-2").inputValue(), "abcd-1234");
  });

  test("offers to end the show", async (t) => {
    const { mock, page, phase, text } = await reload(t, () => pushes);
    await phase("waiting");
    assert.equal(await text("go"), "Go on");
    await page.locator("#finish").click();
    await phase("idle");
    assert.equal(mock.count("POST /rest-api/push/terminate"), 2);
    assert.equal(await page.locator("#finish").isVisible(), false);
    assert.equal(await text("go"), "Start");
    mock.find = () => 404;
    await page.reload();
    await page.waitForFunction(() => document.getElementById("version").textContent !== "");
    await phase("idle"); // nothing is offered any more
  });

  test("a camera that is refused ends nothing", async (t) => {
    const { mock, page, phase, text } = await reload(t, () => pushes);
    await phase("waiting");
    mock.whip = () => 503;
    await page.locator("#go").click();
    await phase("failed");
    assert.match(await text("failure"), /no more streams/);
    assert.equal(await text("go"), "Go on");
    assert.equal(mock.count("POST /rest-api/push/terminate"), 0);
  });

  test("too late: the pushes have ended", async (t) => {
    const all = await reload(t, () => 404);
    assert.match(await failure(all), /reloaded/);
    assert.equal(await all.page.locator("#address-1").inputValue(), "rtmp://127.0.0.1:1999/live");
    await all.page.reload();
    await all.phase("idle"); // said once
  });
});

test("keyboard alone", async (t) => {
  const { page, phase, mock } = await open(t, undefined, { permitted: false });
  await tabTo(page, "open");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => document.getElementById("video").videoWidth > 0);
  await tabTo(page, "name");
  await page.keyboard.type("by-keyboard");
  await tabTo(page, "kind-server-1");
  await page.keyboard.press("ArrowRight");
  await tabTo(page, "key-1");
  await page.keyboard.type("k");
  await page.keyboard.press("Enter");
  await phase("live");
  assert.equal(mock.count("POST /whip/by-keyboard"), 1);
  assert.equal(await page.evaluate(() => document.activeElement.id), "go");
  await tabTo(page, "go");
  const outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
  assert.equal(outline, "solid");
  await page.keyboard.press("Space");
  await phase("idle");
});

test("every look is accessible and fits", async (t) => {
  const all = await open(t, (mock) => {
    mock.destinations = () => [{ name: "youtube-main" }, { name: "the-backup-server-of-the-morning-show" }];
  }, { permitted: false });
  const inspect = (what) => looks(all.page, what);
  await inspect("closed");
  await all.page.locator("#open").click();
  await all.page.waitForFunction(() => document.getElementById("video").videoWidth > 0);
  await all.page.locator("#add").click();
  await all.page.locator("label:has(#kind-youtube-2)").click();
  await inspect("ready");
  await all.page.locator("#remove-2").click();
  await all.start("a-long-name-for-a-stream-of-the-morning-show-on-a-phone");
  await all.phase("live");
  await all.page.locator("#insert-1").click();
  all.mock.find = () => push({ status: "DEGRADED", reason: "peer_slow", queuedMs: 5000, health: [{ code: "key_interval", info: "There are 8.0 s between key frames, and YouTube wants 2 s." }] });
  await all.page.locator("#warnings li").nth(1).waitFor();
  await inspect("live");
  all.mock.find = () => push({ status: "FAILED", reason: "key_in_use", info: "The server says that the stream name is in use." });
  await all.phase("failed");
  await all.page.locator("label:has(#kind-custom-1)").click();
  await inspect("failed");
  await all.page.locator("label:has(#kind-named-1)").click();
  all.mock.login = "anna:sesame";
  await all.page.locator("#go").click();
  await all.page.locator("#login").waitFor();
  await all.phase("failed");
  await inspect("signed-out");
});
