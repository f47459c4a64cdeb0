// Publishes or plays in a page whose network changes meanwhile, by our SDK or by a small WHIP or WHEP client that restarts ICE.
//
//   node networks.mjs http://10.0.0.1:8081/ --name N --mode sdk|whip|sdk-play|whep [--seconds 60]
//
// Says {"event":"live"} when the stream is published or played, {"event":"pictures"} when ten more pictures were decoded after a line "pictures" on
// standard input, and {"event":"stopped"} when standard input closes; both with what the page saw:
// the states of ICE, the number of connections, and the statuses of the SDK or the answers of WHIP.

import { launch } from "./lib/browser.mjs";
import { commands, main, readArguments, say, step } from "./lib/script.mjs";

const options = readArguments(["name", "mode", "seconds"]);
let page;

/** In the page: notes all connections. */
function watch() {
  const seen = globalThis.seen = { peers: 0, ice: [], told: [] };
  const made = globalThis.connections = [];
  const Peer = globalThis.RTCPeerConnection;
  globalThis.RTCPeerConnection = class extends Peer {
    constructor(...all) {
      super(...all);
      seen.peers++;
      made.push(this);
      this.addEventListener("iceconnectionstatechange", () => seen.ice.push(this.iceConnectionState));
    }
  };
}

/** In the page. */
async function publishBySDK({ name, socket }) {
  const { Flashphoner, SESSION_STATUS, STREAM_STATUS } = await import("/sdk/transponder.js");
  const session = Flashphoner.createSession({ urlServer: socket, reconnect: { firstPauseMs: 200, maxPauseMs: 1000, attempts: 200 } });
  Object.values(SESSION_STATUS).forEach((status) => session.on(status, () => seen.told.push(status)));
  await session.connected;
  const stream = session.createStream({ name, constraints: { audio: true, video: { width: 320, height: 240 } } });
  Object.values(STREAM_STATUS).forEach((status) => stream.on(status, () => seen.told.push(status)));
  await stream.publish();
  globalThis.end = () => stream.stop();
}

/** In the page. */
async function playBySDK({ name, socket }) {
  const { Flashphoner, SESSION_STATUS, STREAM_STATUS } = await import("/sdk/transponder.js");
  const session = Flashphoner.createSession({ urlServer: socket, reconnect: { firstPauseMs: 200, maxPauseMs: 1000, attempts: 200 } });
  Object.values(SESSION_STATUS).forEach((status) => session.on(status, () => seen.told.push(status)));
  await session.connected;
  const display = document.body.appendChild(document.createElement("div"));
  const stream = session.createStream({ name, display, constraints: { audio: true, video: true } });
  Object.values(STREAM_STATUS).forEach((status) => stream.on(status, () => seen.told.push(status)));
  await stream.play();
  globalThis.end = () => stream.stop();
}

/** In the page: what came of pictures, of all connections. */
async function received() {
  const sum = { packets: 0, frames: 0, decoded: 0 };
  for (const pc of connections) {
    (await pc.getStats()).forEach((report) => {
      if (report.type === "inbound-rtp" && report.kind === "video") {
        sum.packets += report.packetsReceived;
        sum.frames += report.framesReceived ?? 0;
        sum.decoded += report.framesDecoded ?? 0;
      }
    });
  }
  return sum;
}

/** In the page: as docs/whip.md says. */
async function connectByHTTP({ at, play }) {
  const pc = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
  if (play) {
    pc.addTransceiver("video", { direction: "recvonly" });
    pc.addTransceiver("audio", { direction: "recvonly" });
    const video = document.body.appendChild(document.createElement("video"));
    Object.assign(video, { muted: true, autoplay: true, srcObject: new MediaStream() });
    pc.ontrack = ({ track }) => video.srcObject.addTrack(track);
  } else {
    const camera = await navigator.mediaDevices.getUserMedia({ audio: true, video: { width: 320, height: 240 } });
    camera.getTracks().forEach((track) => pc.addTransceiver(track, { direction: "sendonly", streams: [camera] }));
  }
  const offer = async (options) => {
    await pc.setLocalDescription(await pc.createOffer(options));
    return pc.localDescription.sdp;
  };
  const response = await fetch(at, { method: "POST", headers: { "Content-Type": "application/sdp" }, body: await offer() });
  const session = new URL(response.headers.get("Location"), at);
  let answer = await response.text();
  await pc.setRemoteDescription({ type: "answer", sdp: answer });
  const credential = (sdp, key) => sdp.match(new RegExp(`^a=ice-${key}:.*$`, "m"))[0];
  const restart = async () => {
    const own = await offer({ iceRestart: true });
    for (;;) { // the network may not be there yet
      const signal = AbortSignal.timeout(2000);
      const body = `${credential(own, "ufrag")}\n${credential(own, "pwd")}\n`;
      const headers = { "Content-Type": "application/trickle-ice-sdpfrag", "If-Match": "*" };
      const patched = await fetch(session, { method: "PATCH", headers, body, signal }).catch(() => null);
      if (patched) {
        seen.told.push(String(patched.status));
        const fragment = await patched.text();
        for (const key of ["ufrag", "pwd"]) {
          answer = answer.replaceAll(new RegExp(`^a=ice-${key}:.*$`, "gm"), credential(fragment, key));
        }
        return pc.setRemoteDescription({ type: "answer", sdp: answer });
      }
    }
  };
  let busy = false;
  pc.oniceconnectionstatechange = async () => {
    if (/^(disconnected|failed)$/.test(pc.iceConnectionState) && !busy) {
      busy = true;
      await restart().catch((error) => seen.told.push(String(error)));
      busy = false;
    }
  };
  globalThis.end = () => fetch(session, { method: "DELETE" });
  while (pc.connectionState !== "connected") {
    await new Promise((resolve) => pc.addEventListener("connectionstatechange", resolve, { once: true }));
  }
}

const facts = async () => ({ displayed: await page.evaluate(() => ({
  peers: String(seen.peers), ice: seen.ice.join(" "), told: seen.told.join(" "),
})) });

await main(async () => {
  const { origin, host } = new URL(options.address);
  const browser = await step("start the browser", 60, () => launch({ args: [`--unsafely-treat-insecure-origin-as-secure=${origin}`] }));
  page = await browser.newPage();
  await page.addInitScript(watch);
  await step("open the page", 30, () => page.goto(options.address));
  const { name, mode } = options;
  const socket = `ws://${host}/ws`;
  await step("begin", 60, () => ({
    sdk: () => page.evaluate(publishBySDK, { name, socket }),
    "sdk-play": () => page.evaluate(playBySDK, { name, socket }),
    whip: () => page.evaluate(connectByHTTP, { at: `${origin}/whip/${name}` }),
    whep: () => page.evaluate(connectByHTTP, { at: `${origin}/whep/${name}`, play: true }),
  })[mode]());
  say("live", await facts());
  for await (const line of commands(Number(options.seconds ?? 60))) {
    if (line === "pictures") {
      const before = await page.evaluate(received);
      for (let now = before, until = Date.now() + 30_000; now.decoded < before.decoded + 10; now = await page.evaluate(received)) {
        if (Date.now() > until) {
          throw Object.assign(new Error(`${JSON.stringify(before)}, and then ${JSON.stringify(now)}`), { step: "pictures" });
        }
        await page.waitForTimeout(50);
      }
      say("pictures", await facts());
    }
  }
  const last = await facts();
  await step("stop", 15, () => page.evaluate(() => globalThis.end()));
  await step("close the browser", 15, () => browser.close());
  say("stopped", last);
}, facts);
