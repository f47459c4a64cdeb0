// Measures what sending from the studio costs the browser, and what a page costs that does nothing but send and show the same camera.
//
//   node studio-cost.mjs http://localhost:8081/ --rtmp URL --seconds 600 [--camera FILE.mjpeg]
//
// Each line on standard input is a command:
//
//   studio NAME       starts a browser, goes live under this name, and says {"event":"live"} with the size of the preview
//   bare NAME WIDTH   starts a browser with a page that only sends the same picture and sound, with a preview of this width, and says {"event":"live"}
//   measure SECONDS   says {"event":"measured"} with the CPU time that the processes of the browser took, in ms a second: "all", each kind of process,
//                     and in "threads" those threads that took most
//   close             closes the browser, and says {"event":"closed"}
//
// When standard input closes, it says {"event":"stopped"}.

import { readdirSync, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { launch } from "./lib/browser.mjs";
import { commands, main, readArguments, say, step } from "./lib/script.mjs";

const options = readArguments(["rtmp", "seconds", "camera"]);
let browser, page;

/** Runs in a page that has nothing else: sends as the studio does with its usual quality. */
async function publish({ name, width }) {
  const stream = await navigator.mediaDevices.getUserMedia({
    video: { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30, max: 30 } },
    audio: { echoCancellation: true, noiseSuppression: true, autoGainControl: true },
  });
  const video = Object.assign(document.createElement("video"), { muted: true, autoplay: true, playsInline: true, srcObject: stream });
  video.style.width = `${width}px`;
  document.body.append(video);
  const pc = globalThis.pc = new RTCPeerConnection();
  for (const track of stream.getTracks()) {
    track.contentHint = track.kind === "video" ? "motion" : "speech";
    const transceiver = pc.addTransceiver(track, { direction: "sendonly", streams: [stream] });
    if (track.kind === "video") {
      const baseline = ({ mimeType, sdpFmtpLine = "" }) => mimeType === "video/H264" && /packetization-mode=1/.test(sdpFmtpLine) && /profile-level-id=42e0/.test(sdpFmtpLine);
      transceiver.setCodecPreferences(RTCRtpSender.getCapabilities("video").codecs.filter((codec) => baseline(codec) || codec.mimeType === "video/rtx"));
    }
  }
  await pc.setLocalDescription();
  await new Promise((resolve) => {
    const look = () => pc.iceGatheringState === "complete" && resolve();
    pc.onicegatheringstatechange = look;
    look();
  });
  const answer = await fetch(`/whip/${name}`, { method: "POST", headers: { "Content-Type": "application/sdp" }, body: pc.localDescription.sdp });
  if (answer.status !== 201) {
    throw new Error(`the server answers ${answer.status}`);
  }
  await pc.setRemoteDescription({ type: "answer", sdp: await answer.text() });
  const [sender] = pc.getSenders().filter((one) => one.track.kind === "video");
  const parameters = sender.getParameters();
  Object.assign(parameters.encodings[0], { maxBitrate: 2_500_000, maxFramerate: 30 });
  parameters.degradationPreference = "maintain-resolution";
  await sender.setParameters(parameters);
}

/** The CPU time that each thread of the browser has taken, in ticks of the kernel, by the kind of its process and its name. */
async function ticks() {
  const cdp = await browser.newBrowserCDPSession();
  const { processInfo } = await cdp.send("SystemInfo.getProcessInfo");
  await cdp.detach();
  const found = new Map();
  for (const { id, type } of processInfo) {
    for (const thread of readdirSync(`/proc/${id}/task`)) {
      const [, name, rest] = /\((.*)\) (.*)/s.exec(readFileSync(`/proc/${id}/task/${thread}/stat`, "utf8"));
      const fields = rest.split(" "); // from the third on: 14 and 15 are the times in the program and in the kernel
      found.set(`${id} ${thread}`, { type, name, ticks: Number(fields[11]) + Number(fields[12]) });
    }
  }
  return found;
}

async function measure(seconds) {
  const before = await ticks();
  const begun = performance.now();
  await sleep(seconds * 1000);
  const after = await ticks();
  const lasted = (performance.now() - begun) / 1000;
  const sums = new Map([["all", 0]]);
  const threads = new Map();
  const add = (to, key, ms) => to.set(key, (to.get(key) ?? 0) + ms);
  for (const [key, { name, ticks: now, type }] of after) {
    const ms = (10 * (now - (before.get(key)?.ticks ?? 0))) / lasted; // Linux counts 100 ticks a second
    add(sums, "all", ms);
    add(sums, type, ms);
    add(threads, `${type} ${name}`, ms);
  }
  const most = [...threads].sort(([, a], [, b]) => b - a).slice(0, 16);
  return {
    ...Object.fromEntries([...sums].map(([key, ms]) => [key, ms.toFixed(1)])),
    threads: most.map(([key, ms]) => `${key} ${ms.toFixed(1)}`).join(", "),
  };
}

async function open() {
  browser = await launch({ args: options.camera ? [`--use-file-for-fake-video-capture=${options.camera}`] : [] });
  page = await browser.newPage({ viewport: { width: 1280, height: 860 } });
  page.setDefaultTimeout(0); // steps have their limits
}

const tasks = {
  async studio(name) {
    await open();
    await page.goto(options.address);
    await page.waitForFunction(() => document.getElementById("video").videoWidth > 0);
    await page.locator("#name").fill(name);
    await page.locator("#address-1").fill(options.rtmp);
    await page.locator("#go").click();
    await page.waitForFunction(() => /^Live on/.test(document.getElementById("state").textContent));
    say("live", { displayed: { width: String(await page.evaluate(() => document.getElementById("video").clientWidth)) } });
  },
  async bare(name, width) {
    await open();
    const address = new URL("/bare", options.address).href; // of the server, as the page is to ask it
    await page.route(address, (route) => route.fulfill({ contentType: "text/html", body: "<!doctype html><title>Bare</title>" }));
    await page.goto(address);
    await page.unrouteAll();
    await page.evaluate(publish, { name, width });
    await page.waitForFunction(() => globalThis.pc.connectionState === "connected");
    say("live");
  },
  async measure(seconds) {
    say("measured", { displayed: await measure(Number(seconds)) });
  },
  async close() {
    await browser.close();
    say("closed");
  },
};

await main(async () => {
  for await (const line of commands(Number(options.seconds ?? 60))) {
    const [task, ...rest] = line.split(" ");
    await step(line, 60 + (task === "measure" ? Number(rest[0]) : 0), () => tasks[task](...rest));
  }
  say("stopped");
}, async () => ({ displayed: { page: await page.locator("body").innerText() } }));
