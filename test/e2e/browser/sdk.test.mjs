// Tests the SDK without a browser: each test plays the server, the devices and the network. `npm test` compiles the SDK first.

import assert from "node:assert/strict";
import { webcrypto } from "node:crypto";
import { describe, test } from "node:test";
import { Pauses } from "./.build/sdk/backoff.js";
import { Flashphoner, reasons, SdkError, SESSION_STATUS, STREAM_EVENT, STREAM_EVENT_TYPE, STREAM_STATUS, STREAM_STATUS_INFO,
} from "./.build/sdk/index.js";
import { streamError } from "./.build/sdk/errors.js";
import { QualityMeter } from "./.build/sdk/quality.js";
import { addFormat } from "./.build/sdk/sdp.js";
import { fakeBrowser, FakeDisplay, FakeMediaStream, FakeTrack } from "./lib/fake-browser.mjs";

globalThis.crypto ??= webcrypto; // Node 18

const quick = { firstPauseMs: 1, maxPauseMs: 2 };
const urlServer = "wss://server.test:8443";

/** Waits until the condition holds. */
async function until(condition, what = String(condition)) {
  for (const deadline = Date.now() + 10_000; !condition(); await new Promise((resolve) => setTimeout(resolve, 1))) {
    assert.ok(Date.now() < deadline, `not in time: ${what}`);
  }
}

/** Makes a session whose socket the test controls. `told` lists the statuses that the session has reported. */
function connect(t, options = {}) {
  const world = fakeBrowser(t);
  const session = Flashphoner.createSession({ urlServer, ...options });
  const told = [];
  for (const status of Object.values(SESSION_STATUS)) {
    session.on(status, () => told.push(status));
  }
  t.after(() => session.disconnect());
  return { world, session, told, get socket() {
    return world.sockets.at(-1);
  } };
}

async function established(t, options) {
  const all = connect(t, options);
  all.socket.establish();
  await all.session.connected;
  return all;
}

/** Makes a stream that the test's server knows. `told` lists the statuses that the stream has reported. */
async function requested(t, mode, { options = {}, session = {} } = {}) {
  const all = await established(t, session);
  const display = new FakeDisplay();
  const stream = all.session.createStream({ name: "n", display, ...options });
  const told = [];
  for (const status of Object.values(STREAM_STATUS)) {
    stream.on(status, () => told.push(status));
  }
  const live = stream[mode]();
  await until(() => all.socket.last(`${mode}Stream`), `${mode}Stream`);
  const status = (name, info) => all.world.sockets.at(-1).say("notifyStreamStatusEvent", { mediaSessionId: stream.id(), status: name, info });
  const answer = () => all.world.sockets.at(-1).say("setRemoteSDP", stream.id(), "v=0\r\n");
  return { ...all, display, stream, live, told, status, answer };
}

async function running(t, mode, more) {
  const all = await requested(t, mode, more);
  all.answer();
  all.status(mode === "publish" ? "PUBLISHING" : "PLAYING");
  await all.live;
  return all;
}

describe("STUN and TURN servers", () => {
  const told = [{ urls: "turn:turn.example.com", username: "1:a", credential: "b" }];
  const publishing = async (t, iceServers, options) => {
    const { world, session, socket } = connect(t, options);
    socket.accept();
    socket.say("getUserData", { ...socket.last("connection"), authToken: "token", iceServers });
    await session.connected;
    void session.createStream({ name: "n", display: new FakeDisplay() }).publish().catch(() => undefined);
    await until(() => world.peers.length > 0, "a connection");
    return world.peers[0].config;
  };

  test("the server's are used", async (t) => {
    assert.deepEqual((await publishing(t, told)).iceServers, told);
  });

  test("the page's own take their place", async (t) => {
    const own = [{ urls: "stun:own.example" }];
    const config = await publishing(t, told, { mediaOptions: { iceServers: own } });
    assert.deepEqual(config, { bundlePolicy: "max-bundle", iceServers: own });
  });

  test("other options of the page leave them", async (t) => {
    const config = await publishing(t, told, { mediaOptions: { iceTransportPolicy: "relay" } });
    assert.deepEqual(config, { bundlePolicy: "max-bundle", iceServers: told, iceTransportPolicy: "relay" });
  });

  test("a server that tells none", async (t) => {
    assert.equal((await publishing(t, undefined)).iceServers, undefined);
  });
});

describe("tokens", () => {
  const jwt = (secondsLeft) => `x.${btoa(JSON.stringify({ exp: Date.now() / 1000 + secondsLeft }))}.y`;

  test("a token goes beside the page's own data", async (t) => {
    const { socket } = connect(t, { custom: { who: "me" }, token: "tpk_1" });
    socket.accept();
    assert.deepEqual(socket.last("connection").custom, { who: "me", token: "tpk_1" });
    const stream = await requested(t, "play", { session: { token: "tpk_1" }, options: { token: "tpk_2", custom: { a: 1 } } });
    assert.deepEqual(stream.socket.last("playStream").custom, { a: 1, token: "tpk_2" });
    assert.equal("token" in stream.socket.last("playStream"), false);
  });

  test("data that is no object has no place for a token", async (t) => {
    const { stream, live } = await (async () => {
      const { session } = await established(t, {});
      const stream = session.createStream({ name: "n", display: new FakeDisplay(), token: "tpk_2", custom: "text" });
      return { stream, live: stream.play() };
    })();
    await assert.rejects(live, { reason: "invalid_option" });
    assert.equal(stream.status(), "FAILED");
    assert.throws(() => connect(t, { token: "tpk_1", custom: 7 }), { reason: "invalid_option" });
  });

  test("a function gives a token for each connection, and for a stream when the last one has expired", async (t) => {
    const given = [];
    const token = async () => {
      given.push(jwt(given.length === 1 ? 2 : 600)); // the second expires soon
      return given.at(-1);
    };
    const all = connect(t, { token, reconnect: quick });
    await until(() => all.socket, "the first socket");
    all.socket.establish();
    await all.session.connected;
    assert.equal(all.socket.last("connection").custom.token, given[0]);
    const first = all.socket;
    first.drop();
    await until(() => all.socket !== first, "the second socket");
    all.socket.establish();
    await until(() => all.session.status() === "ESTABLISHED", "established again");
    assert.equal(all.socket.last("connection").custom.token, given[1]);
    void all.session.createStream({ name: "n", display: new FakeDisplay() }).play();
    await until(() => all.socket.last("playStream"), "playStream");
    assert.equal(given.length, 3);
    assert.equal(all.socket.last("playStream").custom.token, given[2]);
    void all.session.createStream({ name: "m", display: new FakeDisplay() }).play();
    await until(() => all.socket.count("playStream") === 2, "the second player");
    assert.equal(given.length, 3);
    assert.equal(all.socket.last("playStream").custom, undefined);
  });

  test("a function that fails ends the session, and so does the page while it waits", async (t) => {
    const failing = connect(t, { token: () => Promise.reject(new Error("nobody is logged in")) });
    await assert.rejects(failing.session.connected, { reason: "unauthorized", info: "nobody is logged in" });
    assert.equal(failing.session.status(), "FAILED");
    let give;
    const waiting = connect(t, { token: () => new Promise((resolve) => (give = resolve)) });
    await until(() => give, "the function is called");
    await waiting.session.disconnect();
    give("tpk_1");
    await new Promise((resolve) => setTimeout(resolve, 5));
    assert.equal(waiting.world.sockets.length, 0);
  });

  test("a server that refuses a page says why, and is not asked again", async (t) => {
    for (const token of ["tpk_1", async () => "tpk_1"]) {
      const all = connect(t, { token, reconnect: quick });
      await until(() => all.socket, "a socket");
      all.socket.accept();
      all.socket.say("fail", { apiMethod: "connect", status: "FAILED", info: "Restricted access", reason: "the token has expired" });
      all.socket.drop("the token has expired");
      await assert.rejects(all.session.connected, { reason: "restricted", info: "the token has expired" });
      assert.deepEqual([all.session.status(), all.session.error.reason, all.world.sockets.length], ["FAILED", "restricted", 1]);
    }
  });

  test("a session whose token was good begins again with another one, if the page has one", async (t) => {
    for (const [token, again] of [["tpk_1", false], [async () => "tpk_1", true]]) {
      const all = connect(t, { token, reconnect: quick });
      await until(() => all.socket, "a socket");
      all.socket.establish();
      await all.session.connected;
      all.socket.say("fail", { apiMethod: "connect", status: "FAILED", info: "Restricted access", reason: "access_expired" });
      all.socket.drop("access_expired");
      await until(() => all.session.status() === (again ? "RECONNECTING" : "FAILED"), `again: ${again}`);
    }
  });

  test("a refused stream has the server's words", async (t) => {
    const { live, socket, stream } = await requested(t, "publish");
    socket.say("notifyStreamStatusEvent", { mediaSessionId: stream.id(), status: "FAILED", info: "Restricted access", reason: "no grant" });
    await assert.rejects(live, { reason: "restricted", info: "no grant" });
    assert.equal(stream.getInfo(), "Restricted access");
  });
});

describe("session", () => {
  test("a session from connecting to the end", async (t) => {
    const { session, socket, told } = connect(t, { custom: { who: "me" }, keepAlive: true });
    assert.deepEqual([socket.url, session.status(), session.getServerUrl()], [urlServer, "PENDING", urlServer]);
    assert.throws(() => session.createStream({ name: "early" }), { reason: "invalid_state" });
    socket.accept();
    assert.deepEqual(socket.last("connection"), {
      appKey: "defaultApp", mediaProviders: ["WebRTC"], keepAlive: true, clientVersion: "2.0", clientOSVersion: "5.0",
      clientBrowserVersion: "Fake/1.0", msePacketizationVersion: 2, custom: { who: "me" },
    });
    let connection;
    session.on(SESSION_STATUS.ESTABLISHED, (s, c) => (connection = c));
    socket.say("getUserData", { authToken: "token" });
    assert.equal(await session.connected, session);
    assert.deepEqual([session.status(), connection.authToken], ["ESTABLISHED", "token"]);
    assert.deepEqual([Flashphoner.getSessions(), Flashphoner.getSession(session.id())], [[session], session]);
    assert.throws(() => session.createStream({}), TypeError);
    await session.disconnect();
    await session.disconnect(); // a second call does no harm
    assert.deepEqual(told, ["CONNECTED", "DISCONNECTED"]);
    assert.deepEqual([Flashphoner.getSessions(), session.error], [[], null]);
  });

  test("pings are answered, and malformed messages are ignored", async (t) => {
    const { session, socket } = await established(t);
    socket.say("ping");
    assert.equal(socket.last("pong"), null);
    for (const raw of ["", "no JSON", "null", "[]", "{}", '{"message":7}', '{"message":"ping"}', '{"message":"setRemoteSDP"}',
      '{"message":"notifyStreamStatusEvent","data":[null]}', '{"message":"notifyStreamStatusEvent","data":[{"mediaSessionId":"x"}]}',
      '{"message":"availableStream","data":[]}', '{"message":"getVersion","data":[{}]}', '{"message":"DataStatusEvent","data":[]}']) {
      socket.raw(raw);
    }
    socket.raw(new Blob());
    assert.deepEqual([socket.count("pong"), session.status()], [2, "ESTABLISHED"]);
  });

  test("reasons why a session does not connect", async (t) => {
    for (const [what, act, reason, status, info = ""] of [
      ["refused", ({ socket }) => socket.drop(), "connect_failed", "FAILED"],
      ["forbidden by the page's policy", ({ socket }) => socket.onerror({}), "connect_failed", "FAILED"],
      ["not in time", () => undefined, "connect_timeout", "FAILED"],
      ["closed at once", ({ socket }) => {
        socket.accept();
        socket.drop("too many");
      }, "disconnected", "DISCONNECTED", "too many"],
    ]) {
      await t.test(what, async (t) => {
        const all = connect(t, { timeout: what === "not in time" ? 5 : 0, reconnect: true });
        act(all);
        await assert.rejects(all.session.connected, (error) => error instanceof SdkError && error.reason === reason && error.info === info);
        assert.equal(all.told.at(-1), status);
        assert.equal(Flashphoner.getSessions().length, 0);
      });
    }
    fakeBrowser(t);
    assert.throws(() => Flashphoner.createSession({ urlServer: "http://server.test" }), { reason: "invalid_option" });
    assert.throws(() => Flashphoner.createSession({}), TypeError);
    const { createStream, status } = Flashphoner.createSession({ urlServer }); // pages of the vendor's SDK take methods in this way
    assert.equal(status(), "PENDING");
    assert.throws(() => createStream({ name: "n" }), { reason: "invalid_state", info: "Invalid session state PENDING" });
    await Promise.all(Flashphoner.getSessions().map(({ disconnect }) => disconnect()));
  });

  test("a session ends when the server is silent, and goes on while the server sends messages", async (t) => {
    let [now, look] = [0, () => undefined];
    t.mock.method(Date, "now", () => now);
    t.mock.method(globalThis, "setInterval", (f) => (look = f));
    const { session, socket } = await established(t, { receiveProbes: 2, probesInterval: 5000 });
    for (const [at, says] of [[9_000, true], [19_000, false], [19_001, false]]) {
      assert.equal(session.status(), "ESTABLISHED", `at ${now}`);
      now = at;
      says && socket.say("ping");
      look();
    }
    assert.deepEqual([session.status(), session.error.reason], ["FAILED", "silent"]);
  });

  test("a signal ends a session that connects", async (t) => {
    const aborter = new AbortController();
    const { session } = connect(t, { signal: aborter.signal });
    aborter.abort("changed my mind");
    await assert.rejects(session.connected, (reason) => reason === "changed my mind");
    await until(() => session.status() === "DISCONNECTED");
    const late = connect(t, { signal: aborter.signal });
    await assert.rejects(late.session.connected, (reason) => reason === "changed my mind");
    assert.equal(late.world.sockets.length, 0);
  });

  test("data is exchanged with the server's application", async (t) => {
    const { session, socket } = await established(t);
    const [yes, no, never] = [session.sendData({ a: 1 }), session.sendData(2), session.sendData(3)];
    const ids = socket.sent.filter(([name]) => name === "sendData").map(([, { operationId }]) => operationId);
    assert.deepEqual(socket.sent.filter(([name]) => name === "sendData").map(([, { payload }]) => payload), [{ a: 1 }, 2, 3]);
    socket.say("DataStatusEvent", { operationId: ids[1], status: "FAILED", info: "not today" });
    socket.say("DataStatusEvent", { operationId: ids[0], status: "ACCEPTED" });
    assert.deepEqual(await yes, { status: "ACCEPTED" });
    await assert.rejects(no, { reason: "data_refused", info: "not today" });
    const heard = [];
    session.on(SESSION_STATUS.APP_DATA, (data) => heard.push(data)).on(SESSION_STATUS.WARN, (warning) => heard.push(warning));
    socket.say("OnDataEvent", { payload: 7 });
    socket.say("fail", { info: "no SIP" });
    assert.deepEqual(heard, [{ payload: 7 }, { info: "no SIP" }]);
    socket.drop();
    await assert.rejects(never, { reason: "disconnected" });
    await assert.rejects(session.sendData(4), { reason: "invalid_state" });
  });
});

describe("publishing", () => {
  test("a publisher from the camera to the end", async (t) => {
    const { world, socket, display, stream, live, told, status, answer } = await requested(t, "publish",
      { options: { rtmpUrl: "rtmp://far.test/live", custom: 1, constraints: { audio: true, video: { width: 1280, maxBitrate: 900 } } } });
    assert.deepEqual(world.asked, [{ audio: true, video: { width: 1280 } }]);
    const request = socket.last("publishStream");
    assert.deepEqual({ ...request, sdp: "" }, {
      mediaSessionId: stream.id(), name: "n", published: true, hasVideo: true, hasAudio: true, status: "PENDING", record: false,
      mediaProvider: "WebRTC", sdp: "", custom: 1, bitrate: 0, minBitrate: 0, maxBitrate: 900, rtmpUrl: "rtmp://far.test/live",
      constraints: { audio: true, video: { width: 1280, maxBitrate: 900 } },
    });
    assert.match(request.sdp, /^v=0/);
    const [video] = display.children;
    assert.deepEqual([video.id, video.muted, video.srcObject], [stream.id(), true, stream.mediaStream]);
    answer();
    await until(() => world.peers[0].remote);
    assert.equal(stream.status(), "PENDING");
    status("PUBLISHING");
    assert.equal(await live, stream);
    assert.deepEqual(world.peers[0].getTransceivers()[1].sender.getParameters().encodings, [{ maxBitrate: 900_000 }]);
    const stopped = stream.stop();
    assert.equal(socket.last("unPublishStream").mediaSessionId, stream.id());
    status("UNPUBLISHED", STREAM_STATUS_INFO.STOPPED_BY_USER);
    assert.equal(await stopped, stream);
    assert.equal(await stream.stop(), stream);
    assert.deepEqual(told, ["PUBLISHING", "UNPUBLISHED"]);
    assert.deepEqual([stream.error, stream.getInfo(), world.peers[0].state, display.children], [null, "Stopped by user", "closed", []]);
    assert.ok(stream.mediaStream.getTracks().every(({ readyState }) => readyState === "ended"));
    await assert.rejects(stream.publish(), { reason: "invalid_state" });
  });

  test("devices stay open for the next stream if the page wants it", async (t) => {
    const { session, socket, world, display, stream, status } = await running(t, "publish", { options: { cacheLocalResources: true } });
    void stream.stop();
    status("UNPUBLISHED");
    assert.equal(display.children.length, 1);
    const second = session.createStream({ name: "n", display, cacheLocalResources: true });
    void second.publish();
    await until(() => socket.count("publishStream") === 2);
    assert.deepEqual([world.asked.length, second.mediaStream], [1, stream.mediaStream]);
    assert.equal(Flashphoner.releaseLocalMedia(display), false, "a stream sends it");
    assert.ok(second.mediaStream.getTracks().every(({ readyState }) => readyState === "live"));
    void second.stop();
    socket.say("notifyStreamStatusEvent", { mediaSessionId: second.id(), status: "UNPUBLISHED" });
    assert.equal(Flashphoner.releaseLocalMedia(display), true);
    assert.deepEqual([display.children, Flashphoner.releaseLocalMedia(display)], [[], false]);
  });

  test("two streams use one camera", async (t) => {
    const { session, socket, world, display, stream, status } = await running(t, "publish");
    const second = session.createStream({ name: "m", display });
    void second.publish();
    await until(() => socket.count("publishStream") === 2);
    assert.deepEqual([world.asked.length, second.mediaStream], [1, stream.mediaStream]);
    void stream.stop();
    status("UNPUBLISHED");
    assert.equal(second.mediaStream.getTracks()[0].readyState, "live");
    void second.stop();
    socket.say("notifyStreamStatusEvent", { mediaSessionId: second.id(), status: "UNPUBLISHED" });
    assert.deepEqual([second.mediaStream.getTracks()[0].readyState, display.children], ["ended", []]);
  });

  test("the server's words for an end become a reason", () => {
    for (const [info, reason] of [
      ["Failed by ICE error", "ice_failed"], ["Failed by ICE timeout", "ice_failed"], ["Failed by ICE keep alive", "media_lost"],
      ["Failed by DTLS fingerprint error", "ice_failed"], ["Failed by DTLS error", "ice_failed"], ["Failed by RTMP writer error", "push_failed"],
      ["Failed by RTP activity", "media_lost"], ["Stopped by session disconnect", "disconnected"], ["Stopped by rest /terminate", "terminated"],
      ["Stopped by publisher stop", "publisher_stopped"], ["Stopped by user", "stopped"], ["Failed by error", "failed"],
      ["Publish stream is not ready", "not_ready"], ["Stream not found", "stream_not_found"], ["Stream name is already in use", "name_in_use"],
      ["MediaSessionId is null", "failed"], ["MediaSessionId is already in use", "failed"], ["Session not ready", "not_ready"],
      ["Session does not exist", "stream_not_found"], ["Rtsp stream not found", "stream_not_found"],
      ["Failed to connect to rtsp stream", "failed"], ["File not found", "stream_not_found"], ["File has wrong format", "failed"],
      ["No common codecs", "no_common_codecs"], ["Transcoding required, but disabled", "transcoding_disabled"],
      ["Restricted access", "restricted"], ["No available transcoders", "no_transcoder"],
      ["what nobody knows", "failed"], ["", "failed"],
    ]) {
      assert.equal(streamError(info).reason, reason, info);
    }
    assert.equal(streamError("Failed by error").message, `${reasons.failed} (Failed by error)`);
    assert.equal(new SdkError("busy", "full").message, `${reasons.busy} (full)`);
    assert.equal(streamError("Stopped by publisher stop").message, reasons.publisher_stopped);
    for (const [reason, sentence] of Object.entries(reasons)) {
      assert.match(sentence, /^[A-Z][^(]*\.$/, reason);
    }
  });

  test("the server refuses a stream", async (t) => {
    const { stream, live, told, status } = await requested(t, "publish");
    status("FAILED", STREAM_STATUS_INFO.STREAM_NAME_ALREADY_IN_USE);
    await assert.rejects(live, { reason: "name_in_use", info: "Stream name is already in use" });
    assert.deepEqual([told, stream.getInfo(), stream.error.reason], [["FAILED"], "Stream name is already in use", "name_in_use"]);
    assert.equal(await stream.ended, stream);
  });

  test("devices that are missing or not allowed", async (t) => {
    for (const [name, reason] of [["NotAllowedError", "permission_denied"], ["NotFoundError", "no_device"],
      ["NotReadableError", "device_busy"], ["OverconstrainedError", "no_device"], ["Error", "device_failed"]]) {
      const { session, socket, world } = await established(t);
      world.capture = () => {
        throw Object.assign(new Error("no camera today"), { name });
      };
      const stream = session.createStream({ name: "n" });
      await assert.rejects(stream.publish(), { reason, info: "no camera today" });
      assert.deepEqual([stream.status(), stream.getInfo(), stream.getErrorInfo() !== ""], ["FAILED", "Local error", true]);
      assert.equal(socket.count("publishStream"), 0);
    }
  });

  test("an answer that the browser refuses", async (t) => {
    const { socket, stream, live, world, answer } = await requested(t, "publish");
    world.peers[0].refuses = true;
    answer();
    await assert.rejects(live, { reason: "no_common_codecs" });
    assert.equal(socket.last("unPublishStream").mediaSessionId, stream.id());
  });

  test("a stream can be stopped at any time", async (t) => {
    await t.test("before it begins", async (t) => {
      const { session, socket } = await established(t);
      const stream = session.createStream({ name: "n" });
      await stream.stop();
      assert.deepEqual([stream.status(), socket.count("unPublishStream")], ["FAILED", 0]);
    });
    await t.test("while the camera opens", async (t) => {
      const { session, socket, world } = await established(t);
      let open;
      const track = new FakeTrack("video");
      world.capture = () => new Promise((resolve) => (open = () => resolve(new FakeMediaStream([track]))));
      const stream = session.createStream({ name: "n" });
      const live = stream.publish();
      await until(() => open);
      await stream.stop();
      open();
      await assert.rejects(live, { reason: "stopped" });
      await until(() => track.readyState === "ended");
      assert.deepEqual([stream.status(), socket.count("publishStream")], ["UNPUBLISHED", 0]);
    });
    await t.test("before the server answered", async (t) => {
      const { socket, stream, live, told, status } = await requested(t, "publish");
      const stopped = stream.stop();
      status("PUBLISHING"); // was sent before the server read the stop
      assert.equal(socket.count("unPublishStream"), 2);
      status("UNPUBLISHED");
      await stopped;
      await assert.rejects(live, { reason: "stopped" });
      assert.deepEqual(told, ["UNPUBLISHED"]);
    });
    await t.test("while the publisher stops as well", async (t) => {
      const { stream, status } = await running(t, "play");
      const stopped = stream.stop();
      status("FAILED", STREAM_STATUS_INFO.STOPPED_BY_PUBLISHER_STOP);
      await stopped;
      assert.deepEqual([stream.status(), stream.error], ["STOPPED", null]);
    });
    await t.test("without an answer", async (t) => {
      const { stream } = await running(t, "play");
      const timer = setTimeout;
      t.mock.method(globalThis, "setTimeout", (f, ms) => timer(f, ms / 1000)); // a second lasts a millisecond
      await stream.stop();
      assert.equal(stream.status(), "STOPPED");
    });
    await t.test("by a signal", async (t) => {
      const { session, socket } = await established(t);
      const aborter = new AbortController();
      const stream = session.createStream({ name: "n" });
      const live = stream.publish({ signal: aborter.signal });
      await until(() => socket.last("publishStream"));
      aborter.abort(new Error("late"));
      await assert.rejects(live, { message: "late" });
      assert.equal(socket.count("unPublishStream"), 1);
      await assert.rejects(session.createStream({ name: "n" }).publish({ signal: aborter.signal }), { message: "late" });
    });
  });

  test("a publisher switches to another camera, microphone and screen", async (t) => {
    const { world, stream } = await running(t, "publish");
    const senders = world.peers[0].getTransceivers().map(({ sender }) => sender);
    const front = senders[1].track;
    front.enabled = false;
    world.capture = ({ video }) => new FakeMediaStream([new FakeTrack("video", video.deviceId?.exact ?? "screen")]);
    assert.equal(await stream.switchCam(), "back");
    assert.deepEqual([front.readyState, senders[1].track.deviceId, senders[1].track.enabled], ["ended", "back", false]);
    assert.equal(await stream.switchCam("front"), "front");
    await assert.rejects(stream.switchMic(), { reason: "no_device" });
    const camera = senders[1].track;
    await stream.switchToScreen();
    assert.deepEqual([senders[1].track.deviceId, camera.readyState], ["screen", "live"]);
    const first = senders[1].track;
    await stream.switchToScreen(); // another screen
    assert.equal(first.readyState, "ended");
    const screen = senders[1].track;
    screen.dispatchEvent(new Event("ended"));
    await until(() => senders[1].track === camera);
    assert.equal(screen.readyState, "ended");
    await stream.updateVideoResolution({ width: 640 });
    assert.deepEqual(camera.applied, { width: 640 });
    assert.deepEqual(await stream.updateVideoSettings({ frameRate: 5, scaleResolutionDownBy: 2 }),
      [{ maxFramerate: 5, scaleResolutionDownBy: 2 }]);
  });

  describe("a device that cannot be opened", () => {
    const error = (name) => Object.assign(new Error("no"), { name });
    /** Makes a publisher. Of exclusive devices only one of each kind can be open. Missing or busy devices cannot be opened. */
    async function withDevices(t, { busy = [], exclusive = false, more } = {}) {
      const all = await running(t, "publish", more);
      const { world } = all;
      const open = [];
      const senders = world.peers[0].getTransceivers().map(({ sender }) => sender);
      open.push(...senders.map(({ track }) => track));
      world.devices = ["front", "back", "taken"].map((deviceId) => ({ kind: "videoinput", deviceId, label: "" }))
        .concat(["mic", "mic2"].map((deviceId) => ({ kind: "audioinput", deviceId, label: "" })));
      world.capture = ({ audio, video }) => {
        const kind = video ? "video" : "audio";
        const id = (video || audio).deviceId?.exact ?? (video ? "front" : "mic");
        if (!world.devices.some(({ deviceId }) => deviceId === id)) {
          throw error("OverconstrainedError");
        }
        if (busy.includes(id) || (exclusive && open.some((track) => track.kind === kind && track.readyState === "live"))) {
          throw error("NotReadableError");
        }
        open.push(new FakeTrack(kind, id));
        return new FakeMediaStream([open.at(-1)]);
      };
      const live = () => open.filter(({ readyState }) => readyState === "live").map(({ deviceId }) => deviceId).sort();
      return { ...all, senders, live, mic: senders[0].track, camera: senders[1].track };
    }

    test("the device in use goes on", async (t) => {
      const { stream, senders, mic, camera, live } = await withDevices(t);
      await assert.rejects(stream.switchCam("nope"), { reason: "no_device" });
      await assert.rejects(stream.switchMic("nope"), { reason: "no_device" });
      assert.deepEqual([senders[1].track, camera.readyState, senders[0].track, mic.readyState], [camera, "live", mic, "live"]);
      assert.equal(await stream.switchCam("front"), "front"); // it is in use already
      assert.equal(senders[1].track, camera);
      assert.equal(await stream.switchMic(), "mic2");
      assert.deepEqual([live(), senders[1].track], [["front", "mic2"], camera]);
    });

    test("the new device is open before the old one closes", async (t) => {
      const { world, stream, camera, live } = await withDevices(t);
      const { capture } = world;
      let before;
      world.capture = (constraints) => {
        before = camera.readyState;
        return capture(constraints);
      };
      assert.deepEqual([await stream.switchCam(), before, live()], ["back", "live", ["back", "mic"]]);
    });

    test("a busy device", async (t) => {
      const { stream, senders, mic, live } = await withDevices(t, { busy: ["taken"] });
      await assert.rejects(stream.switchCam("taken"), { reason: "device_busy" });
      assert.deepEqual([live(), senders[1].track.readyState, senders[0].track], [["front", "mic"], "live", mic]);
      assert.ok(stream.mediaStream.getTracks().includes(senders[1].track));
    });

    test("only one device can be open", async (t) => {
      const { stream, senders, live } = await withDevices(t, { busy: ["taken"], exclusive: true });
      assert.equal(await stream.switchCam("back"), "back");
      await assert.rejects(stream.switchCam("taken"), { reason: "device_busy" });
      assert.deepEqual([live(), senders[1].track.deviceId, senders[1].track.readyState], [["back", "mic"], "back", "live"]);
    });

    test("while the screen is shown", async (t) => {
      const { world, stream, senders, live, camera } = await withDevices(t, { busy: ["taken"] });
      const screen = new FakeTrack("video", "screen");
      navigator.mediaDevices.getDisplayMedia = async () => {
        throw error("NotAllowedError");
      };
      await assert.rejects(stream.switchToScreen(), { reason: "permission_denied" });
      assert.deepEqual([senders[1].track, camera.readyState], [camera, "live"]);
      navigator.mediaDevices.getDisplayMedia = async () => new FakeMediaStream([screen]);
      await stream.switchToScreen();
      await assert.rejects(stream.switchCam("nope"), { reason: "no_device" });
      assert.deepEqual([senders[1].track, screen.readyState, camera.readyState], [screen, "live", "live"]);
      camera.stop(); // unplugged
      world.devices = world.devices.filter(({ deviceId }) => deviceId !== "front");
      await assert.rejects(stream.switchToCam(), { reason: "no_device" });
      assert.equal(screen.readyState, "live");
      assert.equal(await stream.switchCam(), "back");
      assert.deepEqual([senders[1].track.deviceId, screen.readyState, live()], ["back", "ended", ["back", "mic"]]);
    });

    test("switches run one after another, and end with the stream", async (t) => {
      const { world, stream, status, senders, live } = await withDevices(t);
      const both = await Promise.all([stream.switchCam(), stream.switchCam()]);
      assert.deepEqual([both, senders[1].track.deviceId], [["back", "taken"], "taken"]);
      let go;
      const { capture } = world;
      world.capture = (constraints) => new Promise((resolve) => (go = () => resolve(capture(constraints))));
      const switched = stream.switchCam();
      await until(() => go);
      void stream.stop();
      status("UNPUBLISHED");
      go();
      await assert.rejects(switched, { reason: "stopped" });
      assert.deepEqual(live(), []);
    });

    test("another preview in the display of a live stream", async (t) => {
      const { display, stream, camera, live } = await withDevices(t);
      await assert.rejects(Flashphoner.getMediaAccess({ audio: false, video: { deviceId: { exact: "nope" } } }, display), { reason: "no_device" });
      assert.equal(display.children.length, 1);
      await Flashphoner.getMediaAccess({ audio: false, video: { deviceId: { exact: "back" } } }, display);
      assert.deepEqual([camera.readyState, stream.status(), live(), display.children.length], ["live", "PUBLISHING", ["back", "front", "mic"], 1]);
      assert.equal(Flashphoner.releaseLocalMedia(display), true);
      assert.deepEqual(live(), ["front", "mic"]);
    });

    test("the tracks of a page's own stream are not stopped", async (t) => {
      const own = new FakeMediaStream([new FakeTrack("audio", "page"), new FakeTrack("video", "page")]);
      const [, picture] = own.getTracks();
      const { stream, status, live } = await withDevices(t, { more: { options: { constraints: { customStream: own } } } });
      await stream.switchCam("back");
      assert.equal(picture.readyState, "live");
      void stream.stop();
      status("UNPUBLISHED");
      assert.deepEqual(live(), ["page", "page"]);
    });
  });

  test("players are told about muting", async (t) => {
    const { socket, stream } = await running(t, "publish");
    stream.muteAudio();
    stream.muteVideo();
    assert.deepEqual([stream.isAudioMuted(), stream.isVideoMuted()], [true, true]);
    stream.unmuteAudio();
    stream.unmuteVideo();
    assert.deepEqual([stream.isAudioMuted(), stream.isVideoMuted()], [false, false]);
    stream.sendData({ count: 23 });
    const id = stream.id();
    assert.deepEqual(socket.sent.filter(([name]) => name === "sendStreamEvent").map(([, event]) => event), [
      { mediaSessionId: id, type: "audioMuted" }, { mediaSessionId: id, type: "videoMuted" },
      { mediaSessionId: id, type: "audioUnmuted" }, { mediaSessionId: id, type: "videoUnmuted" },
      { mediaSessionId: id, type: "data", payload: { count: 23 } },
    ]);
  });
});

describe("playing", () => {
  test("a player from the request to the end of the publisher", async (t) => {
    const { world, socket, display, stream, live, told, status, answer } = await requested(t, "play",
      { options: { constraints: { audio: { stereo: true, outputId: "ear" }, video: { width: 640, height: 360 } } } });
    assert.deepEqual(told, ["PENDING"]);
    const { height, published, sdp, width } = socket.last("playStream");
    assert.deepEqual([width, height, published], [640, 360, false]);
    assert.match(sdp, /minptime=10;stereo=1;sprop-stereo=1/);
    assert.deepEqual(world.peers[0].getTransceivers().map(({ direction }) => direction), ["recvonly", "recvonly"]);
    const [video] = display.children;
    assert.deepEqual([video.id, video.sink, stream.video], [stream.id(), "ear", video]);
    answer();
    status("PLAYING");
    await live;
    world.peers[0].receive();
    assert.equal(video.srcObject.getTracks().length, 2);
    stream.setVolume(40);
    assert.deepEqual([stream.getVolume(), stream.isRemoteAudioMuted()], [40, false]);
    status("FAILED", STREAM_STATUS_INFO.STOPPED_BY_PUBLISHER_STOP);
    assert.deepEqual([told.at(-1), stream.error.reason, display.children], ["FAILED", "publisher_stopped", []]);
  });

  test("sound alone is played in a video element of the page", async (t) => {
    const { world } = await established(t);
    const element = document.createElement("video");
    const stream = Flashphoner.getSessions()[0].createStream({ name: "n", display: element, constraints: { audio: true, video: false } });
    void stream.play();
    await until(() => world.peers[0]?.local);
    assert.deepEqual([world.peers[0].getTransceivers().length, element.id, stream.video], [1, "", element]);
  });

  test("a browser that requires a click before it plays sound", async (t) => {
    const { world, stream, display } = await running(t, "play");
    world.autoplay = false;
    const events = [];
    stream.on(STREAM_EVENT, ({ type }) => events.push(type));
    world.peers[0].receive();
    await until(() => events.length > 0);
    assert.deepEqual([events, display.children[0].muted], [[STREAM_EVENT_TYPE.UNMUTE_REQUIRED], true]);
    stream.unmuteRemoteAudio();
    assert.equal(stream.isRemoteAudioMuted(), false);
  });

  test("events, sizes and rates", async (t) => {
    const { world, socket, stream } = await running(t, "play");
    const events = [];
    stream.on(STREAM_EVENT, ({ type, payload }) => events.push([type, payload]));
    const mediaSessionId = stream.id();
    socket.say("notifyStreamEvent", { mediaSessionId, type: "resize", payload: { streamerVideoWidth: 640, streamerVideoHeight: 360 } });
    socket.say("notifyStreamEvent", { mediaSessionId, type: "notEnoughBandwidth", payload: { info: "900000/200000" } });
    socket.say("notifyStreamEvent", { mediaSessionId, type: "data", payload: 7 });
    assert.deepEqual(stream.videoResolution(), { width: 640, height: 360 });
    assert.deepEqual([stream.getRemoteBitrate(), stream.getNetworkBandwidth()], [900000, 200000]);
    assert.deepEqual(events.at(-1), ["data", 7]);

    const qualities = [];
    stream.on("UPDATE", (quality) => qualities.push(quality));
    for (const bytes of [1000, 100_000]) {
      world.peers[0].stats.set("in", { type: "inbound-rtp", kind: "video", bytesReceived: bytes, codecId: "c", frameWidth: 640, frameHeight: 360 });
      world.peers[0].stats.set("c", { id: "c", type: "codec", mimeType: "video/H264", clockRate: 90000 });
      await new Promise((resolve) => setTimeout(resolve, 2)); // a rate needs time between two counts
      socket.say("outboundVideoRate", { mediaSessionId, videoRate: 800_000 });
      await new Promise((resolve) => setTimeout(resolve));
    }
    await until(() => qualities.length === 1);
    const { inboundStream } = await stream.getStats();
    assert.deepEqual(inboundStream.video, { bytesReceived: 100_000, codec: "H264", codecRate: 90000, width: 640, height: 360 });
  });

  test("answers of the server to available and snapshot", async (t) => {
    const { session, socket } = await established(t);
    const stream = session.createStream({ name: "n" });
    const id = stream.id();
    const [yes, picture] = [stream.available(), stream.snapshot()];
    socket.say("availableStream", { id, status: "true" });
    assert.equal(await yes, stream);
    const no = stream.available();
    socket.say("availableStream", { id, status: "false", info: "Stream not found" });
    await assert.rejects(no, (error) => error.reason === "stream_not_found" && error.getInfo() === "Stream not found");
    socket.say("notifyStreamEvent", { mediaSessionId: id, type: "snapshotCompleted", payload: { snapshot: "AAAA" } });
    assert.equal(await picture, "data:image/png;base64,AAAA");
    const failed = stream.snapshot();
    socket.say("notifyStreamEvent", { mediaSessionId: id, type: "snapshotFailed", payload: { info: "not now" } });
    await assert.rejects(failed, { reason: "snapshot_failed", info: "not now" });
    const aborted = stream.available({ signal: AbortSignal.abort("enough") });
    await assert.rejects(aborted, (reason) => reason === "enough");
    const unanswered = stream.snapshot();
    socket.drop();
    await assert.rejects(unanswered, { reason: "disconnected" });
    await assert.rejects(stream.available(), { reason: "invalid_state" });
  });
});

describe("a lost socket", () => {
  test("a lost socket ends the session and its streams without reconnect", async (t) => {
    const { socket, session, stream, told } = await running(t, "publish");
    const order = [];
    stream.on(STREAM_STATUS.FAILED, () => order.push("stream"));
    session.on(SESSION_STATUS.DISCONNECTED, () => order.push("session"));
    socket.drop();
    assert.deepEqual([order, told.at(-1), stream.error.reason], [["stream", "session"], "PUBLISHING", "disconnected"]);
    assert.deepEqual([session.status(), stream.status(), session.getStreams()], ["DISCONNECTED", "FAILED", []]);
  });

  for (const mode of ["publish", "play"]) {
    test(`a session reconnects, and its stream comes back: ${mode}`, async (t) => {
      const { world, session, stream, told, display } = await running(t, mode, { session: { reconnect: quick } });
      const [first, media] = [stream.id(), stream.mediaStream];
      world.sockets[0].drop();
      assert.deepEqual([session.status(), stream.status(), stream.error.reason], ["RECONNECTING", "RESTORING", "disconnected"]);
      assert.equal(world.peers[0].state, "new", "what still flows may flow");
      await until(() => world.sockets.length === 2);
      world.sockets[1].drop(); // the second attempt fails
      await until(() => world.sockets.length === 3);
      world.sockets[2].establish("another");
      await until(() => world.sockets[2].last(`${mode}Stream`));
      assert.notEqual(stream.id(), first);
      assert.deepEqual([session.getStream(first), session.getStream(stream.id())], [undefined, stream]);
      assert.deepEqual([world.peers[0].state, display.children.length, display.children[0].id], ["closed", 1, stream.id()]);
      world.sockets[2].say("notifyStreamStatusEvent", { mediaSessionId: stream.id(), status: mode === "publish" ? "PUBLISHING" : "PLAYING" });
      assert.equal(stream.error, null);
      assert.deepEqual(told.slice(-2), ["RESTORING", mode === "publish" ? "PUBLISHING" : "PLAYING"]);
      if (mode === "publish") {
        assert.deepEqual([world.asked.length, stream.mediaStream], [1, media], "the camera stays open");
      }
    });
  }

  test("a server that kept the session goes on with its streams", async (t) => {
    const { world, session, stream, status, told } = await running(t, "publish", { session: { reconnect: quick } });
    const id = stream.id();
    assert.equal(world.sockets[0].last("connection").keepAlive, true);
    world.sockets[0].drop();
    await until(() => world.sockets.length === 2);
    world.sockets[1].establish();
    assert.equal(world.sockets[1].last("connection").authToken, "token");
    status("PUBLISHING");
    assert.deepEqual([told.slice(-2), stream.id(), world.peers.length, world.peers[0].state], [["RESTORING", "PUBLISHING"], id, 1, "new"]);

    world.sockets[1].drop(); // and now the server does not report the stream
    await until(() => world.sockets.length === 3);
    const timer = setTimeout;
    t.mock.method(globalThis, "setTimeout", (f, ms) => timer(f, ms / 1000));
    world.sockets[2].establish();
    await until(() => world.sockets[2].last("publishStream"));
    assert.notEqual(stream.id(), id);

    const { length } = world.sockets;
    void session.disconnect();
    assert.equal(world.sockets[2].last("unPublishStream").mediaSessionId, stream.id());
    await until(() => session.status() === "DISCONNECTED");
    assert.equal(world.sockets.length, length);
  });

  for (const mode of ["publish", "play"]) {
    test(`a stream that loses its network restarts ICE: ${mode}`, async (t) => {
      const { world, socket, stream, told, answer } = await running(t, mode, { session: { reconnect: quick } });
      const [peer] = world.peers;
      const before = told.length;
      const turns = (state) => {
        peer.iceConnectionState = state;
        peer.oniceconnectionstatechange();
      };
      const asked = (n) => until(() => socket.count("restartIce") === n, `restart ${n}`);
      turns("checking");
      turns("disconnected");
      await asked(1);
      assert.deepEqual(socket.last("restartIce"), { mediaSessionId: stream.id(), sdp: peer.local.sdp });
      assert.deepEqual(peer.offered, [undefined, { iceRestart: true }]);
      assert.equal(socket.count("ping"), 1, "the socket is probed");
      turns("failed"); // the answer has not come yet
      peer.remote = null;
      answer();
      await until(() => peer.remote);
      turns("connected");
      turns("disconnected");
      await asked(2);
      socket.say("fail", { apiMethod: "restartIce", id: stream.id(), status: "FAILED", info: "no" });
      peer.refuses = true;
      turns("failed");
      await asked(3);
      answer(); // the browser does not take it
      turns("connected");
      await new Promise(setImmediate);
      assert.deepEqual([socket.count("restartIce"), told.length, world.peers.length, peer.state], [3, before, 1, "new"]);
    });
  }

  test("a stream restarts ICE when its session has a socket again, and when the browser has a network again", async (t) => {
    const listeners = {};
    globalThis.addEventListener = (name, f) => (listeners[name] = f);
    t.after(() => delete globalThis.addEventListener);
    const { world, status } = await running(t, "publish", { session: { reconnect: quick } });
    world.peers[0].iceConnectionState = "failed";
    world.sockets[0].drop();
    await until(() => world.sockets.length === 2);
    world.sockets[1].establish();
    assert.equal(world.sockets[1].count("restartIce"), 0, "the server has not said yet that the stream goes on");
    status("PUBLISHING");
    await until(() => world.sockets[1].count("restartIce") === 1);
    world.sockets[1].say("setRemoteSDP", world.sockets[1].last("restartIce").mediaSessionId, "v=0\r\n");
    world.peers[0].iceConnectionState = "connected";
    listeners.online();
    await until(() => world.sockets[1].count("restartIce") === 2);
  });

  test("a socket that does not answer a probe is replaced", async (t) => {
    const { world, session } = await running(t, "publish", { session: { reconnect: quick } });
    const timer = setTimeout;
    const lose = () => {
      world.peers[0].iceConnectionState = "disconnected";
      world.peers[0].oniceconnectionstatechange();
    };
    t.mock.method(globalThis, "setTimeout", (f, ms) => timer(f, ms === 2000 ? 30 : ms));
    await new Promise((resolve) => timer(resolve, 2)); // the answer to the probe comes in another millisecond than the last message
    lose();
    world.sockets[0].say("pong");
    await new Promise((resolve) => timer(resolve, 100));
    assert.equal(session.status(), "ESTABLISHED");
    world.sockets[0].say("setRemoteSDP", session.getStreams()[0].id(), "v=0\r\n");
    lose();
    await until(() => world.sockets.length === 2, "another socket");
    assert.equal(session.error.reason, "silent");
  });

  test("a session that the server has not kept is asked for only once", async (t) => {
    const { world, session } = await running(t, "play", { session: { reconnect: quick } });
    world.sockets[0].drop();
    await until(() => world.sockets.length === 2);
    world.sockets[1].accept();
    world.sockets[1].drop();
    await until(() => world.sockets.length === 3);
    world.sockets[2].establish("another");
    assert.deepEqual([world.sockets[1].last("connection").authToken, world.sockets[2].last("connection").authToken], ["token", undefined]);
    assert.equal(session.status(), "ESTABLISHED");
    await until(() => world.sockets[2].last("playStream"));
  });

  test("a name that the lost session still holds is tried again", async (t) => {
    const { world, stream, status } = await running(t, "publish", { session: { reconnect: quick } });
    world.sockets[0].drop();
    await until(() => world.sockets.length === 2);
    world.sockets[1].establish("another");
    for (let n = 1; n <= 3; n++) {
      await until(() => world.sockets[1].count("publishStream") === n);
      status("FAILED", STREAM_STATUS_INFO.STREAM_NAME_ALREADY_IN_USE);
      assert.deepEqual([stream.status(), stream.error.reason], ["RESTORING", "name_in_use"]);
    }
    await until(() => world.sockets[1].count("publishStream") === 4);
    status("PUBLISHING");
    assert.equal(stream.status(), "PUBLISHING");
  });

  test("attempts come to an end", async (t) => {
    const { world, session, stream } = await running(t, "play", { session: { reconnect: { ...quick, attempts: 2 } } });
    for (let n = 1; n <= 3; n++) {
      await until(() => world.sockets.length === n);
      world.sockets[n - 1].drop();
    }
    assert.deepEqual([session.status(), session.error.reason], ["FAILED", "connect_failed"]);
    assert.deepEqual([stream.status(), stream.error.reason], ["FAILED", "connect_failed"]);
  });

  test("a player waits for its publisher, a publisher that was ended stays so", async (t) => {
    const player = await running(t, "play", { session: { reconnect: quick } });
    player.status("FAILED", STREAM_STATUS_INFO.STOPPED_BY_PUBLISHER_STOP);
    assert.equal(player.stream.status(), "RESTORING");
    await until(() => player.socket.count("playStream") === 2);
    player.status("FAILED", STREAM_STATUS_INFO.SESSION_DOES_NOT_EXIST);
    await until(() => player.socket.count("playStream") === 3);
    player.status("PLAYING");
    assert.equal(player.stream.status(), "PLAYING");
    await player.session.disconnect();

    const publisher = await running(t, "publish", { session: { reconnect: quick } });
    publisher.status("UNPUBLISHED", STREAM_STATUS_INFO.STOPPED_BY_REST_TERMINATE);
    assert.equal(publisher.stream.status(), "UNPUBLISHED");
  });

  test("stopping and disconnecting while the socket is lost", async (t) => {
    const { world, session, stream } = await running(t, "publish", { session: { reconnect: { firstPauseMs: 3_600_000 } } });
    world.sockets[0].drop();
    await stream.stop();
    assert.equal(stream.status(), "UNPUBLISHED");
    await session.disconnect();
    assert.deepEqual([session.status(), world.sockets.length], ["DISCONNECTED", 1]);
  });

  test("disconnecting while another socket opens closes that socket", async (t) => {
    const { world, session, told } = await established(t, { reconnect: quick });
    world.sockets[0].drop();
    await until(() => world.sockets.length === 2);
    await session.disconnect();
    await until(() => world.sockets[1].readyState === 3);
    assert.deepEqual([told.at(-1), session.status(), Flashphoner.getSessions()], ["DISCONNECTED", "DISCONNECTED", []]);
  });

  test("the socket is lost while a stream starts", async (t) => {
    const { world, session } = await established(t, { reconnect: quick });
    let open;
    const { capture } = world;
    world.capture = (constraints) => new Promise((resolve) => (open = () => resolve(capture(constraints))));
    const stream = session.createStream({ name: "n" });
    const live = stream.publish();
    await until(() => open);
    world.sockets[0].drop();
    open();
    await until(() => stream.status() === "RESTORING");
    await until(() => world.sockets.length === 2);
    world.sockets[1].establish();
    await until(() => world.sockets.at(-1).last("publishStream"));
    world.sockets.at(-1).say("notifyStreamStatusEvent", { mediaSessionId: stream.id(), status: "PUBLISHING" });
    assert.equal(await live, stream);
  });
});

describe("small parts", () => {
  test("pauses", (t) => {
    t.mock.method(Math, "random", () => 0.5);
    const pauses = new Pauses({ attempts: 4, firstPauseMs: 100, factor: 3, maxPauseMs: 500, jitter: 0.2 });
    assert.deepEqual([1, 2, 3, 4, 5].map(() => pauses._next()), [90, 270, 450, 450, null]);
    let now = 0;
    t.mock.method(Date, "now", () => now);
    pauses._succeeded();
    now = 9_999;
    assert.equal(pauses._next(), null, "not well for long");
    pauses._succeeded();
    now = 20_000;
    assert.equal(pauses._next(), 90);
  });

  test("format parameters", () => {
    const sdp = "a=rtpmap:111 opus/48000/2\r\na=fmtp:111 minptime=10\r\na=rtpmap:96 VP8/90000\r\na=rtcp-fb:96 nack\r\na=rtpmap:102 H264/90000\r\na=fmtp:102 x=1\r\n";
    assert.equal(addFormat(sdp, ["OPUS", "vp8"], "a=1;b=2"), sdp.replace("minptime=10", "minptime=10;a=1;b=2")
      .replace("a=rtpmap:96 VP8/90000\r\n", "a=rtpmap:96 VP8/90000\r\na=fmtp:96 a=1;b=2\r\n"));
    assert.equal(addFormat(sdp, ["AV1"], "a=1"), sdp);
  });

  test("codecs that the page does not want", async (t) => {
    const { world } = await requested(t, "play", { options: { stripCodecs: "VP8, opus" } });
    assert.deepEqual(world.peers[0].getTransceivers()[1].codecs.map(({ mimeType }) => mimeType), ["video/H264", "video/rtx"]);
    await t.test("an option that is no list of codecs is ignored", async (t) => {
      const { world } = await requested(t, "play", { options: { stripCodecs: new Event("click"), constraints: null } });
      assert.equal(world.peers[0].getTransceivers()[1].codecs, undefined);
    });
  });

  test("connection quality", () => {
    for (const [server, want] of [[1_000_000, "PERFECT"], [1_300_000, "GOOD"], [3_000_000, "BAD"]]) {
      const meter = new QualityMeter();
      assert.equal(meter._measure(0, server, 1000), null);
      assert.equal(meter._measure(125_000, server, 2000)[0], want);
      assert.equal(meter._measure(125_000, server, 3000), null, "nothing was sent");
    }
  });

  test("devices", async (t) => {
    const world = fakeBrowser(t);
    assert.deepEqual(await Flashphoner.getMediaDevices(null, false, "all"), {
      audio: [{ id: "mic", label: "Microphone", type: "mic" }, { id: "ear", label: "Earphone", type: "speaker" }],
      video: [{ id: "front", label: "Front", type: "camera" }, { id: "back", label: "Back", type: "camera" }],
    });
    world.devices = world.devices.map((device) => ({ ...device, label: "" }));
    assert.equal((await Flashphoner.getMediaDevices(null, true)).video.length, 2);
    assert.deepEqual(world.asked, [{ audio: true, video: true }]);
  });

  test("a listener that throws does not disturb the SDK", async (t) => {
    const { session, socket } = connect(t);
    const faults = [];
    t.mock.method(globalThis, "queueMicrotask", (report) => {
      try {
        report();
      } catch (error) {
        faults.push(error.message);
      }
    });
    session.on(SESSION_STATUS.CONNECTED, () => {
      throw new Error("the page's own fault");
    });
    socket.establish();
    await session.connected;
    assert.deepEqual(faults, ["the page's own fault"]);
    session.off(SESSION_STATUS.CONNECTED);
    assert.throws(() => session.on("", () => undefined), TypeError);
  });
});
