// The parts of the SDK's streams and sessions, each alone and without a browser. `npm test` compiles them first.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Devices } from "./.build/sdk/devices.js";
import { SdkError } from "./.build/sdk/errors.js";
import { Player } from "./.build/sdk/player.js";
import { Question } from "./.build/sdk/question.js";
import { request } from "./.build/sdk/request.js";
import * as sessions from "./.build/sdk/session-state.js";
import { summarize } from "./.build/sdk/stats.js";
import * as streams from "./.build/sdk/stream-state.js";
import { fakeBrowser, FakeDisplay, FakeMediaStream, FakeTrack } from "./lib/fake-browser.mjs";

const error = new SdkError("media_lost");

/** Takes steps one after the other: each is a type, or a whole step. */
const walk = (reduce, state, ...steps) => steps.reduce((state, step) => reduce(state, step.type ? step : { type: step }), state);

describe("the life of a stream", () => {
  const begin = (mode) => ({ type: "begin", mode });
  const live = { type: "live", status: "PUBLISHING" };
  const lost = { type: "lost", error };
  const retry = { type: "retry", error, waitMs: 70 };
  const end = { type: "end", status: "FAILED", error };
  const after = (...steps) => walk(streams.reduceStream, streams.newStream, ...steps);
  const opening = [begin("publish"), "due"];
  const running = [...opening, "sent", live];

  for (const [what, steps, want] of [
    ["new", [], { phase: "new", status: "NEW", attempt: 0, waitMs: null, error: null }],
    ["the first attempt", opening, { phase: "opening", status: "PENDING", attempt: 1 }],
    ["the offer is on its way", [...opening, "sent"], { phase: "requested", status: "PENDING" }],
    ["the offer has no way", [...opening, "unsent"], { phase: "waiting", status: "RESTORING", waitMs: null, error: null }],
    ["and gets one", [...opening, "unsent", "relinked"], { phase: "opening", status: "RESTORING", attempt: 2 }],
    ["live", running, { phase: "live", status: "PUBLISHING", waitMs: null }],
    ["the socket is lost", [...running, lost], { phase: "unlinked", status: "RESTORING", error, waitMs: null }],
    ["the server has kept it", [...running, lost, "kept"], { phase: "resuming", status: "RESTORING", waitMs: 3000 }],
    ["and says so", [...running, lost, "kept", live], { phase: "live", status: "PUBLISHING", attempt: 1, error: null, waitMs: null }],
    ["and says nothing", [...running, lost, "kept", "due"], { phase: "opening", status: "RESTORING", attempt: 2, waitMs: null }],
    ["an attempt that was not live does not wait", [...opening, "sent", lost, "kept"], { phase: "resuming", waitMs: 0 }],
    ["nor does the second", [...running, lost, "relinked", "sent", lost, "kept"], { phase: "resuming", waitMs: 0, attempt: 2 }],
    ["the server has not kept it", [...running, lost, "relinked"], { phase: "opening", status: "RESTORING", attempt: 2 }],
    ["the server ended it for a while", [...running, retry], { phase: "waiting", status: "RESTORING", error, waitMs: 70 }],
    ["and it comes back", [...running, retry, "due", "sent", live], { phase: "live", attempt: 2, error: null }],
    ["the page stops it", [...running, "stop"], { phase: "stopping", status: "PUBLISHING", waitMs: 5000 }],
    ["and the server confirms that", [...running, "stop", end], { phase: "over", status: "UNPUBLISHED", waitMs: null }],
    ["or does not", [...running, "stop", "due"], { phase: "over", status: "UNPUBLISHED" }],
    ["or cannot", [...running, "stop", lost], { phase: "over", status: "UNPUBLISHED" }],
    ["the page stops a player", [begin("play"), "due", "drop"], { phase: "over", status: "STOPPED" }],
    ["the page stops what never began", ["drop"], { phase: "over", status: "FAILED" }],
    ["the server ends it", [...running, end], { phase: "over", status: "FAILED", error }],
    ["nothing follows the end", [...running, end, begin("play"), "due", live, lost, "kept", retry, "stop", "drop"], { phase: "over", status: "FAILED", attempt: 1 }],
    ["late words of an attempt do not disturb the next", [...running, lost, "relinked", live, lost, "due"], { phase: "opening", attempt: 2 }],
  ]) {
    test(what, () => {
      const got = after(...steps);
      assert.deepEqual(Object.fromEntries(Object.keys(want).map((key) => [key, got[key]])), want);
    });
  }

  test("the page's own end is no failure, whatever its reason", () => {
    assert.equal(after(...running, "stop", end).error.reason, "stopped");
    assert.equal(after("drop").error.reason, "stopped");
  });

  test("a step that changes nothing gives back the same state", () => {
    const state = after(...running);
    for (const type of ["begin", "due", "sent", "unsent", "kept", "relinked"]) {
      assert.equal(streams.reduceStream(state, { type }), state, type);
    }
  });

  test("which ends are not the last word", () => {
    const player = after(begin("play"), "due", "sent", { type: "live", status: "PLAYING" });
    for (const [state, reason, want] of [
      [after(...running), "media_lost", true], [after(...running), "restricted", false], [after(...running), "publisher_stopped", false],
      [player, "publisher_stopped", true], [player, "terminated", false],
      [after(...opening, "sent"), "media_lost", false], [after(), "media_lost", false], [after(...running, "stop"), "media_lost", false],
    ]) {
      assert.equal(streams.isRestorable(state, reason), want, `${state.phase} ${reason}`);
    }
  });
});

describe("the life of a session", () => {
  const retry = { type: "retry", error, waitMs: 70 };
  const end = { type: "end", error };
  const after = (...steps) => walk(sessions.reduceSession, sessions.newSession, ...steps);
  const up = ["connect", "opened", "established"];

  for (const [what, steps, want] of [
    ["connecting", ["connect"], { phase: "connecting", status: "PENDING" }],
    ["the socket is open", ["connect", "opened"], { phase: "connected", status: "CONNECTED" }],
    ["the server has answered", up, { phase: "established", status: "ESTABLISHED", error: null }],
    ["the socket is lost", [...up, retry], { phase: "waiting", status: "RECONNECTING", error, waitMs: 70 }],
    ["another one opens", [...up, retry, "due"], { phase: "reconnecting", status: "RECONNECTING", waitMs: null }],
    ["at once when there is a network again", [...up, retry, "online"], { phase: "reconnecting" }],
    ["and is open", [...up, retry, "due", "opened"], { phase: "reconnecting", status: "RECONNECTING" }],
    ["and the server answers", [...up, retry, "due", "established"], { phase: "established", status: "ESTABLISHED" }],
    ["it never was open", ["connect", end], { phase: "over", status: "FAILED", error }],
    ["it fell silent", [...up, end], { phase: "over", status: "FAILED", error }],
    ["the server closed it", [...up, { type: "end", error: new SdkError("disconnected") }], { phase: "over", status: "DISCONNECTED" }],
    ["the page closes it", [...up, "close"], { phase: "closing", status: "ESTABLISHED", waitMs: 3000 }],
    ["and it is closed", [...up, "close", end], { phase: "over", status: "DISCONNECTED", error }],
    ["or is not", [...up, "close", "due"], { phase: "over", status: "DISCONNECTED" }],
    ["the page closes it while it is lost", [...up, retry, "close"], { phase: "over", status: "DISCONNECTED", waitMs: null }],
    ["or while another socket opens", [...up, retry, "due", "close", "established"], { phase: "over", status: "DISCONNECTED" }],
    ["the page never wanted it", ["close", "connect"], { phase: "over", status: "DISCONNECTED" }],
  ]) {
    test(what, () => {
      const got = after(...steps);
      assert.deepEqual(Object.fromEntries(Object.keys(want).map((key) => [key, got[key]])), want);
    });
  }

  test("only a session that was established opens another socket", () => {
    assert.deepEqual([["connect"], ["connect", "opened"], up, [...up, retry, "due"], [...up, "close"]].map((steps) => sessions.isRestorable(after(...steps))),
      [false, false, true, true, false]);
  });
});

describe("devices", () => {
  const noSender = () => undefined;

  test("what nobody waits for any more is closed again", async (t) => {
    fakeBrowser(t);
    const devices = new Devices({ name: "n" }, noSender);
    const stream = await devices.open(() => false);
    assert.deepEqual([stream.getTracks().map(({ readyState }) => readyState), devices.local], [["ended", "ended"], null]);
  });

  test("what is open is used again, until one is gone", async (t) => {
    const world = fakeBrowser(t);
    const devices = new Devices({ name: "n" }, noSender);
    const first = await devices.open(() => true);
    assert.deepEqual([await devices.open(() => true), world.asked.length], [first, 1]);
    devices.track("video").stop();
    const second = await devices.open(() => true);
    assert.notEqual(second, first);
    assert.ok(first.getTracks().every(({ readyState }) => readyState === "ended"));
    world.capture = () => Promise.reject(new Error("unplugged"));
    devices.track("video").stop();
    assert.equal(await devices.open(() => true), second, "sound goes on");
    devices.track("audio").stop();
    await assert.rejects(devices.open(() => true), { reason: "device_failed" });
  });

  test("muting needs something to mute", async (t) => {
    const world = fakeBrowser(t);
    const devices = new Devices({ name: "n" }, noSender);
    assert.equal(devices.enable("audio", false), false);
    world.capture = () => new FakeMediaStream([new FakeTrack("audio")]);
    await devices.open(() => true);
    assert.deepEqual([devices.enable("audio", false), devices.track("audio").enabled, devices.enable("video", false)], [true, false, false]);
    assert.throws(() => devices.switchTo("video"), { reason: "invalid_state", info: "no video is sent" });
  });

  test("a change that ends after the stream closes its device", async (t) => {
    fakeBrowser(t);
    const sender = { replaceTrack: async (track) => (sender.track = track) };
    const devices = new Devices({ name: "n" }, () => sender);
    await devices.open(() => true);
    const changed = devices.switchTo("video", "back");
    devices.close();
    await assert.rejects(changed, { reason: "stopped" });
    assert.equal(sender.track.readyState, "ended");
  });
});

describe("the player", () => {
  test("keeps its element, and shows the tracks of the last attempt", (t) => {
    fakeBrowser(t);
    const display = new FakeDisplay();
    const player = new Player({ name: "n", display }, () => undefined);
    const come = (kind) => player.show({ track: new FakeTrack(kind), receiver: {} });
    player.open();
    const [element] = display.children;
    come("audio");
    come("video");
    const first = element.srcObject;
    assert.equal(first.getTracks().length, 2);
    player.open();
    come("audio");
    assert.deepEqual([display.children, element.srcObject.getTracks().length], [[element], 1]);
    assert.notEqual(element.srcObject, first);
    player.close();
    assert.deepEqual([display.children, element.srcObject], [[], null]);
  });

  test("plays where there is no element, too", (t) => {
    fakeBrowser(t);
    const receiver = {};
    const player = new Player({ name: "n", playoutDelay: 0.5 }, () => undefined);
    player.open();
    player.show({ track: new FakeTrack("audio"), receiver });
    player.close();
    assert.deepEqual([player.element, player.stream.getTracks().length, receiver], [null, 1, { playoutDelayHint: 0.5 }]);
  });
});

test("an answer is for all who asked, but not for who gave up", async () => {
  const question = new Question();
  const aborter = new AbortController();
  const [one, other, none] = [question.wait(), question.wait(), question.wait(aborter.signal)];
  aborter.abort("enough");
  question.answer(7);
  assert.deepEqual([await one, await other], [7, 7]);
  await assert.rejects(none, (reason) => reason === "enough");
  const later = question.wait();
  question.refuse(error);
  question.answer(8);
  await assert.rejects(later, error);
});

test("what is asked of the server", () => {
  const options = { name: "n", constraints: { audio: true, video: { width: 640, height: 360, quality: 50, minBitrate: 1 } }, playHeight: 180, rtmpUrl: "rtmp://x" };
  const { constraints } = options;
  const common = {
    mediaProvider: "WebRTC", sdp: "v=0", custom: undefined, bitrate: 0, minBitrate: 1, maxBitrate: 0, constraints, transport: undefined, cvoExtension: undefined,
  };
  assert.deepEqual(request(options, "v=0", null), { ...common, quality: 50, width: 640, height: 180 });
  assert.deepEqual(request(options, "v=0", new FakeMediaStream([new FakeTrack("audio")])), { ...common, rtmpUrl: "rtmp://x", hasAudio: true, hasVideo: false });
});

test("statistics have the vendor's names", () => {
  assert.deepEqual(summarize([
    { id: "v", type: "outbound-rtp", kind: "video", codecId: "c", bytesSent: 9, frameWidth: 640, frameHeight: 360, ssrc: 1, qualityLimitationReason: "cpu" },
    { id: "a", type: "outbound-rtp", kind: "audio", packetsSent: 3 },
    { id: "c", type: "codec", mimeType: "video/H264", clockRate: 90000 },
    { id: "p", type: "candidate-pair", nominated: false, availableOutgoingBitrate: 1 },
    { id: "q", type: "candidate-pair", nominated: true, availableOutgoingBitrate: 5 },
  ]), {
    outboundStream: {
      video: { bytesSent: 9, qualityLimitationReason: "cpu", codec: "H264", codecRate: 90000, width: 640, height: 360 },
      audio: { packetsSent: 3 },
    },
    inboundStream: {},
    otherStats: { availableOutgoingBitrate: 5 },
  });
});
