// Publishes the camera once, and lets the server push it to two RTMP servers. Each push lives for itself: one may fail while the other goes on.

import { PublisherController, PushController } from "/sdk/transponder-controllers.js";

const element = <T extends HTMLElement = HTMLElement>(id: string): T => document.getElementById(id) as T;
const name = element<HTMLInputElement>("name");
const preview = element<HTMLVideoElement>("preview");
const publisher = new PublisherController();

function show(id: string, phase: string, sentence: string): void {
  element(id).dataset["phase"] = phase;
  element(id).lastElementChild!.textContent = sentence;
}

/** One destination: an address, a button for this push alone, and words for how it goes. */
function destination(id: string): PushController {
  const push = new PushController();
  const [address, go] = [element<HTMLInputElement>(`${id}-address`), element<HTMLButtonElement>(`${id}-go`)];
  const running = (): boolean => !["idle", "ENDED", "FAILED"].includes(push.state.status);
  push.subscribe(({ error, info, status }) => {
    const phase = status === "PUBLISHING" ? "live" : status === "FAILED" ? "failed" : running() ? "pushing" : "idle";
    const words = { live: "Live.", idle: "Not sent.", failed: "Failed.", pushing: "Connecting." }[phase];
    show(`${id}-state`, phase, error?.message ?? (`${words} ${phase === "idle" ? "" : info}`).trim());
    go.textContent = running() ? "End" : "Start";
    address.disabled = running();
  });
  go.addEventListener("click", () => {
    const request = { streamName: name.value, rtmpUrl: address.value, rtmpTransponderFullUrl: true };
    running() ? void push.stop() : name.reportValidity() && push.start({ request });
  });
  return push;
}

const pushes = [destination("first"), destination("second")];

publisher.subscribe(({ error, status }) => {
  const live = status === "live" || status === "interrupted";
  show("state", live ? "live" : status, { idle: "Not published.", opening: "Opening the camera.", live: "Live.", interrupted: "Reconnecting.", failed: error?.message ?? "" }[status]);
  element("go").textContent = live || status === "opening" ? "Stop" : "Publish";
  element("go").classList.toggle("stop", live || status === "opening");
  ["first-go", "second-go"].forEach((id) => element<HTMLButtonElement>(id).disabled = !live);
});

element("go").addEventListener("click", async () => {
  if (["idle", "failed"].includes(publisher.state.status)) {
    preview.muted = true;
    name.reportValidity() && publisher.start({ name: name.value, display: preview });
  } else {
    await Promise.all(pushes.map((push) => push.stop()));
    await publisher.stop();
  }
});

name.value = new URLSearchParams(location.search).get("name") ?? Math.random().toString(16).slice(2, 6);
const { rtmpPort } = await (await fetch("/config.json")).json();
["first", "second"].forEach((id) => element<HTMLInputElement>(`${id}-address`).value = `rtmp://localhost:${rtmpPort || 1935}/live/${id}-key`);
