// Publishes the camera, and a screen with its sound in place of the camera.

import { PublisherController, type PublisherStatus } from "/sdk/transponder-controllers.js";

const element = <T extends HTMLElement = HTMLElement>(id: string): T => document.getElementById(id) as T;
const [name, preview] = [element<HTMLInputElement>("name"), element<HTMLVideoElement>("preview")];
const publisher = new PublisherController();
const words: Record<PublisherStatus, string> = {
  idle: "Not published.", opening: "Opening camera and microphone.", live: "Live.", interrupted: "The connection is lost. Trying again.", failed: "",
};

publisher.subscribe(({ error, screen, screenSound, status }) => {
  const running = status !== "idle" && status !== "failed";
  const shown = screenSound ? "Live: the screen with its sound." : "Live: the screen, without its sound.";
  element("state").dataset["phase"] = status === "interrupted" ? "opening" : status;
  element("state").lastElementChild!.textContent = status === "live" && screen ? shown : words[status] || error!.message;
  element("go").textContent = running ? "Stop" : "Publish";
  element("go").classList.toggle("stop", running);
  element("share").hidden = status !== "live";
  element("share").textContent = screen ? "Show the camera" : "Show the screen";
  name.disabled = running;
});

element("go").addEventListener("click", () => {
  if (["idle", "failed"].includes(publisher.state.status)) {
    preview.muted = true;
    name.reportValidity() && publisher.start({ name: name.value, display: preview });
  } else {
    void publisher.stop();
  }
});

element("share").addEventListener("click", () => {
  const change = publisher.state.screen ? publisher.stopScreen() : publisher.shareScreen();
  change.catch((error: Error) => element("state").lastElementChild!.textContent = error.message); // the person has picked none
});

name.value = new URLSearchParams(location.search).get("name") ?? Math.random().toString(16).slice(2, 6);
