// The parts of the pages that need no browser. `npm test` compiles them to .build/web first.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { parseApp, parseAudit, parseDestination, parseKey, parseLogin, parsePreset, parseRevocation, parseUser } from "./.build/web/pages/access-client.js";
import { keyGrants, keyUntil, writtenDestination } from "./.build/web/pages/access-forms.js";
import { browserName, grantWords } from "./.build/web/pages/access-lists.js";
import { addressProblem, destinationOf, destinationProblems, hostOf, nameOf, nameProblem, playCommand, pushRequest, randomName, shownTarget } from "./.build/web/pages/address.js";
import { Failure, pageReasons, pushFailure, pushReasons, sdkReasons } from "./.build/web/pages/failure.js";
import * as format from "./.build/web/pages/format.js";
import { inSentence } from "./.build/web/pages/format.js";
import { wrap } from "./.build/web/pages/card.js";
import { loudness, PeakHold, place } from "./.build/web/pages/level-meter.js";
import { MixerClock } from "./.build/web/pages/mixer-clock.js";
import { areas, compose, excess, fit } from "./.build/web/pages/scene.js";
import { parseConfig } from "./.build/web/pages/config.js";
import { parsePush, PushClient } from "./.build/web/pages/push-client.js";
import { iceServersIn } from "./.build/web/pages/ice-servers.js";
import { preferH264, withCredentials, withStereo } from "./.build/web/pages/publisher.js";
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
import { Broadcast } from "./.build/web/pages/broadcast.js";
import { Watchdog } from "./.build/web/pages/warnings.js";
import { pick, shrink, sourceOf } from "./.build/web/pages/picture-probe.js";
import { Uplink } from "./.build/web/pages/uplink.js";
import { consoleWords, coverText, destinationWords, explain, healthAdvice, pushWords } from "./.build/web/pages/words.js";
import { push } from "./lib/mock-server.mjs";

const server = (address) => ({ kind: "server", address, key: "" });
const platform = (address, key) => ({ kind: "custom", address, key });

test("ICE servers in the headers Link", () => {
  const turn = '<turns:turn.example.com:443?transport=tcp>; rel="ice-server"; username="1:a"; credential="a,b;\\"c\\\\"; credential-type="password"';
  const server = { urls: "turns:turn.example.com:443?transport=tcp", username: "1:a", credential: 'a,b;"c\\' };
  for (const [links, want] of [
    ["", []],
    ["nonsense; rel=ice-server", []],
    ['<stun:stun.example.com>; rel="ice-server"', [{ urls: "stun:stun.example.com" }]],
    ["<stun:stun.example.com>;rel=ice-server", [{ urls: "stun:stun.example.com" }]],
    [turn, [server]],
    [`</whep/a/1/events>; rel="urn:ietf:params:whep:ext:core:server-sent-events"; events="active,inactive", ${turn}, <stun:b>; rel="ice-server"`,
      [server, { urls: "stun:b" }]],
  ]) {
    assert.deepEqual(iceServersIn(links), want, links);
  }
});

describe("address", () => {
  test("names", () => {
    for (const good of ["a", "calm-river-101", "A.b_c~d", "x".repeat(100), "ü", "утро", "直播", "مباشر", "अभी-१", "播".repeat(66)]) {
      assert.equal(nameProblem(good), "", good);
    }
    for (const bad of ["", "two words", "a/b", "a?b", "ä:ö", ".", "..", "x".repeat(101), "<b>", "播".repeat(67), "a\u202Eb", "утро!"]) {
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

  test("of a push that the server has", () => {
    for (const to of [{ kind: "named", address: "main", key: "" }, { kind: "youtube", address: "", key: "ab-cd" },
      { kind: "facebook", address: "", key: "FB-1?s=2" }, { kind: "twitch", address: "", key: "live_1" },
      platform("rtmps://host/app", "abc"), platform("rtmp://h/app?x=1", "KEY?y=2")]) {
      const { rtmpUrl } = pushRequest("n", to);
      assert.deepEqual(destinationOf({ rtmpUrl, secretName: true, streamName: to.key }), to);
    }
    const own = "rtmp://localhost:1935/live";
    assert.deepEqual(destinationOf({ rtmpUrl: own, secretName: false, streamName: "rtmp_n" }), server(own));
    assert.deepEqual(destinationOf({ rtmpUrl: "rtmp://h/app/***", secretName: true, streamName: "***" }), platform("rtmp://h/app", "***"));
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
    assert.equal(play("start", "opened", "published", "away").phase, "returning");
    assert.equal(play("start", "opened", "published", "away", "answer", "back").phase, "sending");
    assert.equal(play("start", "opened", "published", "away", "stop").phase, "stopping");
    assert.equal(play("wait", "start", "opened", "wait").phase, "waiting");
    assert.equal(play("wait", "stop", "ended").phase, "idle");
    assert.equal(play("start", "away").phase, "opening");
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
      [play("start", "opened", "published", "away"), [part({})], "returning", "Reconnecting to this server"],
      [play("wait"), [part({ status: "HOLDING" })], "waiting", "Your show is interrupted"],
      [{ ...play("wait"), failure: new Failure("busy") }, [part({ status: "HOLDING" })], "failed", "Your show is interrupted"],
      [sending, [part({})], "live", "Live on host"],
      [{ ...sending, silent: true }, [part({})], "unsure", "No answer from this server"],
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
    const away = play("start", "opened", "published", "away");
    assert.match(summarize(away, [part({})]).note, /by itself\. Viewers see a still picture/);
    for (const unknown of [{ ...away, silent: true }, { ...away, away: new Failure("server_gone") }]) {
      assert.match(summarize(unknown, [part({})]).note, /If the server still runs, viewers see/);
    }
    assert.match(summarize({ ...sending, locked: true }, [part({})]).note, /wants you to sign in again/);
  });
});

/** Lets time pass, a little at a time, and everything that waits for it go on. */
async function pass(t, ms) {
  for (let left = ms; left > 0; left -= 50) {
    t.mock.timers.tick(Math.min(left, 50));
    for (let i = 0; i < 40; i++) {
      await Promise.resolve();
    }
  }
}

describe("the way to the server", () => {
  /** An uplink whose connections are made by a test. known: whether the server knows the session, or an error. */
  async function open(t, { connect = () => null, ticket = () => ({ headers: () => ({}), release: () => undefined }) } = {}) {
    t.mock.timers.enable({ apis: ["setTimeout", "Date"] });
    const all = { made: [], away: [], known: true, restart: null, tickets: 0 };
    const aborter = new AbortController();
    all.uplink = new Uplink({
      name: "test", stream: { getTracks: () => [] }, maxBitrateKbps: 1, onAway: (why) => all.away.push(why?.reason ?? "back"),
      ticket: async () => ticket(++all.tickets),
    }, async ({ onChange }) => {
      const failure = connect(all.made.length);
      all.made.push({
        connected: true, over: false, onChange, closed: 0, at: Date.now(),
        async isKnown() {
          if (all.known instanceof Failure) {
            throw all.known;
          }
          return all.known;
        },
        async restartIce() {
          this.restarts = (this.restarts ?? 0) + 1;
          if (all.restart) {
            throw all.restart;
          }
          this.connected = true;
        },
        drop() {},
        async close() {
          this.closed++;
        },
      });
      if (failure) {
        throw failure;
      }
      all.known = true;
      return all.made.at(-1);
    });
    await all.uplink.open(aborter.signal);
    all.kept = all.uplink.keep(aborter.signal).catch((error) => error);
    all.stop = () => aborter.abort(new Failure("bad_request"));
    t.after(all.stop);
    all.pass = (ms) => pass(t, ms);
    return all;
  }

  test("nothing happens while all is well, or while REST alone is away", async (t) => {
    const all = await open(t);
    all.uplink.doubt();
    await all.pass(100);
    all.known = new Failure("server_gone");
    all.uplink.doubt();
    await all.pass(10_000);
    assert.deepEqual([all.away, all.made.length], [[], 1]);
  });

  test("a server that is away is asked again after pauses that grow to two seconds", async (t) => {
    let gone = true;
    const all = await open(t, { connect: (n) => (n > 0 && gone ? new Failure("server_gone") : null) });
    Object.assign(all.made[0], { connected: false, over: true });
    all.made[0].onChange();
    await all.pass(30_000);
    const pauses = all.made.slice(2).map(({ at }, i) => at - all.made[i + 1].at);
    assert.ok(pauses[0] >= 300 && pauses[0] <= 600, `first ${pauses[0]}`);
    assert.ok(pauses.length >= 14 && pauses.every((ms) => ms <= 2050) && pauses.at(-1) >= 1300, pauses.join());
    gone = false;
    await all.pass(2050);
    assert.equal(all.away.at(-1), "back");
    assert.equal(all.tickets, 1);
  });

  test("it is asked at once when the network is back", async (t) => {
    let gone = true;
    const all = await open(t, { connect: (n) => (n > 0 && gone ? new Failure("server_gone") : null) });
    Object.assign(all.made[0], { connected: false, over: true });
    all.made[0].onChange();
    await all.pass(20_000);
    gone = false;
    all.uplink.doubt();
    await all.pass(50);
    assert.equal(all.away.at(-1), "back");
  });

  test("another network: ICE restarts, and only if that fails there is another connection", async (t) => {
    const all = await open(t);
    all.made[0].connected = false;
    all.made[0].onChange();
    await all.pass(50);
    assert.deepEqual([all.away, all.made.length, all.made[0].restarts], [["disconnected", "back"], 1, 1]);
    all.restart = new Failure("ice_failed");
    all.made[0].connected = false;
    all.made[0].onChange();
    await all.pass(50);
    assert.deepEqual([all.away.at(-1), all.made.length, all.made[0].restarts], ["back", 2, 2]);
  });

  test("another network, of which the connection does not know yet: ICE restarts at once, until that succeeds", async (t) => {
    const all = await open(t, { connect: (n) => (n > 0 ? new Failure("server_gone") : null) });
    all.uplink.doubt(true);
    await all.pass(50);
    assert.deepEqual([all.away, all.made.length, all.made[0].restarts], [["disconnected", "back"], 1, 1]);
    all.uplink.doubt();
    await all.pass(50);
    assert.equal(all.made[0].restarts, 1, "the connection has followed");
    all.restart = new Failure("server_gone");
    all.uplink.doubt(true);
    await all.pass(50);
    assert.deepEqual([all.away.at(-1), all.made[0].restarts], ["server_gone", 2]);
    all.restart = null;
    await all.pass(1000);
    assert.deepEqual([all.away.at(-1), all.made[0].restarts], ["back", 3]);
  });

  test("a session that the server does not know is begun anew", async (t) => {
    const all = await open(t);
    all.known = false;
    all.uplink.doubt();
    await all.pass(50);
    assert.deepEqual([all.away, all.made.length, all.made[0].restarts], [["disconnected", "back"], 2, undefined]);
  });

  test("an old connection of ours is ended; somebody else is left alone", async (t) => {
    let taken = 1;
    const all = await open(t, { connect: (n) => (n > 0 && taken-- > 0 ? new Failure("name_in_use") : null) });
    all.known = false;
    all.uplink.doubt();
    await all.pass(1000);
    assert.deepEqual([all.away.at(-1), all.made.length, all.made[0].closed], ["back", 3, 1]);
    taken = Infinity;
    all.known = false;
    all.uplink.doubt();
    await all.pass(5000);
    assert.equal((await all.kept).reason, "name_in_use");
    assert.equal(all.made.length, 6);
  });

  test("a token that no longer counts is replaced; without a login it is over", async (t) => {
    let refused = 1;
    let login = true;
    const all = await open(t, {
      connect: (n) => (n > 0 && refused-- > 0 ? new Failure("token_needed") : null),
      ticket: () => {
        if (!login) {
          throw new Failure("unauthorized");
        }
        return { headers: () => ({}), release: () => undefined };
      },
    });
    all.known = false;
    all.uplink.doubt();
    await all.pass(1000);
    assert.deepEqual([all.away.at(-1), all.tickets], ["back", 2]);
    refused = 1;
    login = false;
    all.known = false;
    all.uplink.doubt();
    await all.pass(1000);
    assert.equal((await all.kept).reason, "unauthorized");
  });

  test("a server that ends each new connection at once is not asked for ever", async (t) => {
    const all = await open(t);
    const end = async (ms) => {
      await all.pass(ms);
      Object.assign(all.made.at(-1), { connected: false, over: true });
      all.made.at(-1).onChange();
      await all.pass(50);
    };
    await end(1000);
    await end(1000);
    await end(11_000); // that one had held
    assert.equal(all.away.at(-1), "back");
    await end(1000);
    await end(1000);
    assert.equal(all.made.length, 6);
    await end(1000);
    assert.equal((await all.kept).reason, "disconnected");
    assert.equal(all.made.length, 6);
  });

  test("credentials of ICE", () => {
    const sdp = "v=0\r\na=ice-ufrag:old\r\na=ice-pwd:older\r\nm=video\r\na=ice-ufrag:old\r\na=ice-pwd:older\r\n";
    assert.equal(withCredentials(sdp, "a=ice-ufrag:n$&w\r\na=ice-pwd:newer\r\na=candidate:1\r\n"),
      "v=0\r\na=ice-ufrag:n$&w\r\na=ice-pwd:newer\r\nm=video\r\na=ice-ufrag:n$&w\r\na=ice-pwd:newer\r\n");
  });

  test("stereo is wished for Opus alone", () => {
    const sdp = "m=audio\r\na=rtpmap:111 opus/48000/2\r\na=fmtp:111 minptime=10;useinbandfec=1\r\na=rtpmap:102 H264/90000\r\na=fmtp:102 packetization-mode=1\r\n";
    assert.equal(withStereo(sdp), sdp.replace("useinbandfec=1", "useinbandfec=1;stereo=1;maxaveragebitrate=128000"));
    assert.equal(withStereo("m=video\r\n"), "m=video\r\n");
  });
});

describe("a broadcast", () => {
  /** A live broadcast. find answers the server's pushes; a test may change it. */
  async function live(t) {
    t.mock.timers.enable({ apis: ["setTimeout", "Date"] });
    const one = push({ sourceStreamName: "test" });
    const all = { states: [], restarts: 0, status: "PUBLISHING", find: async () => [parsePush({ ...one, status: all.status })] };
    const client = { startup: async () => parsePush(one), find: () => all.find(), terminate: async () => undefined };
    const publisher = {
      connected: true, over: false, replaceTrack: async () => undefined, isKnown: async () => true, close: async () => undefined, restartIce: async () => void all.restarts++,
    };
    const broadcast = new Broadcast(client, async () => undefined, { stream: (state) => all.states.push(state), push: () => undefined, found: () => 0 }, async () => publisher);
    broadcast.start({
      open: async () => ({ getTracks: () => [] }), name: "test", maxBitrateKbps: 1, ticket: async () => ({ headers: () => ({}), release: () => undefined }),
      pushes: new Map([[1, { streamName: "test", rtmpUrl: "rtmp://host/live" }]]),
    });
    t.after(() => broadcast.abandon());
    await pass(t, 5000);
    all.told = () => [all.states.at(-1).phase, all.states.at(-1).silent, all.states.at(-1).locked];
    assert.deepEqual(all.told(), ["sending", false, false]);
    return all;
  }

  test("says within three seconds that the server does not answer", async (t) => {
    const all = await live(t);
    const { find } = all;
    all.find = () => new Promise(() => undefined); // a network that swallows everything
    await pass(t, 3000);
    assert.deepEqual(all.told(), ["sending", true, false], "the stream itself may get through");
    all.find = find;
  });

  test("restarts ICE once when the server says that it lacks the stream, as after a change of the network that nobody has told", async (t) => {
    const all = await live(t);
    for (const round of [1, 2]) {
      all.status = "HOLDING";
      await pass(t, 20_000);
      assert.equal(all.restarts, round);
      assert.deepEqual(all.told(), ["sending", false, false]);
      all.status = "PUBLISHING";
      await pass(t, 5000);
      assert.equal(all.restarts, round);
    }
  });

  test("does not take a server that waits for a login for one that is silent", async (t) => {
    const all = await live(t);
    all.find = async () => {
      throw new Failure("unauthorized");
    };
    await pass(t, 20_000);
    assert.deepEqual(all.told(), ["sending", false, true]);
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
  assert.deepEqual(meter.read(entries(1)), { width: 1280, height: 720, framesPerSecond: 30, kbps: null, loss: null, roundTripMs: 20, availableKbps: null, limit: "none" });
  const second = meter.read(entries(2, {}, { packetsLost: 30 }));
  assert.equal(second.kbps, 2040);
  assert.equal(second.loss, 0.1);
  assert.equal(meter.read(entries(3, {}, { packetsLost: 29 })).loss, 0); // one came late
  for (const [at, want] of [[4, "none"], [10, "none"], [15, "cpu"]]) {
    assert.equal(meter.read(entries(at, { qualityLimitationReason: "cpu" })).limit, want);
  }
  assert.equal(meter.read([]), null);
  const bare = meter.read([{ type: "outbound-rtp", kind: "video" }, { type: "candidate-pair", nominated: true, currentRoundTripTime: 0.005,
    availableOutgoingBitrate: 900_000 }]);
  assert.deepEqual([bare.roundTripMs, bare.loss, bare.width, bare.availableKbps], [5, null, 0, 900]);
  assert.match(healthAdvice(second, null), /is lost on its way/);
  assert.match(healthAdvice({ ...second, loss: 0 }, null), /gets to the server well/);
  assert.match(healthAdvice(bare, null), /is not known yet/); // nothing was counted
  assert.match(healthAdvice(null, null), /come in a moment/);
  assert.match(healthAdvice(null, null, false), /^Measured while a stream is sent/);
  assert.match(healthAdvice(bare, "source_no_video"), /sound, but no pictures.*preview/); // what the server misses, no browser counts
});

describe("what a browser does not tell of the health", () => {
  const sent = (seconds, fields = {}) => ({ type: "outbound-rtp", kind: "video", timestamp: seconds * 1000, bytesSent: seconds * 1000, packetsSent: seconds * 100, ...fields });
  const heard = (packetsLost) => ({ type: "remote-inbound-rtp", kind: "video", packetsLost });

  for (const [name, readings, wanted] of [
    ["no reason for a worse picture", [[sent(1), heard(0)], [sent(2), heard(0)]], { limit: null, loss: 0, kbps: 8 }],
    ["no bytes", [[sent(1, { bytesSent: undefined })], [sent(2, { bytesSent: undefined })]], { kbps: null }],
    ["no bytes at first", [[sent(1, { bytesSent: undefined })], [sent(2)]], { kbps: null }],
    ["no packets at first", [[sent(1, { packetsSent: undefined }), heard(0)], [sent(2), heard(0)]], { loss: null }],
    ["nothing of the far end at first: its first report is about all packets so far", [[sent(1)], [sent(2), heard(50)]], { loss: 0.25 }],
    ["then it counts what is new", [[sent(1)], [sent(2), heard(50)], [sent(3), heard(60)]], { loss: 0.1 }],
  ]) {
    test(name, () => {
      const meter = new HealthMeter();
      const now = readings.map((reading) => meter.read(reading)).at(-1);
      for (const [field, value] of Object.entries(wanted)) {
        assert.equal(now[field], value, field);
      }
    });
  }
});

describe("warnings", () => {
  const health = (fields = {}) => ({ width: 1280, height: 720, framesPerSecond: 30, kbps: 2000, loss: 0, roundTripMs: 20, availableKbps: null, limit: "none", ...fields });
  const live = (fields = {}) => ({ name: "YouTube", state: [{ type: "start" }, { type: "report", push: parsePush(push(fields)), at: 1 }].reduce(reducePush, initialPush) });
  const well = { picture: { brightest: 200, changed: true }, screen: { brightest: 200, changed: false }, peak: 0.3, muted: false, health: health(), wantedKbps: 2500, missing: null, destinations: [live()] };

  /** The codes after each second, for so many seconds each. */
  function watch(...spans) {
    const dog = new Watchdog();
    let at = 1_000_000;
    let shown = [];
    const codes = spans.map(([seconds, fields]) => {
      for (let i = 0; i < seconds; i++) {
        shown = dog.read({ ...well, ...fields, at: (at += 1000) });
      }
      return shown.map(({ code }) => code);
    });
    return { codes, shown };
  }

  test("there are none while all is well", () => {
    assert.deepEqual(watch([60, {}]).codes, [[]]);
    assert.deepEqual(watch([60, { picture: null, screen: null, peak: null, health: null }]).codes, [[]]);
  });

  for (const [name, fields, after, code, words] of [
    ["the picture stands still", { picture: { brightest: 200, changed: false } }, 5, "still", /stands still/],
    ["the picture is black", { picture: { brightest: 20, changed: true } }, 5, "black", /is black.*cover/],
    ["a black picture that stands still is black", { picture: { brightest: 0, changed: false } }, 5, "black", /is black/],
    ["the screen is black", { screen: { brightest: 0, changed: false } }, 5, "black screen", /shared screen is black.*Share another/],
    ["the microphone is silent", { peak: 0.0002 }, 10, "silent", /silent.*mute switch/],
    ["the microphone is muted", { muted: true, peak: 0 }, 10, "muted", /muted.*Press/],
    ["packets are lost", { health: health({ loss: 0.2 }) }, 3, "loss", /lost.*cable/],
    ["the network is too slow", { health: health({ limit: "bandwidth", availableKbps: 900 }) }, 0, "upload", /about 900 kbit\/s of 2\.5 Mbit\/s/],
    ["the computer is too slow", { health: health({ limit: "cpu" }) }, 0, "cpu", /Close other programs/],
    ["the server gets no sound", { missing: "source_no_audio" }, 0, "missing", /no sound.*microphone/],
    ["a destination is late", { destinations: [live({ reason: "peer_slow", status: "DEGRADED" })] }, 2, "late YouTube", /YouTube gets the stream late/],
    ["a destination has much to wait for", { destinations: [live({ queuedMs: 4000 })] }, 2, "late YouTube", /lower quality/],
    ["a destination is connected again", { destinations: [live({ status: "RECONNECTING", reason: "peer_closed" })] }, 0, "lost YouTube", /closed the connection.*by itself/],
    ["a destination has refused", { destinations: [live({ status: "PUBLISHING" }), { name: "Twitch", state: { ...initialPush, failure: new Failure("key_rejected") } }] }, 0,
      "ended Twitch", /Twitch does not get the stream\. The destination refused the stream name or key\. .*key.*\./],
    ["key frames are too far apart", { destinations: [live({ health: [{ code: "key_interval", info: "There are 8.0 s between key frames." }] })] }, 0,
      "key_interval YouTube", /YouTube.*8\.0 s between/],
  ]) {
    test(name, () => {
      const { codes, shown } = watch([10, {}], [Math.max(after, 1), fields], [1, fields]);
      assert.deepEqual(codes, [[], after === 0 ? [code] : [], [code]]);
      assert.match(`${shown[0].title} ${shown[0].advice}`, words);
      assert.deepEqual(watch([30, fields], [2, {}], [1, {}]).codes, [[code], [code], []], "it lingers, and goes");
      assert.deepEqual(watch([Math.max(after, 1), fields], [5, {}]).codes[1], [], "what was short is forgotten");
    });
  }

  test("sound that is cut off again and again", () => {
    assert.deepEqual(watch([2, { peak: 1 }], [20, {}]).codes, [[], []], "a laugh");
    assert.deepEqual(watch([3, { peak: 1 }]).codes, [["loud"]]);
    assert.deepEqual(watch([9, { peak: 1 }], [9, {}], [2, {}]).codes, [["loud"], ["loud"], []]);
  });

  test("nothing remains after a reset", () => {
    const dog = new Watchdog();
    dog.read({ ...well, at: 1, health: health({ limit: "cpu" }) });
    dog.reset();
    assert.deepEqual(dog.read({ ...well, at: 2 }), []);
  });

  test("a picture is looked at in parts", () => {
    assert.deepEqual(new Set(shrink([], 0, 0)), new Set([0]), "no picture");
    assert.deepEqual(shrink([1, 2, 30, 255], 1, 1).slice(0, 4), [1, 2, 30, 1], "the fourth byte of a pixel does not count");
    const [width, height] = [321, 181];
    const pixels = new Uint8Array(width * height * 4);
    pixels.set([10, 20, 30, 255], (height * width - 1) * 4); // in the lower right corner, where no pixel is read
    assert.equal(Math.max(...shrink(pixels, width, height)), 0);
    pixels.fill(80, (height - 11) * width * 4);
    const parts = shrink(pixels, width, height);
    assert.deepEqual([Math.max(...parts.slice(0, -96)), Math.min(...parts.slice(-96))], [0, 80], "the lowest row of parts");
  });

  test("a frame as the camera gives it, not converted", () => {
    const [width, height] = [128, 72]; // each pixel is read
    const [line, half] = [130, 66]; // longer than the picture
    const colours = { black: [16, 128, 128], white: [235, 128, 128], blue: [41, 240, 110], red: [81, 90, 240] };
    for (const [colour, [y, u, v]] of Object.entries(colours)) {
      const luma = { offset: 3, stride: line };
      const chroma = luma.offset + line * height;
      const frames = {
        I420: [luma, { offset: chroma, stride: half }, { offset: chroma + half * 36, stride: half }],
        NV12: [luma, { offset: chroma, stride: line }],
      };
      for (const [format, planes] of Object.entries(frames)) {
        const frame = new Uint8Array(chroma + line * height).fill(77); // what is not of the picture
        for (let row = 0; row < height; row++) {
          frame.fill(y, luma.offset + row * line, luma.offset + row * line + width);
        }
        for (let row = 0; row < 36; row++) {
          for (let column = 0; column < 64; column++) {
            const [one, other] = format === "I420" ? planes.slice(1).map(({ offset }) => offset + row * half + column)
              : [0, 1].map((i) => chroma + row * line + column * 2 + i);
            frame[one] = u;
            frame[other] = v;
          }
        }
        const pixels = pick(frame, planes, width, height);
        const wanted = { black: [0, 0, 0], white: [255, 255, 255], blue: [0, 0, 255], red: [255, 0, 0] }[colour];
        for (const at of [0, pixels.length - 4]) {
          pixels.slice(at, at + 3).forEach((value, i) => assert.ok(Math.abs(value - wanted[i]) < 4, `${colour} in ${format}: ${pixels.slice(at, at + 4)}`));
        }
        assert.equal(pixels.length, width * height * 4);
      }
    }
    assert.deepEqual(pick([], [], 1, 1), []);
  });
});

test("the text of the cover", () => {
  assert.match(coverText("idle", false), /asks for permission.*before you press Start/);
  assert.doesNotMatch(coverText("idle", true), /asks for permission/); // it has asked
  assert.doesNotMatch(coverText("opening", false), /before you press Start/);
  for (const phase of ["publishing", "sending", "stopping"]) {
    assert.equal(coverText(phase, true), "Viewers see your card while the camera is off.");
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
  const wanted = [];
  t.mock.method(rest, "ask", async (path, { until, ...body }) => {
    asked++;
    assert.ok(until > Date.now() + 7 * 86_400_000); // else the stream would end with its first token where the settings want that
    assert.deepEqual([path, body], ["/token/create", { grants: [{ actions: wanted.shift() ?? ["publish"], streams: ["cam"] }], expiresIn: 600, subject: "studio" }]);
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
  const ticket = await askTicket(rest, "cam", "studio", false);
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
  wanted.push(["publish", "control"]);
  const taker = await askTicket(rest, "cam", "studio", true);
  await pass(480_000); // once it has taken the name over, it needs no more than others
  assert.equal(taker.headers().Authorization, "Bearer t-6");
  taker.release();
  t.mock.method(rest, "ask", async () => ({}));
  await assert.rejects(askTicket(rest, "cam", "", false), { reason: "server_error" });
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
  const level = (samples) => loudness(samples).level;
  assert.equal(level(new Float32Array(1024)), 0);
  assert.equal(level(new Float32Array(1024).fill(1)), 1);
  assert.ok(Math.abs(level(new Float32Array(1024).fill(0.0316)) - 0.5) < 0.01); // -30 dB of 60
  assert.equal(level(new Float32Array(0)), 0);
  assert.deepEqual([[], [0.25, -0.5, 0], [0.25, -0.125]].map((samples) => loudness(Float32Array.from(samples)).peak), [0, 0.5, 0.25]);
});

test("the peak is held for a while, and clipping is told for longer", () => {
  const hold = new PeakHold();
  const shown = (peak, now) => {
    const { clipped, peakDB } = hold.read(peak, now);
    return [Math.round(peakDB), clipped];
  };
  assert.deepEqual(shown(0, 0), [-Infinity, false]);
  assert.deepEqual(shown(0.5, 100), [-6, false]);
  assert.deepEqual(shown(0.1, 1500), [-6, false]);
  assert.deepEqual(shown(0.1, 1601), [-20, false]);
  assert.deepEqual(shown(1, 2000), [0, true]);
  assert.deepEqual(shown(0.1, 4999), [-20, true]);
  assert.deepEqual(shown(0.1, 5000), [-20, false]);
  assert.deepEqual([place(0), place(-30), place(-Infinity), place(3)], [1, 0.5, 0, 1]);
});

test("the places of camera and screen", () => {
  const size = { width: 1280, height: 720 };
  const shown = (arrangement, camera, screen, of = size, crop = false) => compose(of, arrangement, { camera, screen }, crop).places
    .map(({ fill, height, source, width, x, y }) => `${source[0]}${fill ? "!" : ""} ${width}x${height}+${x}+${y}`).join(", ");
  assert.equal(shown("corner", false, false), "");
  assert.equal(shown("screen", true, false), "c 1280x720+0+0");
  assert.equal(shown("camera", false, true), "s 1280x720+0+0");
  assert.equal(shown("camera", true, true), "c 1280x720+0+0");
  assert.equal(shown("screen", true, true), "s 1280x720+0+0");
  assert.equal(shown("corner", true, true), "s 1280x720+0+0, c! 308x172+948+522");
  assert.equal(shown("beside", true, true), "s 794x720+0+0, c! 486x720+794+0");
  const upright = { width: 720, height: 1280 };
  assert.equal(shown("corner", true, false, upright, true), "c! 720x1280+0+0");
  assert.equal(shown("beside", true, true, upright), "s 720x486+0+0, c! 720x794+0+486");
});

test("a picture is fitted into its place", () => {
  const place = { x: 100, y: 0, width: 100, height: 100 };
  assert.deepEqual(fit({ width: 200, height: 100 }, { ...place, fill: true }),
    { from: { x: 50, y: 0, width: 100, height: 100 }, to: { x: 100, y: 0, width: 100, height: 100 } });
  assert.deepEqual(fit({ width: 200, height: 100 }, { ...place, fill: false }),
    { from: { x: 0, y: 0, width: 200, height: 100 }, to: { x: 100, y: 25, width: 100, height: 50 } });
});

test("where camera and screen are seen", () => {
  const size = { width: 1280, height: 720 };
  const pictures = { camera: { width: 1280, height: 720 }, screen: { width: 1600, height: 1000 } };
  /** The rows of parts, as c, s and dots. */
  const map = (arrangement, open, of = pictures) => {
    const all = areas(compose(size, arrangement, open, false), of);
    return Array.from({ length: 18 }, (_, y) => Array.from({ length: 32 }, (_, x) => sourceOf(all, y * 32 + x)?.[0] ?? ".").join(""));
  };
  const two = { camera: true, screen: true };
  assert.deepEqual(new Set(map("corner", two).slice(0, 13)), new Set([`..${"s".repeat(28)}..`]), "without the bars beside");
  assert.deepEqual(new Set(map("corner", two).slice(14, 17)), new Set([`..${"s".repeat(21)}.${"c".repeat(7)}.`]), "without the edge of the camera");
  assert.deepEqual(map("beside", two)[9], `${"s".repeat(19)}.${"c".repeat(12)}`);
  assert.deepEqual(map("beside", two)[0], `${".".repeat(20)}${"c".repeat(12)}`);
  assert.deepEqual(new Set(map("camera", two)), new Set(["c".repeat(32)]));
  assert.deepEqual(new Set(map("corner", { camera: false, screen: false })), new Set([".".repeat(32)]));
  assert.deepEqual(new Set(map("camera", { camera: true, screen: false }, {})), new Set([".".repeat(32)]), "its size is not known");
});

test("by how much a picture is too large", () => {
  const size = { width: 1280, height: 720 };
  for (const [width, height, want] of [[1920, 1080, 1.5], [1080, 1920, 1.5], [1280, 960, 1], [640, 480, 1], [2560, 1080, 1.5], [0, 0, 1]]) {
    assert.equal(excess({ width, height }, size), want, `${width} x ${height}`);
  }
  assert.equal(excess({ width: 1080, height: 1920 }, { width: 360, height: 640 }), 3);
});

test("the clock of the mixer follows the leading source, and fills its gaps", () => {
  let painted = 0;
  const clock = new MixerClock(() => painted++);
  clock.look(0);
  assert.equal(painted, 1);
  for (let now = 33; now < 990; now += 33) { // a camera with its 30 pictures a second
    clock.lead(now);
    clock.look(now + 20);
  }
  assert.equal(painted, 30);
  clock.lead(966); // a source that is faster than the show
  assert.equal(painted, 30);
  for (let now = 1000; now < 2000; now += 5) { // a screen on which nothing moves
    clock.look(now);
  }
  assert.ok(Math.abs(painted - 60) <= 1, `${painted} pictures in two seconds`);
  clock.look(60_000); // after a sleep, nothing is made up for
  clock.look(60_001);
  assert.ok(painted <= 62);
});

test("the text of the card is broken into lines", () => {
  const fits = (line) => line.length <= 10;
  assert.deepEqual(wrap("", fits), []);
  assert.deepEqual(wrap("back  soon, after the news", fits), ["back soon,", "after the", "news"]);
  assert.deepEqual(wrap("a-very-long-word", fits), ["a-very-long-word"]);
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
