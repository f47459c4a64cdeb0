// Publishes the camera in a quality that the person chooses. A change while it is live needs no new stream.

import { Flashphoner, type SdkError, type Stream, type StreamStats } from "/sdk/transponder.js";

const element = <T extends HTMLElement = HTMLElement>(id: string): T => document.getElementById(id) as T;
const qualities = { // kbit/s
  "1080p, 30 pictures a second": { width: 1920, height: 1080, frameRate: 30, maxBitrate: 4500 },
  "720p, 30 pictures a second": { width: 1280, height: 720, frameRate: 30, maxBitrate: 2500 },
  "360p, 15 pictures a second": { width: 640, height: 360, frameRate: 15, maxBitrate: 600 },
};
const [name, choice] = [element<HTMLInputElement>("name"), element<HTMLSelectElement>("quality")];
const session = Flashphoner.createSession({ urlServer: `${location.origin.replace("http", "ws")}/ws`, reconnect: true });
let stream: Stream | null = null;

const chosen = (): typeof qualities[keyof typeof qualities] => qualities[choice.value as keyof typeof qualities];

function show(phase: string, sentence: string): void {
  element("state").dataset["phase"] = phase;
  element("state").lastElementChild!.textContent = sentence;
  element("go").textContent = stream ? "Stop" : "Publish";
  element("go").classList.toggle("stop", stream !== null);
  name.disabled = stream !== null;
}

async function begin(): Promise<void> {
  await session.connected;
  stream = session.createStream({ name: name.value, display: element("preview"), constraints: { audio: true, video: chosen() } });
  show("opening", "Opening the camera.");
  await stream.publish();
  show("live", "Live.");
  const { error } = await stream.ended;
  if (error) {
    throw error;
  }
}

choice.addEventListener("change", async () => {
  if (stream?.status() === "PUBLISHING") {
    const { frameRate, height, maxBitrate, width } = chosen();
    await stream.updateVideoSettings({ maxBitrate, frameRate }); // what the encoder may use
    await stream.updateVideoResolution({ width, height }); // what the camera gives
  }
});

element("go").addEventListener("click", async () => {
  if (!stream && !name.reportValidity()) {
    return;
  }
  const failure = await (stream ? stream.stop() : begin()).then(() => "", ({ message }: SdkError) => message);
  stream = null;
  failure ? show("failed", failure) : show("idle", "Stopped.");
});

setInterval(async () => {
  const sent = stream?.status() === "PUBLISHING" && (await stream.getStats() as StreamStats).outboundStream.video;
  element("sent").textContent = sent ? `Sent: ${sent.width} by ${sent.height}, ${sent.framesPerSecond ?? 0} pictures a second.` : "Nothing is sent.";
}, 1000);
choice.replaceChildren(...Object.keys(qualities).map((words, i) => new Option(words, words, false, i === 1)));
name.value = new URLSearchParams(location.search).get("name") ?? Math.random().toString(16).slice(2, 6);
