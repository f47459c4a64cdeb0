// Publishes the camera. While it is live, the person changes microphone and camera: the stream goes on, for its viewers and for each push.

import { Flashphoner, type MediaDevice, type SdkError } from "/sdk/transponder.js";
import { PublisherController } from "/sdk/transponder-controllers.js";

const element = <T extends HTMLElement = HTMLElement>(id: string): T => document.getElementById(id) as T;
const [name, preview] = [element<HTMLInputElement>("name"), element<HTMLVideoElement>("preview")];
const [microphones, cameras] = [element<HTMLSelectElement>("microphones"), element<HTMLSelectElement>("cameras")];
const publisher = new PublisherController();

/** Lists the devices of one kind, with the one that is sent now selected. Labels are empty until the browser allows the page to use devices. */
function list(select: HTMLSelectElement, devices: MediaDevice[], used: MediaStreamTrack | undefined): void {
  const own = used?.getSettings().deviceId;
  const gone = used && devices.every(({ id }) => id !== own) ? [new Option(`${used.label} (gone)`, own, false, true)] : [];
  select.replaceChildren(...devices.map(({ id, label }, i) => new Option(label || `${i + 1}`, id, false, id === own)), ...gone);
  select.disabled = !used;
}

async function listAll(): Promise<void> {
  const { audio, video } = await Flashphoner.getMediaDevices();
  const media = publisher.state.status === "live" ? publisher.state.stream?.mediaStream : null;
  list(microphones, audio, media?.getAudioTracks()[0]);
  list(cameras, video, media?.getVideoTracks()[0]);
}

/** Runs a change. If the device cannot be opened, the old one stays, and the page says why. */
async function change(run: () => Promise<string> | undefined): Promise<void> {
  const problem = await Promise.resolve(run()).then(() => "", ({ message }: SdkError) => message);
  element("problem").textContent = problem;
  await listAll();
}

publisher.subscribe(({ cameraLost, error, microphoneLost, pictureMuted, soundMuted, status }) => {
  const running = status !== "idle" && status !== "failed";
  element("state").dataset["phase"] = status === "interrupted" ? "opening" : status;
  const live = cameraLost || microphoneLost ? "Live, but a device is gone. Plug it in again, or pick another." : "Live.";
  element("state").lastElementChild!.textContent = error?.message ?? { idle: "Not published.", live }[status as string] ?? "Opening camera and microphone.";
  element("go").textContent = running ? "Stop" : "Publish";
  element("go").classList.toggle("stop", running);
  element("sound").setAttribute("aria-pressed", String(soundMuted));
  element("picture").setAttribute("aria-pressed", String(pictureMuted));
  ["sound", "picture"].forEach((id) => element<HTMLButtonElement>(id).disabled = status !== "live");
  void listAll();
});

microphones.addEventListener("change", () => void change(() => publisher.state.stream?.switchMic(microphones.value)));
cameras.addEventListener("change", () => void change(() => publisher.state.stream?.switchCam(cameras.value)));
element("sound").addEventListener("click", () => publisher.muteSound(!publisher.state.soundMuted));
element("picture").addEventListener("click", () => publisher.mutePicture(!publisher.state.pictureMuted));
navigator.mediaDevices?.addEventListener("devicechange", () => void listAll()); // one was plugged in or pulled out
element("go").addEventListener("click", () => {
  preview.muted = true; // nobody wants to hear himself
  ["idle", "failed"].includes(publisher.state.status) ? name.reportValidity() && publisher.start({ name: name.value, display: preview }) : void publisher.stop();
});

name.value = new URLSearchParams(location.search).get("name") ?? Math.random().toString(16).slice(2, 6);
await listAll();
