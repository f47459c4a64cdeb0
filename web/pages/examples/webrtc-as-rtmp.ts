// Publishes the camera, lets the server push it to an RTMP server, and shows how the push goes.

import { Flashphoner, type PushStatus, RestApi, type SdkError, type Stream } from "/sdk/transponder.js";

const words: Record<PushStatus, string> = {
  STARTING: "Waiting for sound and pictures.", CONNECTING: "Connecting to the RTMP server.", PUBLISHING: "Live.",
  DEGRADED: "Live, with trouble.", HOLDING: "Your connection is lost; viewers see a still picture.",
  RECONNECTING: "The RTMP server was lost; trying again.", DRAINING: "Sending the rest.", AWAITING: "Waiting for the stream to come back.", ENDED: "Stopped.", FAILED: "Failed.",
};
const element = <T extends HTMLElement = HTMLElement>(id: string): T => document.getElementById(id) as T;
const [name, address] = [element<HTMLInputElement>("name"), element<HTMLInputElement>("address")];
const session = Flashphoner.createSession({ urlServer: `${location.origin.replace("http", "ws")}/ws`, reconnect: true });
const api = new RestApi();
let stream: Stream | null = null;

function show(phase: string, sentence: string): void {
  element("state").dataset["phase"] = phase;
  element("state").lastElementChild!.textContent = sentence;
  element("watch").hidden = phase !== "live";
  name.disabled = address.disabled = stream !== null;
  element("go").textContent = stream ? "Stop" : "Start";
  element("go").classList.toggle("stop", stream !== null);
}

/** Sends camera and microphone until somebody stops it, or until the push is over. */
async function send(): Promise<void> {
  await session.connected;
  const video = { width: 1280, height: 720 };
  stream = session.createStream({ name: name.value, display: element("display"), constraints: { audio: true, video } });
  show("opening", "Opening the camera.");
  await stream.publish();
  const push = await api.push({ streamName: name.value, rtmpUrl: address.value, options: { onSourceLoss: "hold" } });
  const [app, parameters] = address.value.replace("localhost", location.hostname).split(/\/?(?=\?|$)/);
  const played = `${app}/${push.info.streamName}`;
  element("command").textContent = parameters ? `ffplay '${played}${parameters}'` : `ffplay ${played}`;
  void stream.ended.then(() => push.terminate()).catch(() => undefined); // it may be over already
  for await (const { status, info } of push.states()) {
    if (status === "FAILED") {
      throw new Error(info);
    }
    show(status === "PUBLISHING" ? "live" : "pushing", `${words[status]} ${info}`);
  }
}

async function begin(): Promise<void> {
  const failure = await send().then(() => "", ({ message, reason }: SdkError) => (reason === "stopped" ? "" : message));
  await stream?.stop();
  stream = null;
  failure ? show("failed", failure) : show("idle", "Stopped. Nothing is sent.");
}

element("form").addEventListener("submit", (event) => {
  event.preventDefault();
  void (stream ? stream.stop() : begin());
});

const query = new URLSearchParams(location.search);
name.value = query.get("name") ?? Math.random().toString(16).slice(2, 6);
address.value = query.get("rtmp") ?? `rtmp://localhost:${(await (await fetch("/config.json")).json()).rtmpPort || 1935}/live`;
