// Publishes the camera, lets the server push it to an RTMP server, and shows how the push goes.

import { Flashphoner, type PushStatus, RestApi, type SdkError, type Stream } from "/sdk/transponder.js";

const words: Record<PushStatus, string> = {
  STARTING: "Waiting for sound and pictures.", CONNECTING: "Connecting to the RTMP server.", PUBLISHING: "Live.",
  DEGRADED: "Live, with trouble.", HOLDING: "Your connection is lost; viewers see a still picture.",
  RECONNECTING: "The RTMP server was lost; trying again.", DRAINING: "Sending the rest.", ENDED: "Stopped.", FAILED: "Failed.",
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
  const constraints = { audio: true, video: { width: 1280, height: 720 } };
  stream = session.createStream({ name: name.value, display: element("display"), constraints });
  show("opening", "Opening the camera.");
  await stream.publish();
  const push = await api.push({ streamName: name.value, rtmpUrl: address.value, options: { onSourceLoss: "hold" } });
  const [app = "", parameters] = address.value.replace("localhost", location.hostname).split(/(?=\?)/);
  const played = `${app.replace(/\/$/, "")}/${push.info.streamName}`;
  element("command").textContent = `ffplay ${parameters ? `'${played}${parameters}'` : played}`;
  void stream.ended.then(() => push.terminate()).catch(() => undefined); // it may be over already
  for await (const { status, info } of push.states()) {
    show(status === "PUBLISHING" ? "live" : "pushing", `${words[status]} ${info}`);
    if (status === "FAILED") {
      throw new Error(info);
    }
  }
}

async function begin(): Promise<void> {
  let failure = "";
  await send().catch(({ message, reason }: SdkError) => (failure = reason === "stopped" ? "" : message));
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
address.value = query.get("rtmp") ?? "";
if (address.value === "") {
  void fetch("/config.json").then(async (answer) => { // the server's own RTMP port, which takes streams too
    const { rtmpPort } = await answer.json() as { rtmpPort: number };
    address.value ||= rtmpPort === 0 ? "" : `rtmp://localhost:${rtmpPort}/live`;
  }).catch(() => undefined);
}
