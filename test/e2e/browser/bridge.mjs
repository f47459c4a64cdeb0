// Two pages with plain RTCPeerConnections call each other through a server of the test: the first offers, the second answers the server's
// offer. Each must see and hear the other.
//
//   node bridge.mjs http://localhost:8080 --first chromium --second firefox
//
// Says {"event":"live"} with the codecs that each page receives when pictures and beeps of both have arrived. The SDP goes through the
// functions of the official Web SDK that limit bit rates, as it does in the SDK's own pages. When standard input closes, the pages hang up.

import util from "@flashphoner/websdk/src/util.js";

import { launch } from "./lib/browser.mjs";
import { launchFirefox } from "./lib/firefox.mjs";
import { main, readArguments, say, step, stopSign } from "./lib/script.mjs";

const options = readArguments(["seconds", "first", "second"]);

/** What the Web SDK does to the server's SDP if a page limits bit rates. */
function edited(sdp) {
  return util.SDP.setPublishingBitrate(util.SDP.writeFmtp(sdp, "maxaveragebitrate=40000;useinbandfec=1;", "opus"), 300, 900);
}

/** Prepares a connection with camera and microphone, and an element that plays what comes. It runs in the page, as the next four do. What they
 * share is kept at the document. */
async function prepare() {
  const local = await navigator.mediaDevices.getUserMedia({ audio: true, video: { width: 320, height: 240 } });
  const pc = new RTCPeerConnection({ bundlePolicy: "max-compat" });
  document.pc = pc;
  local.getTracks().forEach((track) => pc.addTrack(track, local));
  const video = document.body.appendChild(document.createElement("video"));
  Object.assign(video, { autoplay: true, playsInline: true });
  pc.ontrack = ({ streams }) => { // as the SDK does: both tracks must be of one stream
    video.srcObject = streams[0];
    document.tracks = streams[0].getTracks().length;
  };
}

async function offer() {
  const description = await document.pc.createOffer();
  await document.pc.setLocalDescription(description);
  return description.sdp; // without candidates
}

async function accept(sdp) {
  await document.pc.setRemoteDescription({ type: "answer", sdp });
}

async function answer(sdp) {
  await document.pc.setRemoteDescription({ type: "offer", sdp });
  const description = await document.pc.createAnswer();
  await document.pc.setLocalDescription(description);
  return description.sdp;
}

/** The codecs that come, when pictures are decoded and sound is heard; until then nothing. */
async function received() {
  const stats = [...(await document.pc.getStats()).values()];
  const incoming = (kind) => stats.find((each) => each.type === "inbound-rtp" && each.kind === kind);
  const [video, audio] = [incoming("video"), incoming("audio")];
  const seen = document.querySelector("video").videoWidth > 0 && video?.framesDecoded > 40;
  const sound = audio?.totalAudioEnergy > 0.001 || (audio && audio.totalAudioEnergy === undefined && audio.packetsReceived > 100);
  if (!seen || !sound || document.tracks !== 2) {
    return undefined;
  }
  return [audio, video].map((each) => stats.find(({ id }) => id === each.codecId)?.mimeType ?? "?");
}

async function post(path, body = "") {
  const response = await fetch(options.address + path, { method: "POST", body });
  const text = await response.text();
  if (!response.ok) {
    throw new Error(`${path}: ${text}`);
  }
  return text;
}

/** A page of a browser, by a common set of methods. */
async function open(kind) {
  if (kind === "firefox") {
    return launchFirefox();
  }
  const browser = await launch();
  const page = await browser.newPage();
  return {
    goto: (url) => page.goto(url),
    evaluate: (run, argument) => page.evaluate(run, argument),
    close: () => browser.close(),
  };
}

/** Asks a page until it returns something. */
async function until(page, run) {
  for (;;) {
    const value = await page.evaluate(run);
    if (value) {
      return value;
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

await main(async () => {
  const pages = [];
  for (const kind of [options.first, options.second]) {
    const page = await step(`start ${kind}`, 60, () => open(kind));
    await step("open a page", 30, () => page.goto(options.address));
    await step("take camera and microphone", 30, () => page.evaluate(prepare));
    pages.push(page);
  }
  const [first, second] = pages;
  await step("call", 30, async () => first.evaluate(accept, edited(await post("/call", await first.evaluate(offer)))));
  await step("ring", 30, async () => post("/answer", await second.evaluate(answer, edited(await post("/ring")))));
  const codecs = [];
  for (const [i, page] of pages.entries()) {
    codecs.push(await step(`see and hear in page ${i + 1}`, 40, () => until(page, received)));
  }
  say("live", { codecs });
  await stopSign(Number(options.seconds ?? 60));
  await step("hang up", 30, () => Promise.all(pages.map((page) => page.evaluate(() => document.pc.close()))));
  say("stopped");
  await step("close the browsers", 30, () => Promise.all(pages.map((page) => page.close())));
});
