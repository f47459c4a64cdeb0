// Tests the parts of the SDK's streams and sessions, each alone and without a browser. `npm test` compiles the SDK first.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import * as calls from "./.build/sdk/call-state.js";
import { Devices } from "./.build/sdk/devices.js";
import { SdkError } from "./.build/sdk/errors.js";
import { Player } from "./.build/sdk/player.js";
import { PlayerController } from "./.build/sdk/player-controller.js";
import { PublisherController } from "./.build/sdk/publisher-controller.js";
import { Question } from "./.build/sdk/question.js";
import { request } from "./.build/sdk/request.js";
import * as sessions from "./.build/sdk/session-state.js";
import { summarize } from "./.build/sdk/stats.js";
import * as streams from "./.build/sdk/stream-state.js";
import { fakeBrowser, FakeDisplay, FakeMediaStream, FakeTrack } from "./lib/fake-browser.mjs";

const error = new SdkError("media_lost");

/** Takes steps one after another. Each is a type, or a whole step. */
const walk = (reduce, state, ...steps) => steps.reduce((state, step) => reduce(state, step.type ? step : { type: step }), state);

for (const Controller of [PlayerController, PublisherController]) {
  test(`${Controller.name}: what is started and stopped at once opens nothing; what is started again opens one socket`, async (t) => {
    const world = fakeBrowser(t);
    const controller = new Controller();
    const told = [];
    controller.subscribe(({ status }) => told.push(status));
    controller.start({ name: "n", server: "wss://server.test:8443" });
    await controller.stop();
    assert.deepEqual([world.sockets.length, world.asked.length], [0, 0]);
    controller.start({ name: "n", server: "wss://server.test:8443" });
    controller.start({ name: "m", server: "wss://server.test:8444" });
    await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(world.sockets.map(({ url }) => url), ["wss://server.test:8444"]);
    const stopped = controller.stop();
    world.sockets[0].drop();
    await stopped;
    assert.equal(controller.state.status, "idle");
    assert.equal(told.at(-1), "idle");
  });
}

describe("the life of a call", () => {
  const told = (status) => ({ type: "told", status });
  const fail = { type: "fail", error };
  const after = (...steps) => walk(calls.reduceCall, calls.newCall, ...steps);
  const asked = ["begin", "sent", told("TRYING")];
  const up = [...asked, told("RING"), told("ESTABLISHED")];

  for (const [what, steps, want] of [
    ["a new call", [], { _phase: "new", status: "NEW", error: null }],
    ["the devices are opened", ["begin"], { _phase: "opening", status: "PENDING" }],
    ["the server has the call", ["begin", "sent"], { _phase: "asked", status: "PENDING" }],
    ["it rings on the other side", [...asked, told("RING")], { _phase: "asked", status: "RING" }],
    ["the other side answers", up, { _phase: "up", status: "ESTABLISHED", error: null }],
    ["the other side holds", [...up, told("HOLD")], { _phase: "up", status: "HOLD" }],
    ["the hold ends", [...up, told("HOLD"), told("ESTABLISHED")], { _phase: "up", status: "ESTABLISHED" }],
    ["it rings here", [told("RING")], { _phase: "new", status: "RING" }],
    ["the ringing does not end the opening of the devices", [told("RING"), "begin", told("RING")], { _phase: "opening", status: "PENDING" }],
    ["a call that is not answered yet is not up", [told("RING"), told("ESTABLISHED")], { _phase: "new", status: "ESTABLISHED" }],
    ["the caller gives up while the devices are opened", [told("RING"), "begin", told("FINISH")], { _phase: "over", status: "FINISH" }],
    ["the other side is busy", [...asked, told("BUSY")], { _phase: "over", status: "BUSY" }],
    ["the page hangs up", [...up, "hangup"], { _phase: "closing", status: "ESTABLISHED", error: null }],
    ["a call that ends hears of no other status", [...up, "hangup", told("HOLD")], { _phase: "closing", status: "ESTABLISHED" }],
    ["the server confirms the end", [...up, "hangup", told("FINISH")], { _phase: "over", status: "FINISH" }],
    ["the server does not confirm the end", [...up, "hangup", "due"], { _phase: "over", status: "FINISH" }],
    ["the page hangs up before the server knows", ["begin", "drop"], { _phase: "over", status: "FAILED" }],
    ["the session ends", [...up, fail], { _phase: "over", status: "FAILED", error }],
    ["nothing follows the end", [...up, told("FINISH"), "begin", told("RING"), "hangup", "drop", fail], { _phase: "over", status: "FINISH" }],
  ]) {
    test(what, () => {
      const got = after(...steps);
      assert.deepEqual(Object.fromEntries(Object.keys(want).map((key) => [key, got[key]])), want);
    });
  }

  test("the reasons of the end", () => {
    assert.equal(after(...up, told("FINISH")).error.reason, "terminated");
    assert.equal(after(...asked, told("BUSY")).error.reason, "busy");
    assert.equal(after(...up, "hangup", told("FINISH")).error.reason, "stopped");
    assert.equal(after("drop").error.reason, "stopped");
  });

  test("a step that is not allowed returns the same state", () => {
    const state = after(...up);
    for (const step of [{ type: "begin" }, { type: "sent" }, { type: "due" }, told("ESTABLISHED")]) {
      assert.equal(calls.reduceCall(state, step), state, JSON.stringify(step));
    }
  });
});

describe("the life of a stream", () => {
  const begin = (mode) => ({ type: "begin", _mode: mode });
  const live = { type: "live", status: "PUBLISHING" };
  const lost = { type: "lost", error };
  const retry = { type: "retry", error, _waitMs: 70 };
  const end = { type: "end", status: "FAILED", error };
  const after = (...steps) => walk(streams.reduceStream, streams.newStream, ...steps);
  const opening = [begin("publish"), "due"];
  const running = [...opening, "sent", live];

  for (const [what, steps, want] of [
    ["a new stream", [], { _phase: "new", status: "NEW", _attempt: 0, _waitMs: null, error: null }],
    ["the first attempt opens", opening, { _phase: "opening", status: "PENDING", _attempt: 1 }],
    ["the offer is sent", [...opening, "sent"], { _phase: "requested", status: "PENDING" }],
    ["the offer cannot be sent without a socket", [...opening, "unsent"],
      { _phase: "waiting", status: "RESTORING", _waitMs: null, error: null }],
    ["the next attempt begins with the socket", [...opening, "unsent", "relinked"],
      { _phase: "opening", status: "RESTORING", _attempt: 2 }],
    ["the server confirms the stream", running, { _phase: "live", status: "PUBLISHING", _waitMs: null }],
    ["a live stream loses the socket", [...running, lost], { _phase: "unlinked", status: "RESTORING", error, _waitMs: null }],
    ["the server has kept the session", [...running, lost, "kept"], { _phase: "resuming", status: "RESTORING", _waitMs: 3000 }],
    ["the server has kept the session, and says that the stream is live", [...running, lost, "kept", live],
      { _phase: "live", status: "PUBLISHING", _attempt: 1, error: null, _waitMs: null }],
    ["the server has kept the session, and says nothing about the stream", [...running, lost, "kept", "due"],
      { _phase: "opening", status: "RESTORING", _attempt: 2, _waitMs: null }],
    ["an attempt that was never live does not wait for the server's word", [...opening, "sent", lost, "kept"],
      { _phase: "resuming", _waitMs: 0 }],
    ["a second attempt that was never live does not wait either", [...running, lost, "relinked", "sent", lost, "kept"],
      { _phase: "resuming", _waitMs: 0, _attempt: 2 }],
    ["the server has not kept the session", [...running, lost, "relinked"],
      { _phase: "opening", status: "RESTORING", _attempt: 2 }],
    ["the server ends a stream that can be restored", [...running, retry],
      { _phase: "waiting", status: "RESTORING", error, _waitMs: 70 }],
    ["a restored stream is live again", [...running, retry, "due", "sent", live], { _phase: "live", _attempt: 2, error: null }],
    ["the page stops a live stream", [...running, "stop"], { _phase: "stopping", status: "PUBLISHING", _waitMs: 5000 }],
    ["the server confirms the stop", [...running, "stop", end], { _phase: "over", status: "UNPUBLISHED", _waitMs: null }],
    ["the server does not confirm the stop in time", [...running, "stop", "due"], { _phase: "over", status: "UNPUBLISHED" }],
    ["the socket is lost before the server confirms the stop", [...running, "stop", lost],
      { _phase: "over", status: "UNPUBLISHED" }],
    ["the page stops a player", [begin("play"), "due", "drop"], { _phase: "over", status: "STOPPED" }],
    ["the page stops a new stream", ["drop"], { _phase: "over", status: "FAILED" }],
    ["the server ends a stream for good", [...running, end], { _phase: "over", status: "FAILED", error }],
    ["nothing follows the end", [...running, end, begin("play"), "due", live, lost, "kept", retry, "stop", "drop"],
      { _phase: "over", status: "FAILED", _attempt: 1 }],
    ["late messages about an attempt do not disturb the next attempt", [...running, lost, "relinked", live, lost, "due"],
      { _phase: "opening", _attempt: 2 }],
  ]) {
    test(what, () => {
      const got = after(...steps);
      assert.deepEqual(Object.fromEntries(Object.keys(want).map((key) => [key, got[key]])), want);
    });
  }

  test("a stream that the page ends has the reason stopped", () => {
    assert.equal(after(...running, "stop", end).error.reason, "stopped");
    assert.equal(after("drop").error.reason, "stopped");
  });

  test("a step that is not allowed returns the same state", () => {
    const state = after(...running);
    for (const type of ["begin", "due", "sent", "unsent", "kept", "relinked"]) {
      assert.equal(streams.reduceStream(state, { type }), state, type);
    }
  });

  test("a stream is restored after some reasons, and not after others", () => {
    const player = after(begin("play"), "due", "sent", { type: "live", status: "PLAYING" });
    for (const [state, reason, want] of [
      [after(...running), "media_lost", true], [after(...running), "restricted", false], [after(...running), "publisher_stopped", false],
      [player, "publisher_stopped", true], [player, "terminated", false],
      [after(...opening, "sent"), "media_lost", false], [after(), "media_lost", false], [after(...running, "stop"), "media_lost", false],
    ]) {
      assert.equal(streams.isRestorable(state, reason), want, `${state._phase} ${reason}`);
    }
  });
});

describe("the life of a session", () => {
  const retry = { type: "retry", error, _waitMs: 70 };
  const end = { type: "end", error };
  const after = (...steps) => walk(sessions.reduceSession, sessions.newSession, ...steps);
  const up = ["connect", "opened", "established"];

  for (const [what, steps, want] of [
    ["a session connects", ["connect"], { _phase: "connecting", status: "PENDING" }],
    ["the socket is open", ["connect", "opened"], { _phase: "connected", status: "CONNECTED" }],
    ["the server has answered", up, { _phase: "established", status: "ESTABLISHED", error: null }],
    ["an established session loses the socket", [...up, retry], { _phase: "waiting", status: "RECONNECTING", error, _waitMs: 70 }],
    ["another socket opens", [...up, retry, "due"], { _phase: "reconnecting", status: "RECONNECTING", _waitMs: null }],
    ["another socket opens at once when there is a network again", [...up, retry, "online"], { _phase: "reconnecting" }],
    ["the other socket is open", [...up, retry, "due", "opened"], { _phase: "reconnecting", status: "RECONNECTING" }],
    ["the server answers on the other socket", [...up, retry, "due", "established"],
      { _phase: "established", status: "ESTABLISHED" }],
    ["the first socket cannot be opened", ["connect", end], { _phase: "over", status: "FAILED", error }],
    ["the server falls silent", [...up, end], { _phase: "over", status: "FAILED", error }],
    ["the server closes the socket", [...up, { type: "end", error: new SdkError("disconnected") }],
      { _phase: "over", status: "DISCONNECTED" }],
    ["the page closes the session", [...up, "close"], { _phase: "closing", status: "ESTABLISHED", _waitMs: 3000 }],
    ["the socket is closed", [...up, "close", end], { _phase: "over", status: "DISCONNECTED", error }],
    ["the socket is not closed in time", [...up, "close", "due"], { _phase: "over", status: "DISCONNECTED" }],
    ["the page closes the session while the socket is lost", [...up, retry, "close"],
      { _phase: "over", status: "DISCONNECTED", _waitMs: null }],
    ["the page closes the session while another socket opens", [...up, retry, "due", "close", "established"],
      { _phase: "over", status: "DISCONNECTED" }],
    ["the page gives up before the session connects", ["close", "connect"], { _phase: "over", status: "DISCONNECTED" }],
  ]) {
    test(what, () => {
      const got = after(...steps);
      assert.deepEqual(Object.fromEntries(Object.keys(want).map((key) => [key, got[key]])), want);
    });
  }

  test("only a session that was established opens another socket", () => {
    for (const [steps, want] of [
      [["connect"], false], [["connect", "opened"], false], [up, true], [[...up, retry, "due"], true], [[...up, "close"], false],
    ]) {
      assert.equal(sessions.isRestorable(after(...steps)), want, steps.at(-1));
    }
  });
});

describe("devices", () => {
  const noSender = () => undefined;

  test("devices that open too late are closed again", async (t) => {
    fakeBrowser(t);
    const devices = new Devices({ name: "n" }, noSender);
    const stream = await devices.open(() => false);
    assert.deepEqual([stream.getTracks().map(({ readyState }) => readyState), devices._local], [["ended", "ended"], null]);
  });

  test("open devices are used again until one of them ends", async (t) => {
    const world = fakeBrowser(t);
    const devices = new Devices({ name: "n" }, noSender);
    const first = await devices.open(() => true);
    assert.deepEqual([await devices.open(() => true), world.asked.length], [first, 1]);
    devices._track("video").stop();
    const second = await devices.open(() => true);
    assert.notEqual(second, first);
    assert.ok(first.getTracks().every(({ readyState }) => readyState === "ended"));
    world.capture = () => Promise.reject(new Error("unplugged"));
    devices._track("video").stop();
    assert.equal(await devices.open(() => true), second, "the sound still works");
    devices._track("audio").stop();
    await assert.rejects(devices.open(() => true), { reason: "device_failed" });
  });

  test("muting and switching need a track", async (t) => {
    const world = fakeBrowser(t);
    const devices = new Devices({ name: "n" }, noSender);
    assert.equal(devices._enable("audio", false), false);
    world.capture = () => new FakeMediaStream([new FakeTrack("audio")]);
    await devices.open(() => true);
    assert.deepEqual([devices._enable("audio", false), devices._enable("video", false)], [true, false]);
    assert.equal(devices._track("audio").enabled, false);
    assert.throws(() => devices._switchTo("video"), { reason: "invalid_state", info: "no video is sent" });
  });

  test("a switch that ends after the stream closes the new device", async (t) => {
    fakeBrowser(t);
    const sender = { replaceTrack: async (track) => (sender.track = track) };
    const devices = new Devices({ name: "n" }, () => sender);
    await devices.open(() => true);
    const changed = devices._switchTo("video", "back");
    devices.close();
    await assert.rejects(changed, { reason: "stopped" });
    assert.equal(sender.track.readyState, "ended");
  });
});

describe("the player", () => {
  test("the element stays, and shows the tracks of the last attempt", (t) => {
    fakeBrowser(t);
    const display = new FakeDisplay();
    const player = new Player({ name: "n", display }, () => undefined);
    const come = (kind) => player._show({ track: new FakeTrack(kind), receiver: {} });
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

  test("a stream without an element is played", (t) => {
    fakeBrowser(t);
    const receiver = {};
    const player = new Player({ name: "n", playoutDelay: 0.5 }, () => undefined);
    player.open();
    player._show({ track: new FakeTrack("audio"), receiver });
    player.close();
    assert.deepEqual([player._element, player._stream.getTracks().length, receiver], [null, 1, { playoutDelayHint: 0.5 }]);
  });
});

test("an answer reaches all callers that still wait", async () => {
  const question = new Question();
  const aborter = new AbortController();
  const [one, other, none] = [question._wait(), question._wait(), question._wait(aborter.signal)];
  aborter.abort("enough");
  question._answer(7);
  assert.deepEqual([await one, await other], [7, 7]);
  await assert.rejects(none, (reason) => reason === "enough");
  const later = question._wait();
  question._refuse(error);
  question._answer(8);
  await assert.rejects(later, error);
});

test("requests to publish and to play", () => {
  const constraints = { audio: true, video: { width: 640, height: 360, quality: 50, minBitrate: 1 } };
  const options = { name: "n", constraints, playHeight: 180, rtmpUrl: "rtmp://x" };
  const common = {
    mediaProvider: "WebRTC", sdp: "v=0", custom: undefined, bitrate: 0, minBitrate: 1, maxBitrate: 0, constraints,
    transport: undefined, cvoExtension: undefined,
  };
  assert.deepEqual(request(options, "v=0", null), { ...common, quality: 50, width: 640, height: 180 });
  const sound = new FakeMediaStream([new FakeTrack("audio")]);
  assert.deepEqual(request(options, "v=0", sound), { ...common, rtmpUrl: "rtmp://x", hasAudio: true, hasVideo: false });
});

test("statistics have the names of the vendor's SDK", () => {
  assert.deepEqual(summarize([
    {
      id: "v", type: "outbound-rtp", kind: "video", codecId: "c", ssrc: 1,
      bytesSent: 9, frameWidth: 640, frameHeight: 360, qualityLimitationReason: "cpu",
    },
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
