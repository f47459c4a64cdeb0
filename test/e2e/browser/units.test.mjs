// The parts of the page that need no browser. `npm test` compiles them to .build first.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { addressProblem, hostOf, nameProblem, playCommand, pushRequest, randomName } from "./.build/address.js";
import { Failure, pageReasons, pushFailure, pushReasons } from "./.build/failure.js";
import * as format from "./.build/format.js";
import { level } from "./.build/level-meter.js";
import { parseConfig } from "./.build/config.js";
import { parsePush, PushClient } from "./.build/push-client.js";
import { preferH264 } from "./.build/publisher.js";
import { ending, initial, reduce } from "./.build/state.js";
import { explain, pushWords } from "./.build/words.js";
import { push } from "./lib/mock-server.mjs";

const server = (address) => ({ address, platform: false, key: "" });
const platform = (address, key) => ({ address, platform: true, key });

describe("address", () => {
  test("names", () => {
    for (const good of ["a", "calm-river-101", "A.b_c~d", "x".repeat(100)]) {
      assert.equal(nameProblem(good), "", good);
    }
    for (const bad of ["", "two words", "a/b", "ü", "a?b", "x".repeat(101), "<b>"]) {
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

  test("hosts hide what may be secret", () => {
    assert.equal(hostOf("rtmp://user:secret@Host:1936/app/key?token=t"), "host:1936");
    assert.equal(hostOf("nonsense"), "the server");
  });
});

describe("words", () => {
  test("every reason has a sentence, and says what to do", () => {
    for (const reason of [...pushReasons, ...pageReasons]) {
      const { title, advice } = explain(new Failure(reason));
      assert.match(title, /^[A-Z].*\.$/, reason);
      assert.match(advice, /^[A-Z].*\.$/, reason);
    }
  });

  test("a reason that is new to the page keeps the server's words", () => {
    const failure = pushFailure("moon_phase", "The moon is full.");
    assert.equal(failure.reason, "push_failed");
    assert.equal(failure.detail, "The moon is full.");
    assert.equal(pushFailure("moon_phase", "").detail, "moon_phase");
  });

  test("states", () => {
    for (const status of ["STARTING", "CONNECTING", "PUBLISHING", "DEGRADED", "HOLDING", "RECONNECTING", "DRAINING", "ENDED", "FAILED"]) {
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

describe("state", () => {
  const report = (fields, at) => ({ type: "report", push: parsePush(push(fields)), at });
  const play = (...events) => events.reduce(reduce, initial);
  const pushing = [{ type: "start" }, { type: "opened" }, { type: "published" }];

  test("a broadcast from start to stop", () => {
    const live = play(...pushing, report({ status: "CONNECTING" }, 1000), report({}, 2000), report({}, 9000));
    assert.equal(live.phase, "live");
    assert.equal(live.liveSince, 2000);
    const over = play(...pushing, report({}, 2000), { type: "stop", at: 5000 }, { type: "ended", failure: null, at: 6000 });
    assert.equal(over.phase, "idle");
    assert.equal(over.liveFor, 3000);
    assert.equal(over.failure, null);
  });

  test("a push that fails while live", () => {
    const failure = new Failure("peer_closed");
    const state = play(...pushing, report({}, 2000), report({ status: "FAILED" }, 4000), { type: "ended", failure, at: 5000 });
    assert.equal(state.phase, "idle");
    assert.equal(state.liveFor, 2000);
    assert.equal(state.failure, failure);
    assert.equal(reduce(state, { type: "start" }).failure, null);
  });

  test("a push that is not well is live, one that connects anew is not", () => {
    const live = play(...pushing, report({}, 2000), report({ status: "DEGRADED" }, 3000), report({ status: "HOLDING" }, 4000));
    assert.equal(live.phase, "live");
    assert.equal(live.liveSince, 2000);
    const lost = reduce(live, report({ status: "RECONNECTING" }, 5000));
    assert.equal(lost.phase, "pushing");
    assert.equal(lost.liveFor, 3000);
    assert.equal(reduce(lost, report({}, 9000)).liveSince, 9000);
  });

  test("silence shows until the next report", () => {
    const silent = play(...pushing, report({}, 1), { type: "silence" });
    assert.equal(silent.phase, "live");
    assert.equal(silent.silent, true);
    assert.equal(reduce(silent, report({}, 2)).silent, false);
  });

  test("what cannot happen changes nothing", () => {
    assert.equal(reduce(initial, { type: "published" }), initial);
    const stopping = play(...pushing, { type: "stop", at: 1 });
    assert.equal(reduce(stopping, report({}, 2)), stopping);
  });

  test("endings", () => {
    assert.equal(ending(parsePush(push())), null);
    assert.equal(ending(parsePush(push({ status: "FAILED", reason: "dns" }))).reason, "dns");
    assert.equal(ending(parsePush(push({ status: "ENDED", reason: "" }))).reason, "push_gone");
  });
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
    assert.deepEqual(parseConfig({ version: "2", rtmpPort: 0, httpsPort: 443 }), { version: "2", rtmpPort: 0, httpsPort: 443 });
    assert.deepEqual(parseConfig(null), { version: "", rtmpPort: 1935, httpsPort: 8444 });
  });

  test("statuses become reasons", async (t) => {
    const { signal } = new AbortController();
    for (const [status, body, reason, detail] of [
      [400, JSON.stringify({ message: "rtmpUrl: the host does not resolve" }), "bad_request", "rtmpUrl: the host does not resolve"],
      [404, "{}", "stream_missing", "404 Not Found"],
      [409, "taken", "already_pushed", "taken"],
      [401, "", "unauthorized", "401 Unauthorized"],
      [500, "<html>boom</html>", "server_error", "500 Internal Server Error"],
      [501, JSON.stringify({ message: "not supported" }), "unsupported_request", "not supported"],
      [503, "", "server_busy", "503 Service Unavailable"],
      [200, "not JSON", "server_error", "the answer is not JSON"],
    ]) {
      const statusText = { 401: "Unauthorized", 404: "Not Found", 500: "Internal Server Error", 503: "Service Unavailable" }[status];
      t.mock.method(globalThis, "fetch", async () => new Response(body, { status, statusText }));
      await assert.rejects(new PushClient().startup({}, signal), { reason, detail });
    }
    t.mock.method(globalThis, "fetch", async () => Promise.reject(new TypeError("Failed to fetch")));
    await assert.rejects(new PushClient().find("x", signal), { reason: "server_gone" });
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
