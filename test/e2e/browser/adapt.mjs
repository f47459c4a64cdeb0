// Publishes by WHIP a camera of 1280x720 whose pictures go out at a quarter of their width and height, and whole once told to: what
// a browser does by itself when it finds more room.
//
//   node adapt.mjs http://localhost:8081/ --name N [--seconds 60]
//
// Says {"event":"live"} when small pictures have gone out. A line "grow" on standard input makes them large, {"event":"grown"} says
// that large ones have gone out. It ends when standard input closes.

import { launch } from "./lib/browser.mjs";
import { commands, main, readArguments, say, step } from "./lib/script.mjs";

const options = readArguments(["name", "seconds"]);

/** Runs in the page: publishes, and leaves what the other functions need. */
async function publish({ name }) {
  const camera = await navigator.mediaDevices.getUserMedia({ audio: true, video: { width: { exact: 1280 }, height: { exact: 720 } } });
  const pc = new RTCPeerConnection();
  const { sender } = pc.addTransceiver(camera.getVideoTracks()[0], {
    direction: "sendonly", streams: [camera], sendEncodings: [{ scaleResolutionDownBy: 4, maxBitrate: 2_000_000 }],
  });
  pc.addTransceiver(camera.getAudioTracks()[0], { direction: "sendonly", streams: [camera] });
  const { codecs } = RTCRtpSender.getCapabilities("video");
  pc.getTransceivers()[0].setCodecPreferences(codecs.filter(({ mimeType }) => mimeType === "video/H264" || mimeType === "video/rtx"));
  const gathered = new Promise((resolve) => {
    pc.onicegatheringstatechange = () => pc.iceGatheringState === "complete" && resolve();
  });
  await pc.setLocalDescription();
  await gathered;
  const answer = await fetch(`/whip/${name}`, { method: "POST", headers: { "Content-Type": "application/sdp" }, body: pc.localDescription.sdp });
  if (!answer.ok) {
    throw new Error(`WHIP answers ${answer.status}`);
  }
  await pc.setRemoteDescription({ type: "answer", sdp: await answer.text() });
  globalThis.sending = { pc, sender };
}

/** Runs in the page: sends all of the picture, and rather fewer pictures than smaller ones. */
async function grow() {
  const parameters = sending.sender.getParameters();
  parameters.encodings[0].scaleResolutionDownBy = 1;
  parameters.degradationPreference = "maintain-resolution";
  await sending.sender.setParameters(parameters);
}

/** Runs in the page: whether pictures of that width go out. */
async function sends(width) {
  for (const report of (await sending.sender.getStats()).values()) {
    if (report.type === "outbound-rtp" && report.frameWidth === width && report.framesSent > 0) {
      return true;
    }
  }
  return false;
}

await main(async () => {
  const browser = await step("start the browser", 40, launch);
  const page = await browser.newPage();
  await step("open the page", 20, () => page.goto(options.address));
  await step("publish", 20, () => page.evaluate(publish, options));
  await step("send small pictures", 40, () => page.waitForFunction(sends, 320, { timeout: 0, polling: 200 }));
  say("live");
  for await (const command of commands(Number(options.seconds ?? 60))) {
    if (command === "grow") {
      await step("grow", 20, () => page.evaluate(grow));
      await step("send large pictures", 60, () => page.waitForFunction(sends, 1280, { timeout: 0, polling: 200 }));
      say("grown");
    }
  }
  await step("close the browser", 20, () => browser.close());
  say("stopped");
});
