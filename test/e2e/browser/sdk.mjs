// Runs our SDK against the real server, in a page of another server: it publishes with rtmpUrl, plays the stream and loses the socket.
//
//   node sdk.mjs http://localhost:8081/ --socket ws://localhost:8080 --name N --rtmp URL [--seconds 60] [--relay]
//
// Prints {"event":"live"} when N is published, pushed and played. It then cuts the sockets and prints {"event":"kept"} when the streams of
// a kept session go on, and {"event":"restored"} when the streams of a session that the server does not keep have started again. When
// standard input closes, it prints {"event":"stopped"}. Each event has the statuses that the streams went through. With --relay the page
// reaches the server through TURN servers only, and "ways" are the kinds of its candidates.

import { createServer as createPage } from "node:http";
import { connect, createServer } from "node:net";
import { launch, watchConsole } from "./lib/browser.mjs";
import { onlyRelays, ways } from "./lib/relay.mjs";
import { main, readArguments, say, step, stopSign } from "./lib/script.mjs";

const options = readArguments(["socket", "name", "rtmp", "seconds"], ["relay"]);
let page, errors;

/** A proxy for the server's socket. It can be cut, and then refuses a number of connections. */
class Line {
  ends = new Set();
  refusals = 0;

  async open(address) {
    const { hostname, port } = new URL(address);
    const server = createServer((near) => {
      if (this.refusals-- > 0) {
        near.destroy();
        return;
      }
      const far = connect(Number(port), hostname);
      this.ends.add(near).add(far);
      near.pipe(far).on("error", () => near.destroy());
      far.pipe(near).on("error", () => far.destroy());
    });
    await new Promise((resolve) => server.listen(0, "localhost", resolve));
    return `ws://localhost:${server.address().port}`;
  }

  cut(refusals) {
    this.refusals = refusals;
    this.ends.forEach((end) => end.destroy());
    this.ends.clear();
  }
}

/** Serves an empty page from a server that is not ours. */
async function foreignPage() {
  const server = createPage((request, response) => {
    response.setHeader("Content-Type", "text/html");
    response.end("<!doctype html><link rel=icon href=data:,><title>Elsewhere</title><div id=preview></div><div id=player></div>");
  });
  await new Promise((resolve) => server.listen(0, "localhost", resolve));
  return `http://localhost:${server.address().port}/`;
}

/** Runs in the page: a session with a publisher and a player of the same name. It records all statuses. */
async function begin({ urlServer, name, rtmpUrl, keepAlive }) {
  const { Flashphoner, SESSION_STATUS, STREAM_EVENT, STREAM_STATUS } = globalThis.sdk;
  const session = Flashphoner.createSession({ urlServer, keepAlive, reconnect: { firstPauseMs: 100, maxPauseMs: 400 } });
  const all = { session, statuses: { session: [], publisher: [], player: [] }, data: [] };
  const note = (what, who, statuses) => Object.values(statuses).forEach((s) => what.on(s, () => all.statuses[who].push(s)));
  note(session, "session", SESSION_STATUS);
  await session.connected;
  const display = (id) => document.getElementById(id);
  const constraints = { audio: true, video: { width: 640, height: 360 } };
  all.publisher = session.createStream({ name, display: display("preview"), constraints, ...(rtmpUrl && { rtmpUrl }) });
  note(all.publisher, "publisher", STREAM_STATUS);
  await all.publisher.publish({ signal: AbortSignal.timeout(30_000) });
  all.player = session.createStream({ name, display: display("player") });
  note(all.player, "player", STREAM_STATUS);
  all.player.on(STREAM_EVENT, ({ type, payload }) => type === "data" && all.data.push(payload));
  await all.player.play({ signal: AbortSignal.timeout(30_000) });
  all.ids = [all.publisher.id(), all.player.id()];
  globalThis.all = all;
}

/** Waits until the player shows more pictures than now. */
async function plays() {
  await page.waitForFunction(() => {
    const { player } = globalThis.all;
    const frames = player.video?.getVideoPlaybackQuality().totalVideoFrames ?? 0;
    globalThis.seen ??= frames;
    return player.status() === "PLAYING" && player.video.videoWidth > 0 && frames > globalThis.seen + 10;
  }, null, { timeout: 0 });
  await page.evaluate(() => delete globalThis.seen);
}

async function facts() {
  const displayed = await page.evaluate(() => {
    const { data, ids, player, publisher, session, statuses } = globalThis.all;
    return {
      session: statuses.session.join(" "), publisher: statuses.publisher.join(" "), player: statuses.player.join(" "),
      now: [session, publisher, player].map((what) => what.status()).join(" "), data: JSON.stringify(data),
      errors: [session, publisher, player].map((what) => what.error?.message ?? "").join(""),
      sameIds: String(ids[0] === publisher.id() && ids[1] === player.id()),
      videos: String(document.querySelectorAll("video").length),
    };
  });
  return {
    displayed: { ...displayed, ...(options.relay && { ways: await ways(page) }) },
    consoleErrors: errors.filter((error) => !error.includes("WebSocket connection to")), // these are from the sockets that were cut
  };
}

async function cutAndReturn(line) {
  const before = await page.evaluate(() => Object.values(globalThis.all.statuses).map(({ length }) => length));
  line.cut(2);
  await page.waitForFunction((lengths) => {
    const { player, publisher, session, statuses } = globalThis.all;
    return Object.values(statuses).every((list, i) => list.length > lengths[i] + 1) &&
      [session, publisher, player].map((what) => what.status()).join() === "ESTABLISHED,PUBLISHING,PLAYING";
  }, before, { timeout: 0 });
  await plays();
}

await main(async () => {
  const stop = stopSign(Number(options.seconds ?? 60));
  const line = new Line();
  const urlServer = await line.open(options.socket);
  const browser = await step("start the browser", 40, launch);
  page = await browser.newPage();
  errors = watchConsole(page);
  if (options.relay) {
    await onlyRelays(page);
  }
  await step("load the SDK", 20, async () => {
    await page.goto(await foreignPage());
    await page.evaluate(async (from) => (globalThis.sdk = await import(from)), new URL("/sdk/transponder.js", options.address).href);
  });
  const { name, rtmp: rtmpUrl } = options;
  await step("publish and play", 60, async () => {
    await page.evaluate(begin, { urlServer, name, rtmpUrl, keepAlive: true });
    await plays();
  });
  await step("ask about the stream", 30, async () => {
    const [available, missing, picture, pushes] = await page.evaluate(async ([name, url]) => {
      const { all, sdk: { RestApi } } = globalThis;
      all.publisher.sendData({ count: 23 });
      const nobody = all.session.createStream({ name: "nobody" });
      return Promise.all([
        all.session.createStream({ name }).available().then(() => "yes"), nobody.available().catch(({ reason }) => reason),
        all.player.snapshot(), new RestApi({ url }).find({ streamName: name }).then((list) => list.map(({ info }) => info.rtmpUrl)),
      ]);
    }, [name, new URL(options.address).origin]);
    await page.waitForFunction(() => globalThis.all.data.length > 0);
    if (available !== "yes" || missing !== "stream_not_found" || !picture.startsWith("data:image/png;base64,iVBOR") || pushes.join() !== rtmpUrl) {
      throw new Error(`available ${available}, missing ${missing}, picture ${picture.slice(0, 40)}, pushes to ${pushes}`);
    }
  });
  say("live", await facts());
  await step("come back to the session", 60, () => cutAndReturn(line));
  say("kept", await facts());
  await step("publish and play another", 60, async () => {
    await page.evaluate(() => {
      globalThis.first = globalThis.all;
    });
    await page.evaluate(begin, { urlServer, name: `${name}-2`, keepAlive: false });
    await plays();
  });
  await step("open both anew", 60, () => cutAndReturn(line));
  say("restored", await facts());
  await stop;
  await step("stop", 30, () => page.evaluate(async () => {
    const { all, first } = globalThis;
    await Promise.all([all.publisher.stop(), all.player.stop(), first.publisher.stop(), first.player.stop()]);
    await Promise.all([all.session.disconnect(), first.session.disconnect()]);
  }));
  say("stopped", await facts());
  await step("close the browser", 20, () => browser.close());
}, facts);
