// Pages of another server that have tokens: one with the vendor's SDK as it comes in the npm package, one with ours.
//
//   node page-tokens.mjs http://localhost:8081/ --socket ws://localhost:8080 --name N --tokens FIRST,SECOND [--seconds 60]
//
// The vendor's page publishes and plays N with the first token, and asks for the stream "other", which the token does not allow. Ours publishes
// N-own; it gives the second token when the server wants another one. Prints {"event":"live"} then. Prints {"event":"revoked"} when the
// first session has ended and ours goes on with the second token. Ends when standard input closes.

import { createServer } from "node:http";
import { launch } from "./lib/browser.mjs";
import { servePackage } from "./lib/package-server.mjs";
import { main, readArguments, say, step, stopSign } from "./lib/script.mjs";

const options = readArguments(["socket", "name", "tokens", "seconds"]);
const [first, second] = options.tokens.split(",");

/** Serves an empty page from a server that is not ours. */
async function foreignPage() {
  const server = createServer((request, response) => {
    response.setHeader("Content-Type", "text/html");
    response.end("<!doctype html><link rel=icon href=data:,><title>Elsewhere</title><div id=preview></div>");
  });
  await new Promise((resolve) => server.listen(0, "localhost", resolve));
  return `http://localhost:${server.address().port}/`;
}

/** In the page of the vendor's SDK. */
async function begin({ urlServer, name, token }) {
  const { Flashphoner } = globalThis;
  const { SESSION_STATUS, STREAM_STATUS } = Flashphoner.constants;
  await Flashphoner.init({});
  const all = globalThis.all = { session: "", warning: "", streams: {} };
  const session = Flashphoner.createSession({ urlServer, custom: { token } });
  const run = (action, stream, label) => new Promise((resolve) => {
    const display = document.body.appendChild(document.createElement("div"));
    const s = session.createStream({ name: stream, display });
    for (const status of ["PUBLISHING", "PLAYING", "UNPUBLISHED", "STOPPED", "FAILED"]) {
      s.on(STREAM_STATUS[status], () => resolve(all.streams[label] = `${status} ${s.getInfo() ?? ""}`.trim()));
    }
    s[action]();
  });
  session.on(SESSION_STATUS.WARN, ({ info, reason }) => (all.warning = `${info}: ${reason}`));
  for (const status of [SESSION_STATUS.DISCONNECTED, SESSION_STATUS.FAILED]) {
    session.on(status, () => (all.session = status));
  }
  await new Promise((resolve) => session.on(SESSION_STATUS.ESTABLISHED, resolve));
  all.session = "ESTABLISHED";
  await run("publish", name, "publish");
  await run("play", name, "play");
  await run("publish", "other", "publishOther");
  await run("play", "other", "playOther");
}

/** In the page of our SDK. */
async function beginOwn({ from, urlServer, name, first, second }) {
  const { Flashphoner, SESSION_STATUS } = await import(from);
  const all = globalThis.all = { session: [], asked: 0 };
  const session = Flashphoner.createSession({
    urlServer, token: async () => (all.asked++ === 0 ? first : second), reconnect: { firstPauseMs: 100, maxPauseMs: 400 },
  });
  Object.values(SESSION_STATUS).forEach((status) => session.on(status, () => all.session.push(status)));
  await session.connected;
  all.stream = session.createStream({ name: `${name}-own`, display: document.getElementById("preview"), constraints: { audio: true, video: true } });
  await all.stream.publish();
  const refused = session.createStream({ name: "other", constraints: { audio: true, video: true } });
  all.refused = await refused.publish().catch(({ reason, info }) => `${reason}: ${info}`);
}

let vendor, own;
const facts = async () => ({ displayed: {
  ...await vendor?.evaluate(() => ({ ...globalThis.all?.streams, session: globalThis.all?.session, warning: globalThis.all?.warning })),
  ...await own?.evaluate(() => {
    const { asked, refused, session, stream } = globalThis.all ?? {};
    return { ownSession: session?.join(" "), own: stream?.status(), ownRefused: refused, asked: String(asked) };
  }),
} });

await main(async () => {
  const stop = stopSign(Number(options.seconds ?? 60));
  const base = await step("serve the vendor's SDK", 10, servePackage);
  const browser = await step("start the browser", 40, launch);
  vendor = await browser.newPage();
  own = await browser.newPage();
  const { name, socket: urlServer } = options;
  await step("publish and play with the vendor's SDK", 60, async () => {
    await vendor.goto(`${base}/examples/demo/streaming/two_way_streaming/two_way_streaming.html`);
    await vendor.evaluate(() => (document.body.innerHTML = ""));
    await vendor.evaluate(begin, { urlServer, name, token: first });
  });
  await step("publish with our SDK", 60, async () => {
    await own.goto(await foreignPage());
    await own.evaluate(beginOwn, { from: new URL("/sdk/transponder.js", options.address).href, urlServer, name, first, second });
  });
  say("live", await facts());
  await step("the end of the first token", 60, async () => {
    await vendor.waitForFunction(() => globalThis.all.session === "DISCONNECTED", null, { timeout: 0 });
    await own.waitForFunction(() => globalThis.all.asked > 1 && globalThis.all.stream.status() === "PUBLISHING", null, { timeout: 0 });
  });
  say("revoked", await facts());
  await stop;
  await step("close the browser", 20, () => browser.close());
}, facts);
