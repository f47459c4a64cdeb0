// Tests calls of the SDK without a browser: each test plays the server and the devices. `npm test` compiles the SDK first.

import assert from "node:assert/strict";
import { webcrypto } from "node:crypto";
import { test } from "node:test";
import { CALL_STATUS, createSession } from "./.build/sdk/calls.js";
import { fakeBrowser, FakeDisplay } from "./lib/fake-browser.mjs";

globalThis.crypto ??= webcrypto; // Node 18

const sipOptions = { login: "1000", password: "secret", domain: "pbx.test", port: 5070 };

/** Waits until the condition holds. */
async function until(condition, what = String(condition)) {
  for (const deadline = Date.now() + 10_000; !condition(); await new Promise((resolve) => setTimeout(resolve, 1))) {
    assert.ok(Date.now() < deadline, `not in time: ${what}`);
  }
}

/** A session with an account, established. */
async function established(t, options = {}) {
  let session;
  t.after(() => session.disconnect()); // before the fake browser goes
  const world = fakeBrowser(t);
  session = createSession({ urlServer: "wss://server.test", sipOptions, ...options });
  world.sockets[0].establish();
  await session.connected;
  return { world, session, get socket() {
    return world.sockets.at(-1);
  } };
}

/** Collects the statuses of a call. */
function follow(call) {
  const told = [];
  for (const status of Object.values(CALL_STATUS)) {
    call.on(status, () => told.push(status));
  }
  return told;
}

/** A call that the server has. */
async function called(t, options = {}) {
  const all = await established(t, options.session);
  const [own, other] = [new FakeDisplay(), new FakeDisplay()];
  const call = all.session.createCall({ callee: "1001", localVideoDisplay: own, remoteVideoDisplay: other, ...options.call });
  const told = follow(call);
  const answered = call.call(options.signal);
  await until(() => all.socket.last("call"), "call");
  const say = (name, status) => all.socket.say(name, { callId: call.id(), status });
  return { ...all, call, told, answered, own, other, say };
}

test("the account goes to the server, and its registration is told", async (t) => {
  const { session, socket } = await established(t);
  const { sipLogin, sipPassword, sipDomain, sipPort, sipRegisterRequired } = socket.last("connection");
  assert.deepEqual([sipLogin, sipPassword, sipDomain, sipPort, sipRegisterRequired], ["1000", "secret", "pbx.test", 5070, undefined]);
  let told = 0;
  session.on("REGISTERED", () => told++);
  assert.equal(session.status(), "ESTABLISHED");
  socket.say("registered", {});
  assert.equal(await session.registered, session);
  assert.deepEqual([session.status(), told], ["REGISTERED", 1]);
  session.createStream({ name: "a registered session still publishes" });
});

test("a session that does not connect is not registered", async (t) => {
  const world = fakeBrowser(t);
  const session = createSession({ urlServer: "wss://server.test", sipOptions });
  world.sockets[0].drop();
  await assert.rejects(session.registered, { reason: "connect_failed" });
  await assert.rejects(session.connected, { reason: "connect_failed" });
});

test("an outgoing call from the offer to the end", async (t) => {
  const { answered, call, own, say, session, socket, told, world } = await called(t);
  const { callId, caller, callee, incoming, hasAudio, hasVideo, mediaProvider, sdp, status, visibleName } = socket.last("call");
  assert.deepEqual([callId, caller, callee, incoming, hasAudio, hasVideo, mediaProvider, status, visibleName],
    [call.id(), "1000", "1001", false, true, true, "WebRTC", "PENDING", "1000"]);
  assert.ok(sdp.startsWith("v=0"));
  assert.deepEqual(world.peers[0].transceivers.map(({ direction }) => direction), ["sendrecv", "sendrecv"]);
  assert.deepEqual([session.getCalls(), session.getCall(call.id()), own.children.length], [[call], call, 1]);
  say("notifyTryingResponse", "TRYING");
  say("ring", "RING");
  socket.say("setRemoteSDP", call.id(), "v=0 the answer");
  await until(() => world.peers[0].remote);
  assert.deepEqual({ ...world.peers[0].remote }, { type: "answer", sdp: "v=0 the answer" });
  say("talk", "ESTABLISHED");
  assert.equal(await answered, call);
  call.sendDTMF(12, "INFO");
  assert.deepEqual(socket.last("sendDtmf"), { callId: call.id(), type: "INFO", dtmf: "12" });
  let keys = "";
  call.on("DTMF", (pressed) => (keys += pressed));
  socket.say("notifyDtmf", { callId: call.id(), dtmf: "5#" });
  assert.equal(keys, "5#");
  const held = call.hold();
  assert.deepEqual(socket.last("hold"), { callId: call.id() });
  say("hold", "HOLD");
  await held;
  const refused = call.unhold();
  socket.say("fail", { apiMethod: "unhold", id: call.id(), status: "FAILED", info: "491" });
  await assert.rejects(refused, { reason: "failed", info: "491" });
  const over = call.hangup();
  assert.deepEqual(socket.last("hangup"), { callId: call.id() });
  say("finish", "FINISH");
  assert.equal(await over, call);
  assert.deepEqual(told, ["PENDING", "TRYING", "RING", "ESTABLISHED", "HOLD", "FINISH"]);
  assert.deepEqual([world.peers[0].state, session.getCalls(), call.error.reason, own.children.length], ["closed", [], "stopped", 0]);
});

test("the other side is busy", async (t) => {
  const { answered, call, say, told } = await called(t);
  say("finish", "BUSY");
  await assert.rejects(answered, { reason: "busy" });
  assert.deepEqual([told, call.status()], [["PENDING", "BUSY"], "BUSY"]);
  await assert.rejects(call.call(), { reason: "invalid_state" });
});

test("an incoming call", async (t) => {
  const { session, socket, world } = await established(t);
  const sdp = "v=0\r\nm=audio 9 RTP/SAVPF 0\r\n";
  let call;
  session.on("INCOMING_CALL", (c) => (call = c));
  socket.say("setRemoteSDP", "c1", sdp);
  socket.say("notifyIncomingCall", { callId: "c1", incoming: true, caller: "ann", callee: "1000", visibleName: "Ann", mediaProvider: "WebRTC" });
  const told = follow(call);
  socket.say("ring", { callId: "c1", status: "RING" });
  assert.deepEqual([call.id(), call.caller(), call.callee(), call.visibleName(), call.status()], ["c1", "ann", "1000", "Ann", "RING"]);
  await assert.rejects(call.call(), { reason: "invalid_state" });
  const answered = call.answer({ localVideoDisplay: new FakeDisplay(), remoteVideoDisplay: new FakeDisplay(), constraints: { audio: true, video: true } });
  await until(() => socket.last("answer"), "answer");
  assert.deepEqual(world.asked, [{ audio: true, video: false }], "a caller without pictures needs no camera");
  const { incoming, hasVideo, status } = socket.last("answer");
  assert.deepEqual([incoming, hasVideo, status, { ...world.peers[0].remote }], [true, false, "PENDING", { type: "offer", sdp }]);
  socket.say("talk", { callId: "c1", status: "ESTABLISHED" });
  await answered;
  socket.say("finish", { callId: "c1", status: "FINISH" });
  assert.equal(await call.ended, call);
  assert.deepEqual([told, call.error.reason], [["RING", "PENDING", "ESTABLISHED", "FINISH"], "terminated"]);
});

test("an incoming call is declined", async (t) => {
  const { session, socket } = await established(t);
  let call;
  session.on("INCOMING_CALL", (c) => (call = c));
  socket.say("setRemoteSDP", "c1", "v=0");
  socket.say("notifyIncomingCall", { callId: "c1", callee: "1000" });
  const over = call.hangup();
  assert.deepEqual(socket.last("hangup"), { callId: "c1" });
  socket.say("finish", { callId: "c1", status: "FINISH" });
  await over;
});

test("a transfer", async (t) => {
  const { answered, call, say, socket } = await called(t);
  say("talk", "ESTABLISHED");
  await answered;
  const progress = [];
  call.on("TRANSFER", ({ status }) => progress.push(status));
  const failed = call.transfer("1002");
  assert.deepEqual(socket.last("transfer"), { callId: call.id(), target: "1002" });
  say("notifyTransferEvent", "TRYING");
  say("notifyTransferEvent", "FAILED");
  await assert.rejects(failed, { reason: "failed" });
  const done = call.transfer("1003");
  say("notifyTransferEvent", "COMPLETED");
  await done;
  assert.deepEqual(progress, ["TRYING", "FAILED", "COMPLETED"]);
});

test("calls that cannot be made", async (t) => {
  const { session, socket, world } = await established(t);
  for (const options of [undefined, {}, { callee: 5 }]) {
    assert.throws(() => session.createCall(options), TypeError);
  }
  world.capture = () => {
    throw Object.assign(new Error("no camera"), { name: "NotFoundError" });
  };
  const call = session.createCall({ callee: "1001" });
  await assert.rejects(call.call(), { reason: "no_device" });
  assert.deepEqual([call.status(), call.getInfo(), socket.count("call"), socket.count("hangup")], ["FAILED", "Local error", 0, 0]);
  assert.match(call.getErrorInfo(), /no camera/);
  await session.disconnect();
  assert.throws(() => session.createCall({ callee: "1001" }), { reason: "invalid_state" });
});

test("a signal gives up a call", async (t) => {
  const giveUp = new AbortController();
  const { answered, call, say, socket } = await called(t, { signal: { signal: giveUp.signal } });
  giveUp.abort(new Error("enough"));
  await assert.rejects(answered, { message: "enough" });
  assert.deepEqual(socket.last("hangup"), { callId: call.id() });
  say("finish", "FINISH");
  await call.ended;
});

test("a lost session ends its calls, a kept one does not", async (t) => {
  const { answered, call, say, world } = await called(t, { session: { reconnect: { firstPauseMs: 1, maxPauseMs: 2 } } });
  say("talk", "ESTABLISHED");
  await answered;
  world.sockets[0].drop();
  await until(() => world.sockets.length === 2);
  world.sockets[1].establish();
  world.sockets[1].say("hold", { callId: call.id(), status: "HOLD" });
  assert.equal(call.status(), "HOLD");
  world.sockets[1].drop();
  await until(() => world.sockets.length === 3);
  world.sockets[2].establish("another");
  await call.ended;
  assert.deepEqual([call.status(), call.error.reason], ["FAILED", "disconnected"]);
});

test("a call that loses its network restarts ICE, and goes on whatever the answer", async (t) => {
  const listeners = {};
  globalThis.addEventListener = (name, f) => (listeners[name] = f);
  t.after(() => delete globalThis.addEventListener);
  const { call, say, socket, told, world } = await called(t, { session: { reconnect: { firstPauseMs: 1, maxPauseMs: 2 } } });
  const [peer] = world.peers;
  const turns = (state) => {
    peer.iceConnectionState = state;
    peer.oniceconnectionstatechange();
  };
  turns("disconnected");
  listeners.online();
  socket.say("setRemoteSDP", call.id(), "v=0\r\n");
  say("talk", "ESTABLISHED");
  assert.equal(socket.count("restartIce"), 0, "the call was not answered yet");
  const before = told.length;
  const asked = (n, on = socket) => until(() => on.count("restartIce") === n, `restart ${n}`);
  turns("failed");
  await asked(1);
  assert.deepEqual(socket.last("restartIce"), { mediaSessionId: call.id(), sdp: peer.local.sdp });
  assert.deepEqual(peer.offered.at(-1), { iceRestart: true });
  turns("disconnected"); // the answer has not come yet
  peer.remote = null;
  socket.say("setRemoteSDP", call.id(), "v=0\r\n");
  await until(() => peer.remote);
  turns("connected");
  listeners.online();
  await asked(2);
  socket.say("fail", { apiMethod: "restartIce", id: call.id(), status: "FAILED", info: "no" });
  peer.refuses = true;
  listeners.online();
  await asked(3);
  socket.say("setRemoteSDP", call.id(), "v=0\r\n"); // the browser does not take it
  await new Promise(setImmediate);
  assert.deepEqual([told.length, call.status(), peer.state], [before, "ESTABLISHED", "new"]);
  listeners.online();
  await asked(4);
  socket.drop(); // with the request
  await until(() => world.sockets.length === 2);
  world.sockets[1].establish();
  await asked(1, world.sockets[1]);
  say("finish", "FINISH");
});
