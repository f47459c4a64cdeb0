// The parts of the pages that need no browser. `npm test` compiles them to .build/web first.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { parseApp, parseAudit, parseDestination, parseKey, parseLogin, parsePreset, parseRevocation, parseUser } from "./.build/web/pages/access-client.js";
import { keyGrants, keyUntil, writtenDestination } from "./.build/web/pages/access-forms.js";
import { browserName, grantWords } from "./.build/web/pages/access-lists.js";
import { addressProblem, destinationProblems, hostOf, nameOf, nameProblem, playCommand, pushRequest, randomName, shownTarget } from "./.build/web/pages/address.js";
import { Failure, pageReasons, pushFailure, pushReasons, sdkReasons } from "./.build/web/pages/failure.js";
import * as format from "./.build/web/pages/format.js";
import { inSentence } from "./.build/web/pages/format.js";
import { level } from "./.build/web/pages/level-meter.js";
import { parseConfig } from "./.build/web/pages/config.js";
import { parsePush, PushClient } from "./.build/web/pages/push-client.js";
import { preferH264 } from "./.build/web/pages/publisher.js";
import { ending, initialPush, reducePush } from "./.build/web/pages/push-state.js";
import { followPushes, parseEvent } from "./.build/web/pages/push-events.js";
import { initialStream, reduceStream } from "./.build/web/pages/stream-state.js";
import { summarize } from "./.build/web/pages/summary.js";
import { HealthMeter } from "./.build/web/pages/health.js";
import { paths, Series } from "./.build/web/pages/chart.js";
import { kinds, presets } from "./.build/web/pages/presets.js";
import { nextPage } from "./.build/web/pages/next.js";
import { Values } from "./.build/web/pages/form-dialog.js";
import { Rest, restReason } from "./.build/web/pages/rest.js";
import { may, parseSession } from "./.build/web/pages/session.js";
import { askTicket } from "./.build/web/pages/ticket.js";
import { consoleWords, coverText, destinationWords, explain, healthAdvice, pushWords } from "./.build/web/pages/words.js";
import { push } from "./lib/mock-server.mjs";

const server = (address) => ({ kind: "server", address, key: "" });
const platform = (address, key) => ({ kind: "custom", address, key });

describe("address", () => {
  test("names", () => {
    for (const good of ["a", "calm-river-101", "A.b_c~d", "x".repeat(100)]) {
      assert.equal(nameProblem(good), "", good);
    }
    for (const bad of ["", "two words", "a/b", "ü", "a?b", ".", "..", "x".repeat(101), "<b>"]) {
      assert.notEqual(nameProblem(bad), "", bad);
    }
    assert.equal(nameProblem(randomName()), "");
    assert.match(randomName(() => 0.999), /^[a-z]+-[a-z]+-999$/);
  });

  test("addresses", () => {
    for (const good of ["rtmp://localhost:1935/live", "rtmps://example.com/app", "RTMP://10.0.0.1", "rtmp://[::1]:1935/live",
      "rtmp://user:pass@host/app", "rtmp://host/app?a=b&c=/d", "rtmp://host/app/key"]) {
      assert.equal(addressProblem(good), "", good);
    }
    for (const bad of ["", "localhost", "http://host/live", "rtmp://", "rtmp:///live", "rtmp://ho st/live", "rtmp://:1935/live"]) {
      assert.notEqual(addressProblem(bad), "", bad);
    }
  });

  test("requests", () => {
    assert.deepEqual(pushRequest("n", { ...server("rtmp://host/live"), key: "left over" }),
      { streamName: "n", rtmpUrl: "rtmp://host/live", rtmpTransponderFullUrl: false });
    assert.deepEqual(pushRequest("n", platform("rtmps://host/app/", "abc-def")),
      { streamName: "n", rtmpUrl: "rtmps://host/app/abc-def", rtmpTransponderFullUrl: true });
    assert.deepEqual(pushRequest("n", platform("rtmps://host/app/abc-def", "")),
      { streamName: "n", rtmpUrl: "rtmps://host/app/abc-def", rtmpTransponderFullUrl: true });
    for (const [address, key, rtmpUrl] of [
      ["rtmp://h/live?x=1", "KEY", "rtmp://h/live?x=1/KEY"],
      ["rtmp://h/live?x=1/", "KEY?y=2", "rtmp://h/live?x=1/KEY?y=2"],
      ["rtmp://h/live/?x=1", "KEY", "rtmp://h/live/?x=1/KEY"],
      ["rtmp://h/live/inst?x=1", "KEY", "rtmp://h/live/inst/?x=1/KEY"],
      ["rtmp://h/live-bvc/", "?streamname=s&key=k", "rtmp://h/live-bvc/?streamname=s&key=k"],
      ["rtmp://h/live", "KEY?t=a/b", "rtmp://h/live/KEY?t=a/b"],
      ["rtmp://h", "KEY", "rtmp://h/KEY"],
      ["rtmp://h?x=1", "KEY", "rtmp://h?x=1/KEY"],
    ]) {
      assert.deepEqual(pushRequest("n", platform(address, key)), { streamName: "n", rtmpUrl, rtmpTransponderFullUrl: true });
    }
    assert.notEqual(destinationProblems(platform("rtmp://host/app", "inst/KEY")).key, "");
    assert.equal(destinationProblems(platform("rtmp://host/app", "KEY?t=a/b")).key, "");
  });

  test("presets", () => {
    for (const [kind, rtmpUrl] of [["youtube", "rtmps://a.rtmps.youtube.com/live2/abc-def"],
      ["facebook", "rtmps://live-api-s.facebook.com:443/rtmp/abc-def"], ["twitch", "rtmps://live.twitch.tv/app/abc-def"]]) {
      const to = { kind, address: "left over", key: " abc-def " };
      assert.deepEqual(pushRequest("n", to), { streamName: "n", rtmpUrl, rtmpTransponderFullUrl: true });
      assert.deepEqual(destinationProblems(to), { address: "", key: "" });
      assert.equal(nameOf(to), presets[kind].label);
      for (const key of ["", "two words", "rtmp://host/app/key"]) {
        assert.notEqual(destinationProblems({ ...to, key }).key, "", key);
      }
    }
    assert.equal(destinationProblems(platform("rtmp://host/app/key", "")).key, "");
    assert.deepEqual(pushRequest("n", { kind: "named", address: "youtube-main", key: "" }), { streamName: "n", rtmpUrl: "destination://youtube-main" });
    assert.equal(destinationProblems({ kind: "named", address: "", key: "" }).address, "Choose a destination.");
    assert.equal(destinationProblems({ kind: "named", address: "no address", key: "" }).address, "");
    for (const kind of kinds) {
      assert.equal(addressProblem(presets[kind].address || "rtmp://host/app"), "", kind);
    }
  });

  test("targets hide keys", () => {
    for (const [target, streamName, secretName, want] of [
      ["rtmp://localhost:1936/live/***", "rtmp_n", false, "localhost:1936/live/rtmp_n"],
      ["rtmp://localhost/live/***", "$&", false, "localhost/live/$&"],
      ["rtmps://host/app/***", "secret-key?sign=a%2Fb", true, "host/app/•••"],
      ["", "secret", true, "an address"],
    ]) {
      assert.equal(shownTarget({ target, streamName, secretName, rtmpUrl: "rtmp://host/secret-key" }), want);
    }
    const named = { target: "rtmps://host/app/***", streamName: "k", secretName: true, rtmpUrl: "destination://youtube-main" };
    assert.equal(shownTarget(named), "youtube-main, host/app/•••");
    assert.equal(shownTarget({ ...named, target: "" }), "youtube-main"); // for somebody who may not see the address
    const { target, secretName } = parsePush({ mediaSessionId: "1", streamName: "key" });
    assert.deepEqual([target, secretName], ["", true]);
  });

  test("play commands", () => {
    for (const [rtmpUrl, want] of [
      ["rtmp://localhost:1935/live", "ffplay rtmp://page.example:1935/live/rtmp_n"],
      ["rtmp://127.0.0.1/live/", "ffplay rtmp://page.example/live/rtmp_n"],
      ["rtmps://other.example:80/a/b", "ffplay rtmps://other.example:80/a/b/rtmp_n"],
      ["rtmp://user:secret@host/live", "ffplay rtmp://host/live/rtmp_n"],
      ["rtmp://host/live?a=1&b='x'", "ffplay 'rtmp://host/live/rtmp_n?a=1&b=%27x%27'"],
      ["rtmp://host/$(reboot)", "ffplay 'rtmp://host/$(reboot)/rtmp_n'"],
    ]) {
      assert.equal(playCommand({ rtmpUrl, streamName: "rtmp_n" }, server(rtmpUrl), "page.example"), want);
    }
    assert.equal(playCommand({ rtmpUrl: "rtmp://h/a/key", streamName: "key" }, platform("rtmp://h/a", "key"), "h"), "");
  });

  test("hosts hide secrets", () => {
    assert.equal(hostOf("rtmp://user:secret@Host:1936/app/key?token=t"), "host:1936");
    assert.equal(hostOf("nonsense"), "the server");
  });
});

describe("words", () => {
  test("every reason has a sentence, and says what to do", () => {
    for (const reason of [...pushReasons, ...sdkReasons, ...pageReasons]) {
      const { title, advice } = explain(new Failure(reason));
      assert.match(title, /^[A-Z].*\.$/, reason);
      assert.match(advice, /^[A-Z].*\.$/, reason);
    }
  });

  test("the console asks nobody to start again", () => {
    for (const reason of ["server_gone", "busy", "server_error", "bad_request", "not_found", "conflict"]) {
      const { title, advice } = consoleWords(new Failure(reason));
      assert.match(title, /^[A-Z].*\.$/, reason);
      assert.doesNotMatch(advice, /start again/i, reason);
    }
    assert.deepEqual(consoleWords(new Failure("digits_refused")), explain(new Failure("digits_refused")));
  });

  test("while others are live, a destination starts again by its own button", () => {
    const advice = (reason, others) => destinationWords(new Failure(reason), others).advice;
    assert.equal(advice("dns", false), explain(new Failure("dns")).advice);
    assert.equal(advice("dns", true), "Check the host in the address for typing errors, then press “Go live here too”.");
    assert.match(advice("internal", true), /^Press “Go live here too”\. If/);
    assert.match(advice("peer_stalled", true), /lower quality, then start again/); // the quality can be changed after Stop only
  });

  test("a reason that is new to the page keeps the server's words", () => {
    const failure = pushFailure("moon_phase", "The moon is full.");
    assert.equal(failure.reason, "push_failed");
    assert.equal(failure.detail, "The moon is full.");
    assert.equal(pushFailure("moon_phase", "").detail, "moon_phase");
  });

  test("states", () => {
    for (const status of ["STARTING", "CONNECTING", "PUBLISHING", "DEGRADED", "HOLDING", "RECONNECTING", "DRAINING", "AWAITING", "ENDED", "FAILED"]) {
      assert.doesNotMatch(pushWords(status, "host"), /[A-Z]{3}|Working on it/, status);
    }
    assert.equal(pushWords("DREAMING", "host"), "Working on it (dreaming)");
  });
});

describe("format", () => {
  test("numbers", () => {
    assert.equal(format.bitrate(null), "–");
    assert.equal(format.bitrate(0), "0 kbit/s");
    assert.equal(format.bitrate(999), "999 kbit/s");
    assert.equal(format.bitrate(2480), "2.5 Mbit/s");
    assert.equal(format.count(1234567), "1,234,567");
    assert.equal(format.interval(0), "–");
    assert.equal(format.interval(2040), "every 2.0 s");
    assert.equal(format.size(0, 720), "–");
  });

  test("clocks", () => {
    for (const [ms, want] of [[-1, "0:00"], [7999, "0:07"], [725_000, "12:05"], [3_600_000, "1:00:00"], [90_061_000, "25:01:01"]]) {
      assert.equal(format.clock(ms), want);
    }
  });
});

describe("the state of a push", () => {
  const report = (fields, at) => ({ type: "report", push: parsePush(push({ since: at, ...fields })), at });
  const event = (fields, at) => ({ type: "event", event: { id: "x", at, status: "PUBLISHING", reason: "", info: "", attempts: 1, ...fields }, at });
  const play = (...steps) => steps.reduce(reducePush, initialPush);
  const start = { type: "start" };

  test("from start to stop", () => {
    const live = play(start, report({ status: "CONNECTING" }, 1000), report({}, 2000), report({}, 9000));
    assert.equal(live.phase, "live");
    assert.equal(live.liveSince, 2000);
    const over = play(start, report({}, 2000), { type: "stop", at: 5000 }, { type: "ended", failure: null, at: 6000 });
    assert.equal(over.phase, "idle");
    assert.equal(over.liveFor, 3000);
    assert.equal(over.failure, null);
  });

  test("it fails while live", () => {
    const failure = new Failure("peer_closed");
    const state = play(start, report({}, 2000), report({ status: "FAILED" }, 4000), { type: "ended", failure, at: 5000 });
    assert.equal(state.phase, "idle");
    assert.equal(state.liveFor, 2000);
    assert.equal(state.failure, failure);
    assert.equal(reducePush(state, start).failure, null);
  });

  test("a push in trouble is live, a push that reconnects is not", () => {
    const live = play(start, report({}, 2000), report({ status: "DEGRADED" }, 3000), report({ status: "HOLDING" }, 4000));
    assert.equal(live.phase, "live");
    assert.equal(live.liveSince, 2000);
    const lost = reducePush(live, report({ status: "RECONNECTING" }, 5000));
    assert.equal(lost.phase, "pushing");
    assert.equal(lost.liveFor, 3000);
    assert.equal(reducePush(lost, report({}, 9000)).liveSince, 9000);
  });

  test("an event counts at once, and an older answer does not undo it", () => {
    const lost = play(start, report({}, 2000), event({ status: "RECONNECTING", reason: "peer_closed" }, 3000));
    assert.equal(lost.phase, "pushing");
    assert.equal(lost.push.reason, "peer_closed");
    const late = reducePush(lost, { ...report({ bitrate: 7 }, 3100), push: parsePush(push({ since: 2000, bitrate: 7 })) });
    assert.equal(late.push.status, "RECONNECTING");
    assert.equal(late.push.bitrateKbps, 7);
    assert.equal(reducePush(late, report({}, 4000)).phase, "live");
    assert.equal(reducePush(late, event({ status: "CONNECTING" }, 2500)).push.status, "RECONNECTING");
    assert.equal(play(start, event({}, 1)).push, null); // before it is known what it is about
  });

  test("steps that a phase does not allow change nothing", () => {
    const stopping = play(start, { type: "stop", at: 1 });
    assert.equal(reducePush(stopping, report({}, 2)), stopping);
    assert.equal(reducePush(initialPush, report({}, 2)), initialPush);
  });

  test("endings", () => {
    assert.equal(ending(parsePush(push())), null);
    assert.equal(ending(parsePush(push({ status: "FAILED", reason: "dns" }))).reason, "dns");
    assert.equal(ending(parsePush(push({ status: "ENDED", reason: "" }))).reason, "push_gone");
  });
});

describe("the state of a stream", () => {
  const play = (...types) => types.reduce((state, type) => reduceStream(state, { type, failure: null, silent: true }), initialStream);

  test("moves", () => {
    assert.equal(play("start", "opened", "published").phase, "sending");
    assert.equal(play("start", "opened", "published", "answer").silent, true);
    assert.equal(play("start", "stop").phase, "stopping");
    assert.equal(play("start", "stop", "ended").phase, "idle");
    assert.equal(play("published"), initialStream);
  });

  test("in words", () => {
    const part = (fields, at = 1) => ({ name: "host", state: [{ type: "start" }, { type: "report", push: parsePush(push(fields)), at }].reduce(reducePush, initialPush) });
    const failed = { name: "other", state: reducePush(part().state, { type: "ended", failure: new Failure("dns"), at: 2 }) };
    const stopped = { name: "third", state: reducePush(part().state, { type: "ended", failure: null, at: 2 }) };
    const sending = play("start", "opened", "published");
    const idle = { ...initialStream };
    for (const [stream, parts, phase, title] of [
      [idle, [], "idle", "Ready"],
      [idle, [stopped], "idle", "Stopped"],
      [idle, [failed], "failed", "Not live"],
      [idle, [failed, stopped], "idle", "Stopped"],
      [{ ...idle, failure: new Failure("server_gone") }, [stopped], "failed", "Not live"],
      [play("start"), [], "opening", "Opening camera and microphone"],
      [sending, [part({})], "live", "Live on host"],
      [sending, [part({ status: "CONNECTING" })], "pushing", "Connecting to host"],
      [sending, [part({}, 7), part({}, 5), failed], "live", "Live on 2 of 3 destinations"],
      [sending, [part({}), part({})], "live", "Live on all 2 destinations"],
      [sending, [part({ status: "CONNECTING" }), failed], "pushing", "Connecting to the destinations"],
    ]) {
      const got = summarize(stream, parts);
      assert.deepEqual([got.phase, got.title], [phase, title]);
    }
    assert.equal(summarize(sending, [part({}, 7), part({}, 5)]).liveSince, 5);
    const stopping = { name: "fourth", state: reducePush(part({}).state, { type: "stop", at: 2 }) };
    for (const [parts, phase, title] of [
      [[stopping], "stopping", "Stopping"], // not "Live on", which is what the server said of it last
      [[stopping, stopped], "stopping", "Stopping"], // not "Connecting"
      [[stopping, part({})], "live", "Live on 1 of 2 destinations"],
      [[stopping, part({ status: "CONNECTING" })], "pushing", "Connecting to the destinations"],
    ]) {
      const got = summarize(sending, parts);
      assert.deepEqual([got.phase, got.title], [phase, title]);
    }
    assert.match(summarize({ ...sending, silent: true }, [part({})]).note, /asking again/);
    assert.match(summarize({ ...sending, locked: true }, [part({})]).note, /wants you to sign in again/);
  });
});

describe("events", () => {
  test("go on after lost and silent connections, until the login is refused", async (t) => {
    const { setTimeout: wait } = globalThis;
    t.mock.method(globalThis, "setTimeout", (run, ms) => wait(run, ms / 1000));
    const event = { id: "x", at: "2026-09-01T12:00:00Z", to: "PUBLISHING" };
    const answers = [
      () => new Response(`retry: 2000\nid: r-5\n: heartbeat\n\nid: r-6\nevent: push\ndata: ${JSON.stringify(event)}\n\n`),
      () => Promise.reject(new TypeError("Failed to fetch")),
      ({ signal }) => new Response(new ReadableStream({
        start(controller) {
          controller.enqueue(new TextEncoder().encode("id: r-7\nevent: missed\ndata: {}\n\n"));
          signal.addEventListener("abort", () => controller.error(signal.reason)); // silent from here on
        },
      })),
      () => new Response("", { status: 401 }),
    ];
    const asked = [];
    t.mock.method(globalThis, "fetch", async (url, init) => {
      asked.push(url);
      return answers[asked.length - 1](init);
    });
    const told = [];
    const follower = { event: ({ id, status }) => told.push([id, status]), gap: () => told.push("gap") };
    await followPushes(new Rest(), follower, new AbortController().signal);
    assert.deepEqual(asked, ["", "after=r-6", "after=r-6", "after=r-7"].map((query) => `/rest-api/push/events?${query}`));
    assert.deepEqual(told, ["gap", ["x", "PUBLISHING"], "gap"]);
  });

  test("of pushes", () => {
    const data = { number: 3, id: "x", at: "2026-09-01T12:00:00.123Z", sourceStreamName: "name", target: "rtmp://h/live/***", to: "FAILED", reason: "dns", info: "i", attempt: 2 };
    assert.deepEqual(parseEvent(JSON.stringify(data)), {
      id: "x", at: Date.UTC(2026, 8, 1, 12, 0, 0, 123), sourceName: "name", target: "rtmp://h/live/***", status: "FAILED", reason: "dns", info: "i", attempts: 2,
    });
    for (const bad of ["", "{", "null", "{}", '{"id":"x","at":"yesterday"}']) {
      assert.equal(parseEvent(bad), null, bad);
    }
  });
});

test("health", () => {
  const entries = (seconds, fields = {}, heard = {}) => [
    { type: "outbound-rtp", kind: "video", timestamp: seconds * 1000, bytesSent: seconds * 250_000, packetsSent: seconds * 300, frameWidth: 1280,
      frameHeight: 720, framesPerSecond: 30, qualityLimitationReason: "none", ...fields },
    { type: "outbound-rtp", kind: "audio", bytesSent: seconds * 5000 },
    { type: "remote-inbound-rtp", kind: "video", packetsLost: 0, roundTripTime: 0.02, ...heard },
  ];
  const meter = new HealthMeter();
  assert.deepEqual(meter.read(entries(1)), { width: 1280, height: 720, framesPerSecond: 30, kbps: null, loss: null, roundTripMs: 20, limit: "none" });
  const second = meter.read(entries(2, {}, { packetsLost: 30 }));
  assert.equal(second.kbps, 2040);
  assert.equal(second.loss, 0.1);
  assert.equal(meter.read(entries(3, {}, { packetsLost: 29 })).loss, 0); // one came late
  for (const [at, want] of [[4, "none"], [10, "none"], [15, "cpu"]]) {
    assert.equal(meter.read(entries(at, { qualityLimitationReason: "cpu" })).limit, want);
  }
  assert.equal(meter.read([]), null);
  const bare = meter.read([{ type: "outbound-rtp", kind: "video" }, { type: "candidate-pair", nominated: true, currentRoundTripTime: 0.005 }]);
  assert.deepEqual([bare.roundTripMs, bare.loss, bare.width], [5, null, 0]);
  assert.match(healthAdvice(bare, null), /gets to the server well/);
  assert.match(healthAdvice(null, null), /come in a moment/);
  assert.match(healthAdvice(null, null, false), /^Measured while a stream is sent/);
  assert.match(healthAdvice(bare, "source_no_video"), /sound, but no pictures.*preview/); // what the server misses, no browser counts
});

test("the text of the cover", () => {
  assert.match(coverText("idle", false), /asks for permission.*before you press Start/);
  assert.doesNotMatch(coverText("idle", true), /asks for permission/); // it has asked
  assert.doesNotMatch(coverText("opening", false), /before you press Start/);
  for (const phase of ["publishing", "sending", "stopping"]) {
    assert.equal(coverText(phase, true), "No picture is sent while the camera is off.");
  }
});

test("who asks", async (t) => {
  const rest = new Rest();
  let sent;
  t.mock.method(globalThis, "fetch", async (url, init) => {
    sent = { url, ...init };
    return new Response("[]");
  });
  await rest.ask("/push/find", {});
  assert.deepEqual([sent.url, sent.headers, sent.credentials], ["/rest-api/push/find", { "Content-Type": "application/json" }, "same-origin"]);
  rest.token = "tpk_1";
  await rest.ask("/push/find", {});
  assert.equal(sent.headers.Authorization, "Bearer tpk_1");
  for (const [status, reason] of [[401, "unauthorized"], [403, "forbidden"], [429, "too_many_tries"], [503, "busy"]]) {
    assert.equal(restReason(status), reason);
  }
});

describe("a session", () => {
  test("says what somebody may do", () => {
    const of = (...actions) => parseSession({ kind: "user", name: "anna", actions });
    assert.deepEqual([may(of("read"), "read"), may(of("control"), "read"), may(of("control"), "push"), may(of("admin"), "push"), may(null, "read")],
      [true, true, false, true, false]);
    for (const bad of [null, {}, { kind: 7 }, "text"]) {
      assert.throws(() => parseSession(bad), Failure);
    }
    assert.deepEqual(parseSession({ kind: "local", actions: "all", mode: null }), { kind: "local", name: "", role: "", actions: [], mode: "" });
  });

  test("goes on at a page of this server only", () => {
    const to = (next) => nextPage(`?next=${encodeURIComponent(next)}`, "https://here.example");
    for (const good of ["/", "/access#users", "/rest-api/push/history?limit=3", "/console?a=%5C"]) {
      assert.equal(to(good), good);
    }
    for (const bad of ["", "console", "//evil.example", "/\\evil.example", "\\\\evil.example", "https://evil.example/", "javascript:alert(1)", "/\t/evil.example", "/\n//evil.example",
      " /x", "/login", "/login?next=/x", "/a/../login", "/\u0000", "data:text/html,x", "/..//evil.example"]) {
      const got = to(bad);
      assert.ok(got === "/console" || new URL(got, "https://here.example").origin === "https://here.example", bad);
      assert.notEqual(new URL(got, "https://here.example").pathname, "/login", bad);
    }
    assert.equal(nextPage("", "https://here.example"), "/console");
  });
});

test("a ticket is renewed until it is released", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const rest = new Rest();
  let asked = 0;
  let answers = true;
  t.mock.method(rest, "ask", async (path, { until, ...body }) => {
    asked++;
    assert.ok(until > Date.now() + 7 * 86_400_000); // else the stream would end with its first token where the settings want that
    assert.deepEqual([path, body], ["/token/create", { grants: [{ actions: ["publish"], streams: ["cam"] }], expiresIn: 600, subject: "studio" }]);
    if (!answers) {
      throw new Failure("server_gone");
    }
    return { token: `t-${asked}` };
  });
  const pass = async (ms) => {
    t.mock.timers.tick(ms);
    for (let i = 0; i < 10; i++) {
      await Promise.resolve();
    }
  };
  const ticket = await askTicket(rest, "cam", "studio");
  const shown = () => ticket.headers().Authorization;
  assert.equal(shown(), "Bearer t-1");
  await pass(479_000);
  assert.equal(shown(), "Bearer t-1");
  await pass(1000);
  assert.equal(shown(), "Bearer t-2");
  answers = false;
  await pass(480_000);
  assert.equal(shown(), "Bearer t-2"); // the last one is good for two more minutes
  answers = true;
  await pass(30_000);
  assert.equal(shown(), "Bearer t-4");
  ticket.release();
  await pass(3_600_000);
  assert.equal(asked, 4);
  t.mock.method(rest, "ask", async () => ({}));
  await assert.rejects(askTicket(rest, "cam", ""), { reason: "server_error" });
});

describe("access", () => {
  const values = (texts, lists = {}) => new Values(new Map(Object.entries(texts)), new Map(Object.entries(lists)));

  test("answers with fields missing or of another type", () => {
    for (const parse of [parseApp, parseAudit, parseDestination, parseKey, parseLogin, parsePreset, parseRevocation, parseUser]) {
      for (const bad of [null, "text", [], {}, { name: 7, streams: "x", grants: [null, 7], who: "me", at: "yesterday", methods: {} }]) {
        assert.doesNotThrow(() => parse(bad), `${parse.name} of ${JSON.stringify(bad)}`);
      }
    }
    assert.deepEqual(parseAudit({ id: 7, at: "2026-09-01T12:00:00Z", who: { kind: "token", sub: "user-17" }, do: "push", stream: "a", target: "destination://b", ok: false, count: 3 }), {
      id: "7", at: Date.UTC(2026, 8, 1, 12), who: "user-17", kind: "token", from: "", via: "", origin: "", action: "push", object: "a, destination://b", ok: false, why: "", count: 3,
    });
    assert.deepEqual(parseRevocation({ kid: "k1", before: 5 }), { kind: "kid", id: "k1", before: 5, by: "" });
  });

  test("the grants of a key", () => {
    const none = { destinations: [], urls: [] };
    for (const [texts, lists, want] of [
      [{}, { actions: ["publish"] }, [{ actions: ["publish"], streams: ["*"], ...none }]],
      [{ streams: "a, b*" }, { actions: ["publish", "play"] }, [{ actions: ["publish", "play"], streams: ["a", "b*"], ...none }]],
      [{ stream: "lobby", streams: "x" }, { actions: ["publish"] }, [{ actions: ["publish"], streams: ["lobby"], ...none }]],
      [{ stream: "lobby", urls: "rtmp://h/*" }, { actions: ["publish", "push"], destinations: ["d"] },
        [{ actions: ["publish"], streams: ["lobby"], ...none }, { actions: ["push"], streams: ["*"], destinations: ["d"], urls: ["rtmp://h/*"] }]],
      [{ stream: "" }, { actions: [] }, []],
    ]) {
      assert.deepEqual(keyGrants(values(texts, lists)), want);
    }
    assert.equal(keyUntil(values({ days: "0" }), 1000), 0);
    assert.equal(keyUntil(values({ days: "1" }), 1000), 86_401_000);
    assert.equal(grantWords([]), "nothing");
    assert.equal(grantWords([{ actions: ["admin"], streams: ["*"], ...none }]), "do everything with all streams");
    assert.equal(grantWords([{ actions: ["push"], streams: ["a"], destinations: ["*"], urls: [] }]), "push a to anywhere");
  });

  test("a destination", () => {
    const platforms = [{ id: "youtube", label: "YouTube", address: "rtmps://a/live2", backup: "rtmps://b/live2?backup=1", keyUrl: "" }, { id: "kick", label: "Kick", address: "", backup: "", keyUrl: "" }];
    const usual = { name: "n", streams: ["*"], rtmpTransponderFullUrl: true };
    for (const [texts, want] of [
      [{ platform: "youtube", key: " k " }, { ...usual, rtmpUrl: "rtmps://a/live2/k", preset: "youtube" }],
      [{ platform: "youtube/backup", key: "k" }, { ...usual, rtmpUrl: "rtmps://b/live2?backup=1/k", preset: "youtube" }],
      [{ platform: "kick", address: "rtmps://c/app/", key: "k" }, { ...usual, rtmpUrl: "rtmps://c/app/k", preset: "kick" }],
      [{ platform: "kick", address: "rtmps://c/app/k" }, { ...usual, rtmpUrl: "rtmps://c/app/k", preset: "kick" }],
      [{ platform: "keep", streams: "a b" }, { name: "n", streams: ["a", "b"] }],
    ]) {
      assert.deepEqual(writtenDestination(values(texts), "n", platforms), want);
    }
  });

  test("browsers by their names", () => {
    for (const [agent, name] of [
      ["Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/148.0.0.0 Safari/537.36 Edg/148.0.0.0", "Edge on Windows"],
      ["Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Mobile/15E148 Safari/604.1", "Safari on iPhone"],
      ["Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox on Linux"], ["curl/8.5.0", "curl/8.5.0"], ["", ""],
    ]) {
      assert.equal(browserName(agent), name);
    }
  });
});

test("a name in a sentence", () => {
  for (const [name, shown] of [["morning-show", "morning-show"], ["\u202eevil", "\ufffdevil"], ["a\u2069b", "a\ufffdb"], ["\u05d0\u05d1", "\u2068\u05d0\u05d1\u2069"]]) {
    assert.equal(inSentence(name), shown);
  }
});

describe("the server's answers", () => {
  test("a push with fields missing or of another type", () => {
    const got = parsePush({ mediaSessionId: "x", bitrate: "fast", width: null, videoFramesSent: Infinity });
    assert.deepEqual([got.id, got.bitrateKbps, got.width, got.videoFrames, got.status], ["x", null, 0, null, ""]);
    for (const bad of [null, undefined, [], "text", {}, { mediaSessionId: 7 }]) {
      assert.throws(() => parsePush(bad), Failure);
    }
  });

  test("settings", () => {
    assert.deepEqual(parseConfig({ version: "2", rtmpPort: 0, httpsPort: 443 }),
      { version: "2", rtmpPort: 0, httpsPort: 443 });
    assert.equal(parseConfig({ namePrefix: "live_" }).namePrefix, "live_");
    assert.deepEqual(parseConfig(null), { version: "", rtmpPort: 1935, httpsPort: 8444 });
  });

  test("statuses become reasons", async (t) => {
    const client = new PushClient(new Rest());
    for (const [status, body, reason, detail] of [
      [400, JSON.stringify({ message: "rtmpUrl: the host does not resolve" }), "bad_request", "rtmpUrl: the host does not resolve"],
      [404, "{}", "not_found", "404 Not Found"],
      [409, "taken", "conflict", "taken"],
      [401, "", "unauthorized", "401 Unauthorized"],
      [403, JSON.stringify({ message: "push needs a grant" }), "forbidden", "push needs a grant"],
      [429, "", "too_many_tries", "429 Too Many Requests"],
      [500, "<html>boom</html>", "server_error", "500 Internal Server Error"],
      [501, JSON.stringify({ message: "not supported" }), "unsupported", "not supported"],
      [503, "", "busy", "503 Service Unavailable"],
      [200, "not JSON", "server_error", "the answer is not JSON"],
      [200, "", "server_error", "the answer is not JSON"],
    ]) {
      const statusText = { 401: "Unauthorized", 404: "Not Found", 429: "Too Many Requests", 500: "Internal Server Error", 503: "Service Unavailable" }[status];
      t.mock.method(globalThis, "fetch", async () => new Response(body, { status, statusText }));
      await assert.rejects(client.startup({}), { reason, detail });
    }
    t.mock.method(globalThis, "fetch", async () => Promise.reject(new TypeError("Failed to fetch")));
    await assert.rejects(client.find({}), { reason: "server_gone" });
    t.mock.method(globalThis, "fetch", async () => new Response(""));
    await client.mute("x", true);
    await client.soundOn("x", "x.wav", false);
  });
});

test("H.264 comes first, plain profiles of packetization mode 1 before the others", () => {
  const codec = (mimeType, sdpFmtpLine) => ({ mimeType, sdpFmtpLine });
  const vp8 = codec("video/VP8");
  const rtx = codec("video/rtx");
  const high = codec("video/H264", "packetization-mode=1;profile-level-id=640034");
  const single = codec("video/H264", "packetization-mode=0;profile-level-id=42e01f");
  const plain = codec("video/H264", "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f");
  assert.deepEqual(preferH264([vp8, rtx, high, single, plain]), [plain, high, single, vp8, rtx]);
});

test("loudness", () => {
  assert.equal(level(new Float32Array(1024)), 0);
  assert.equal(level(new Float32Array(1024).fill(1)), 1);
  assert.ok(Math.abs(level(new Float32Array(1024).fill(0.0316)) - 0.5) < 0.01); // -30 dB of 60
  assert.equal(level(new Float32Array(0)), 0);
});

test("charts", () => {
  assert.deepEqual(paths([], 10), { line: "", area: "" });
  assert.equal(paths([10], 10).line, "M120.0 1.0h0");
  const { line, area } = paths([...Array(27).fill(null), 0, 5, null, 10], 10);
  assert.equal(line, "M108.0 31.0L112.0 16.0M120.0 1.0h0");
  assert.equal(area, "M108.0 32L108.0 31.0L112.0 16.0L112.0 32ZM120.0 32L120.0 1.0L120.0 32Z");
  const long = paths(Array(150).fill(3), 10).line;
  assert.match(long, /^M0\.0 /);
  const series = new Series(3);
  for (const value of [9, 1, null, 2]) {
    series.push(value);
  }
  assert.deepEqual(series.values, [1, null, 2]);
  assert.equal(series.max, 2);
});

test("moments", () => {
  const now = new Date(2026, 10, 23, 12, 0, 0).getTime();
  assert.equal(format.moment(new Date(2026, 10, 23, 9, 5, 7).getTime(), now), "09:05:07");
  assert.equal(format.moment(new Date(2026, 10, 22, 23, 5, 7).getTime(), now), "22 Nov, 23:05:07");
});
