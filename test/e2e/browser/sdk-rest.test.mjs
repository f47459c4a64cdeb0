// The SDK's REST client, with a local server whose answers each test decides. `npm test` compiles it first.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { test } from "node:test";
import { RestApi, SdkError } from "./.build/sdk/index.js";
import { serverEvents } from "./.build/sdk/sse.js";
import { push } from "./lib/mock-server.mjs";

/** Starts a server. handlers holds a function for each path, without /rest-api. */
async function serve(t, handlers, options) {
  const requests = [];
  const server = createServer(async (request, response) => {
    const { pathname, searchParams } = new URL(request.url, "http://localhost");
    let body = "";
    for await (const part of request) {
      body += part;
    }
    const path = pathname.replace("/rest-api", "");
    requests.push({ path, method: request.method, body: body && JSON.parse(body), headers: request.headers, query: Object.fromEntries(searchParams) });
    const count = requests.filter((other) => other.path === path).length;
    const answer = handlers[path]?.(requests.at(-1), count, response) ?? 404;
    if (answer === response) {
      return; // the handler goes on with it
    }
    if (typeof answer === "number") {
      response.writeHead(answer).end(answer === 200 ? "" : JSON.stringify({ message: `it is ${answer}` }));
    } else {
      response.writeHead(200).end(JSON.stringify(answer));
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { requests, server, api: new RestApi({ url: `http://127.0.0.1:${server.address().port}/`, ...options }) };
}

/** Begins an answer of server-sent events with these texts. The caller may end it. */
function events(response, ...texts) {
  response.writeHead(200, { "Content-Type": "text/event-stream" });
  response.write("retry: 2000\n");
  texts.forEach((text) => response.write(text));
  return response;
}

const at = (ms) => new Date(ms).toISOString();
const heartbeat = (id) => `id: ${id}\n: heartbeat\n\n`;
const event = (id, to, time, more = {}) => `id: ${id}\nevent: push\ndata: ${JSON.stringify({
  number: id, sequence: id, id: push().mediaSessionId, at: at(time), from: "", to, reason: "", class: "", info: "", attempt: 1, bytesAcked: 0, ...more,
})}\n\n`;

async function collect(states) {
  const seen = [];
  for await (const { status, since } of states) {
    seen.push([status, since]);
  }
  return seen;
}

test("a push is started, read and changed", async (t) => {
  const { api, requests } = await serve(t, {
    "/push/startup": () => push({ status: "STARTING" }),
    "/push/find": (_, n) => (n === 1 ? [push({ bitrate: 7 })] : 404),
    "/push/history": () => [push({ mediaSessionId: "other" }), push({ status: "ENDED" })],
    ...Object.fromEntries(["mute", "unmute", "sound_on", "sound_off", "terminate"].map((name) => [`/push/${name}`, () => 200])),
  }, { user: "käthe", password: "p:w" });
  const made = await api.push({ streamName: "n", rtmpUrl: "rtmp://far.test/live", options: { onSourceLoss: "hold" } });
  const mediaSessionId = made.id;
  assert.equal(made.info.status, "STARTING");
  assert.equal((await made.refresh()).bitrate, 7);
  assert.equal((await made.refresh()).status, "ENDED", "from the history");
  await made.mute();
  await made.unmute();
  await made.soundOn({ soundFile: "x.wav", loop: true });
  await made.soundOff();
  await made.terminate();
  assert.deepEqual(requests.map(({ path, body }) => [path, body]), [
    ["/push/startup", { streamName: "n", rtmpUrl: "rtmp://far.test/live", options: { onSourceLoss: "hold" } }],
    ["/push/find", { mediaSessionId }], ["/push/find", { mediaSessionId }], ["/push/history", ""],
    ["/push/mute", { mediaSessionId }], ["/push/unmute", { mediaSessionId }],
    ["/push/sound_on", { mediaSessionId, soundFile: "x.wav", loop: true }], ["/push/sound_off", { mediaSessionId }],
    ["/push/terminate", { mediaSessionId }],
  ]);
  assert.equal(Buffer.from(requests[0].headers.authorization.split(" ")[1], "base64").toString(), "käthe:p:w");
});

test("lists", async (t) => {
  const { api, requests } = await serve(t, {
    "/push/find": () => 404,
    "/stream/find": () => [{ name: "n", status: "PUBLISHING" }],
    "/push/history": () => [push()],
    "/stream/terminate": () => 200,
  });
  assert.deepEqual(await api.find(), []);
  assert.equal((await api.streams({ name: "n" }))[0].status, "PUBLISHING");
  assert.equal((await api.history(3)).length, 1);
  await api.terminateStream({ name: "n" });
  assert.deepEqual(requests.map(({ body, query }) => [body, query.limit]), [[{}, undefined], [{ name: "n" }, undefined], ["", "3"], [{ name: "n" }, undefined]]);
});

test("statuses become reasons", async (t) => {
  for (const [status, reason] of [[400, "bad_request"], [401, "unauthorized"], [404, "not_found"], [409, "conflict"], [429, "busy"], [500, "server_error"],
    [501, "unsupported"], [503, "busy"], [418, "server_error"]]) {
    const { api } = await serve(t, { "/push/startup": () => status });
    await assert.rejects(api.push({}), { reason, info: `it is ${status}` });
  }
  const { api, server } = await serve(t, {});
  server.close();
  server.closeAllConnections();
  await assert.rejects(api.push({}), ({ info, reason }) => reason === "unreachable" && !info.includes("allow_origin"));
  globalThis.location = new URL("https://studio.test/page"); // of another server, which the browser may not say
  await assert.rejects(api.push({}), ({ info }) => info.endsWith("rest_access_control_allow_origin lacks https://studio.test"));
  delete globalThis.location;
  await assert.rejects(api.push({}, { signal: AbortSignal.abort("enough") }), (error) => error === "enough");
  assert.throws(() => new RestApi(), TypeError);
});

test("an answer that cannot be read", async (t) => {
  const calls = { push: (api) => api.push({}), find: (api) => api.find(), streams: (api) => api.streams(), history: (api) => api.history() };
  const paths = ["/push/startup", "/push/find", "/stream/find", "/push/history"];
  const answers = (answer) => Object.fromEntries(paths.map((path) => [path, (_, n, response) => answer(response)]));
  const { api } = await serve(t, answers((response) => response.writeHead(200).end("<html>a proxy's page</html>")));
  const broken = await serve(t, answers((response) => {
    response.writeHead(200, { "Content-Length": 100 });
    response.write('{"mediaSessionId":', () => response.destroy());
    return response;
  }));
  const empty = await serve(t, answers(() => 200));
  for (const [name, call] of Object.entries(calls)) {
    const rejected = (reason) => (error) => error instanceof SdkError && error.reason === reason;
    await assert.rejects(call(api), rejected("server_error"), name);
    await assert.rejects(call(empty.api), rejected("server_error"), name);
    await assert.rejects(call(broken.api), rejected("unreachable"), name);
  }
});

test("states, until the push has ended", async (t) => {
  const { api, requests } = await serve(t, {
    "/push/startup": () => push({ status: "STARTING", since: 1 }),
    "/push/find": () => [push({ status: "CONNECTING", since: 2000 })],
    "/push/events": (_, n, response) => events(response, heartbeat(5),
      event(6, "CONNECTING", 2000), // was on its way while the state was read
      event(7, "PUBLISHING", 3000), heartbeat(8), event(9, "RECONNECTING", 4000, { reason: "peer_closed", class: "transient", nextRetryAt: at(9000) }),
      event(10, "FAILED", 5000, { reason: "timeout" })),
  });
  const seen = [];
  for await (const state of (await api.push({})).states()) {
    seen.push(state);
  }
  assert.deepEqual(seen.map(({ status }) => status), ["CONNECTING", "PUBLISHING", "RECONNECTING", "FAILED"]);
  assert.deepEqual(seen[2], {
    status: "RECONNECTING", reason: "peer_closed", reasonClass: "transient", info: "", attempts: 1, since: 4000, nextRetryAt: 9000, bytesAcked: 0,
  });
  assert.deepEqual(requests.at(1).query, { mediaSessionId: push().mediaSessionId });
});

test("states go on after a lost connection, and are read again if some were missed", async (t) => {
  const { api, requests } = await serve(t, {
    "/push/startup": () => push(),
    "/push/find": (_, n) => [push(n === 1 ? { since: 1000 } : { status: "DEGRADED", since: 4000 })],
    "/push/events": (_, n, response) => [
      () => {
        events(response, heartbeat(5), event(6, "RECONNECTING", 2000)).end();
        return response;
      },
      () => 503,
      () => events(response, heartbeat(6), event(7, "PUBLISHING", 3000)).end() && response,
      () => events(response, "id: 0\nevent: missed\ndata: {\"missed\":0}\n\n", event(1, "PUBLISHING", 3500), event(2, "ENDED", 5000)),
    ][n - 1](),
  }, { reconnect: { firstPauseMs: 1 } });
  assert.deepEqual(await collect((await api.push({})).states()),
    [["PUBLISHING", 1000], ["RECONNECTING", 2000], ["PUBLISHING", 3000], ["DEGRADED", 4000], ["ENDED", 5000]]);
  assert.deepEqual(requests.filter(({ path }) => path === "/push/events").map(({ query }) => query.after), [undefined, "6", "6", "7"]);
});

test("states go on after a connection that has fallen silent", async (t) => {
  const { setTimeout: wait } = globalThis;
  const closed = [];
  const { api, requests } = await serve(t, {
    "/push/startup": () => push(),
    "/push/find": () => [push({ since: 1000 })],
    "/push/events": (_, n, response) => {
      response.on("close", () => closed.push(n));
      return [
        () => events(response, heartbeat(5)), // silent from here on
        () => response, // never answers
        () => events(response, heartbeat(5), event(6, "ENDED", 2000)),
      ][n - 1]();
    },
  }, { reconnect: { firstPauseMs: 1 } });
  const limits = [];
  t.mock.method(globalThis, "setTimeout", (run, ms, ...rest) => {
    if (ms < 30_000) {
      return wait(run, ms, ...rest);
    }
    limits.push(ms);
    return wait(run, 200, ...rest);
  });
  const states = (await api.push({})).states();
  assert.equal((await states.next()).value.status, "PUBLISHING");
  await new Promise((resolve) => wait(resolve, 400)); // a caller that takes long is no silence
  assert.deepEqual(closed, []);
  assert.deepEqual(await collect(states), [["ENDED", 2000]]);
  assert.deepEqual(requests.filter(({ path }) => path === "/push/events").map(({ query }) => query.after), [undefined, "5", "5"]);
  assert.deepEqual(new Set(limits), new Set([40_000])); // the server sends something every 15 s
});

test("states of a push that is unknown, or that has ended", async (t) => {
  const { api } = await serve(t, {
    "/push/startup": () => push(),
    "/push/history": (_, n) => (n === 1 ? [push({ status: "ENDED", since: 9 })] : []),
    "/push/events": (_, n, response) => events(response, heartbeat(0)),
  });
  const made = await api.push({});
  assert.deepEqual(await collect(made.states()), [["ENDED", 9]]);
  await assert.rejects(collect(made.states()), { reason: "not_found" });
});

test("states that the caller gives up", async (t) => {
  let left;
  const gone = new Promise((resolve) => (left = resolve));
  const { api } = await serve(t, {
    "/push/startup": () => push(),
    "/push/find": () => [push()],
    "/push/events": (_, n, response) => events(response.on("close", left), heartbeat(0)),
  });
  const made = await api.push({});
  for await (const { status } of made.states()) {
    assert.equal(status, "PUBLISHING");
    break;
  }
  await gone; // the connection is closed
  const aborter = new AbortController();
  const states = made.states({ signal: aborter.signal });
  await states.next();
  const waiting = states.next();
  aborter.abort(new Error("enough"));
  await assert.rejects(waiting, { message: "enough" });
  await assert.rejects(made.states({ signal: aborter.signal }).next(), { message: "enough" });
});

test("events in pieces", async () => {
  const pieces = async (text, size) => {
    const bytes = new TextEncoder().encode(text);
    const body = new ReadableStream({
      start(controller) {
        for (let i = 0; i < bytes.length; i += size) {
          controller.enqueue(bytes.subarray(i, i + size));
        }
        controller.close();
      },
    });
    const found = [];
    for await (const one of serverEvents(body)) {
      found.push(one);
    }
    return found;
  };
  for (const [text, want] of [
    ["id: 1\nevent: push\ndata: {\"ä\":1,\ndata: \"b\":2}\n\n: comment\n\nid:2\r\n\r\ndata: unfinished", [
      { event: "push", data: "{\"ä\":1,\n\"b\":2}", id: "1" }, { event: "", data: "", id: "1" }, { event: "", data: "", id: "2" },
    ]],
    ["retry: 2000\nid: 2\n: heartbeat\n\nid: 3\nevent: push\ndata: {\"a\":1,\ndata: \"b\":2}\r\n\r\nevent: missed\ndata:{}\n\n", [
      { event: "", data: "", id: "2" }, { event: "push", data: "{\"a\":1,\n\"b\":2}", id: "3" }, { event: "missed", data: "{}", id: "3" },
    ]],
    // Lines may end by \r, \n, or both together, in one stream; other line separators of Unicode do not end a line.
    ["id: 4\revent: push\rdata: a\r\rdata: b\r\n\r\ndata: c\u2028d\ndata\n\rdata: e\r", [
      { event: "push", data: "a", id: "4" }, { event: "", data: "b", id: "4" }, { event: "", data: "c\u2028d\n", id: "4" },
    ]],
  ]) {
    for (const size of [1, 2, 3, 7, text.length * 2]) {
      assert.deepEqual(await pieces(text, size), want, `${JSON.stringify(text)} in pieces of ${size}`);
    }
  }
});
