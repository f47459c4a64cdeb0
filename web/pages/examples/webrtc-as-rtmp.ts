// Publishes the camera, lets the server push it to an RTMP server, and shows how the push goes.

import { Flashphoner, RestApi, type SdkError, type Stream } from "/sdk/transponder.js";

const element = <T extends HTMLElement = HTMLElement>(id: string): T => document.getElementById(id) as T;
const [name, address] = [element<HTMLInputElement>("name"), element<HTMLInputElement>("address")];
const button = element<HTMLButtonElement>("go");

const session = Flashphoner.createSession({ urlServer: `${location.origin.replace("http", "ws")}/ws`, reconnect: true });
const api = new RestApi();
let stream: Stream | null = null;

function show(phase: string, words: string): void {
  element("state").dataset["phase"] = phase;
  element("state").lastElementChild!.textContent = words;
  element("watch").hidden = phase !== "live";
  button.textContent = stream ? "Stop" : "Start";
  button.classList.toggle("stop", stream !== null);
}

/** Sends camera and microphone until somebody stops it, or until the push is over. */
async function send(): Promise<void> {
  show("opening", "Connecting…");
  await session.connected;
  stream = session.createStream({
    name: name.value,
    display: element("display"),
    constraints: { audio: true, video: { width: 1280, height: 720 } },
  });
  show("opening", "Opening the camera…");
  await stream.publish();
  const push = await api.push({ streamName: name.value, rtmpUrl: address.value, options: { onSourceLoss: "hold" } });
  element("command").textContent = `ffplay ${address.value.replace("localhost", location.hostname)}/${push.info.streamName}`;
  void stream.ended.then(() => push.terminate()).catch(() => undefined); // it may be over already
  for await (const { status, info } of push.states()) {
    show(status === "PUBLISHING" ? "live" : "pushing", `${status.charAt(0)}${status.slice(1).toLowerCase()}. ${info}`);
    if (status === "FAILED") {
      throw new Error(info);
    }
  }
}

async function begin(): Promise<void> {
  const error = await send().then(() => null, (reason: SdkError) => reason);
  await stream?.stop();
  stream = null;
  error && error.reason !== "stopped" ? show("failed", error.message) : show("idle", "Stopped. Nothing is sent");
}

element("form").addEventListener("submit", (event) => {
  event.preventDefault();
  void (stream ? stream.stop() : begin());
});

const query = new URLSearchParams(location.search);
name.value = query.get("name") ?? Math.random().toString(16).slice(2, 6);
address.value = query.get("rtmp") ?? "rtmp://localhost:1935/live";
