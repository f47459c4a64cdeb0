// Publishes the camera, and records what is sent to a file on the person's own machine.

import { PublisherController } from "/sdk/transponder-controllers.js";

const element = <T extends HTMLElement = HTMLElement>(id: string): T => document.getElementById(id) as T;
const [name, preview] = [element<HTMLInputElement>("name"), element<HTMLVideoElement>("preview")];
const publisher = new PublisherController();
let recorder: MediaRecorder | null = null;

/** Shows a link by which the browser stores a recording. */
function offer(pieces: Blob[], type: string): void {
  const file = new Blob(pieces, { type });
  const [line, link] = [document.createElement("li"), document.createElement("a")];
  link.href = URL.createObjectURL(file); // it lives as long as this page
  link.download = `${name.value}-${new Date().toISOString().slice(0, 19).replaceAll(":", "-")}.${type.includes("mp4") ? "mp4" : "webm"}`;
  link.textContent = `Save ${link.download} (${(file.size / 1e6).toFixed(1)} MB)`;
  line.append(link);
  element("files").append(line);
}

function record(media: MediaStream): MediaRecorder {
  const pieces: Blob[] = [];
  const made = new MediaRecorder(media, { videoBitsPerSecond: 4_000_000 }); // better than what is sent: the line does not limit it
  made.ondataavailable = ({ data }) => pieces.push(data);
  made.onstop = () => offer(pieces, made.mimeType);
  made.start(1000); // a piece a second
  return made;
}

function toggle(on: boolean): void {
  const media = publisher.state.stream?.mediaStream;
  recorder?.state === "recording" && recorder.stop();
  recorder = on && media ? record(media) : null;
  element("record").setAttribute("aria-pressed", String(recorder !== null));
  element("record").textContent = recorder ? "Stop recording" : "Record";
}

publisher.subscribe(({ error, status }) => {
  const running = status !== "idle" && status !== "failed";
  element("state").dataset["phase"] = status === "interrupted" ? "opening" : status; // a recording goes on while the connection is lost
  element("state").lastElementChild!.textContent = error?.message ?? (status === "live" ? "Live." : running ? "Opening camera and microphone." : "Not published.");
  element("go").textContent = running ? "Stop" : "Publish";
  element("go").classList.toggle("stop", running);
  element("record").hidden = status !== "live" && status !== "interrupted";
  running || toggle(false);
});

element("record").addEventListener("click", () => toggle(recorder === null));
element("go").addEventListener("click", () => {
  preview.muted = true;
  ["idle", "failed"].includes(publisher.state.status) ? name.reportValidity() && publisher.start({ name: name.value, display: preview }) : void publisher.stop();
});
name.value = new URLSearchParams(location.search).get("name") ?? Math.random().toString(16).slice(2, 6);
