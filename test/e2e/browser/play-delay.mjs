// Measures how late a picture is seen: drawn on a canvas with the time in it, and read from the canvas of whoever plays it.
//
//   node play-delay.mjs http://localhost:8081/
//
// Says {"event":"done","direct":{"median","pictures"},"server":{...}}, in milliseconds: for two connections of one page with each
// other, and by WHIP to the server and back by WHEP.

import { launch } from "./lib/browser.mjs";
import { main, readArguments, say, step } from "./lib/script.mjs";

const options = readArguments(["seconds"]);

/** Runs in the page. */
async function measure({ server, seconds }) {
  const bits = 24;
  const side = 16;
  const drawn = Object.assign(document.createElement("canvas"), { width: 640, height: 360 });
  const pen = drawn.getContext("2d");
  let hue = 0;
  const painting = setInterval(() => {
    pen.fillStyle = `hsl(${(hue += 3)} 60% 50%)`; // a picture that moves
    pen.fillRect(0, side, 640, 360 - side);
    const now = Math.round(performance.now());
    for (let bit = 0; bit < bits; bit++) {
      pen.fillStyle = (now >> bit) & 1 ? "white" : "black";
      pen.fillRect(bit * side, 0, side, side);
    }
  }, 1000 / 30);
  const camera = drawn.captureStream(30);

  const video = document.body.appendChild(Object.assign(document.createElement("video"), { muted: true, autoplay: true, playsInline: true }));
  const seen = Object.assign(document.createElement("canvas"), { width: 640, height: 360 }).getContext("2d", { willReadFrequently: true });
  const delays = [];
  const look = () => {
    seen.drawImage(video, 0, 0, 640, 360);
    const now = performance.now();
    const row = seen.getImageData(0, side / 2, 640, 1).data;
    let time = 0;
    for (let bit = 0; bit < bits; bit++) {
      time |= (row[4 * (bit * side + side / 2)] > 127 ? 1 : 0) << bit;
    }
    const delay = (now - time) % (1 << bits);
    if (delay >= 0 && delay < 10_000) {
      delays.push(delay);
    }
    video.requestVideoFrameCallback(look);
  };
  video.requestVideoFrameCallback(look);

  const sender = new RTCPeerConnection();
  const receiver = new RTCPeerConnection();
  receiver.ontrack = ({ streams, track }) => (video.srcObject = streams[0] ?? new MediaStream([track]));
  const transceiver = sender.addTransceiver(camera.getVideoTracks()[0], { direction: "sendonly", streams: [camera] });
  const { codecs } = RTCRtpSender.getCapabilities("video");
  transceiver.setCodecPreferences(codecs.filter(({ mimeType }) => mimeType === "video/H264" || mimeType === "video/rtx"));
  const gathered = (pc) => new Promise((resolve) => {
    pc.onicegatheringstatechange = () => pc.iceGatheringState === "complete" && resolve();
  });
  if (server) {
    const exchange = async (pc, path) => {
      await pc.setLocalDescription();
      for (;;) {
        const response = await fetch(path, { method: "POST", headers: { "Content-Type": "application/sdp" }, body: pc.localDescription.sdp });
        if (response.status === 201) {
          return pc.setRemoteDescription({ type: "answer", sdp: await response.text() });
        }
        if (response.status !== 404) {
          throw new Error(`${path} answers ${response.status}: ${await response.text()}`);
        }
        await new Promise((resolve) => setTimeout(resolve, 50)); // it is not published yet
      }
    };
    await exchange(sender, "/whip/delay");
    receiver.addTransceiver("video", { direction: "recvonly" });
    await exchange(receiver, "/whep/delay");
  } else {
    const ready = gathered(sender);
    await sender.setLocalDescription();
    await ready;
    await receiver.setRemoteDescription(sender.localDescription);
    const answered = gathered(receiver);
    await receiver.setLocalDescription();
    await answered;
    await sender.setRemoteDescription(receiver.localDescription);
  }
  const until = performance.now() + 20_000;
  while (delays.length === 0 && performance.now() < until) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  await new Promise((resolve) => setTimeout(resolve, 2000)); // jitter buffers settle
  delays.length = 0;
  await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  sender.close();
  receiver.close();
  clearInterval(painting);
  video.remove();
  delays.sort((a, b) => a - b);
  return { median: delays[Math.floor(delays.length / 2)] ?? 0, pictures: delays.length };
}

await main(async () => {
  const browser = await step("start the browser", 40, launch);
  const page = await browser.newPage();
  await page.goto(new URL("/health/live", options.address).href);
  const direct = await step("play directly", 60, () => page.evaluate(measure, { server: false, seconds: 5 }));
  const server = await step("play through the server", 60, () => page.evaluate(measure, { server: true, seconds: 5 }));
  say("done", { direct, server });
  await step("close the browser", 20, () => browser.close());
});
