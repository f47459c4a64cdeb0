// Pushes the camera to an RTMP server that never loses the show: a picture while the camera is off, and a sound file or silence when asked.

import { PublisherController, PushController } from "/sdk/transponder-controllers.js";

const element = <T extends HTMLElement = HTMLElement>(id: string): T => document.getElementById(id) as T;
const input = (id: string): HTMLInputElement => element<HTMLInputElement>(id);
const preview = element<HTMLVideoElement>("preview");
const [publisher, push] = [new PublisherController(), new PushController()];
const pushed = (): boolean => !["idle", "ENDED", "FAILED"].includes(push.state.status);

function show(id: string, phase: string, sentence: string): void {
  element(id).dataset["phase"] = phase;
  element(id).lastElementChild!.textContent = sentence;
}

publisher.subscribe(({ error, status }) => {
  const on = status !== "idle" && status !== "failed";
  show("state", status === "interrupted" ? "opening" : status, error?.message ?? (status === "live" ? "Live." : on ? "Opening the camera." : "The camera is off."));
  element("go").textContent = on ? "Turn off the camera" : "Turn on the camera";
  element<HTMLButtonElement>("push").disabled = status !== "live" && !pushed();
});

push.subscribe(({ error, info, status }) => {
  const words: Record<string, string> = { idle: "Not sent.", ENDED: "Ended.", FAILED: "Failed.", PUBLISHING: "Live.", HOLDING: "The picture is sent." };
  show("push-state", { PUBLISHING: "live", FAILED: "failed", idle: "idle", ENDED: "idle" }[status as string] ?? "pushing", error?.message ?? words[status] ?? info);
  element("push").textContent = pushed() ? "End" : "Start";
  element("push").classList.toggle("stop", pushed());
  for (const id of ["play", "mute"]) {
    element<HTMLButtonElement>(id).disabled = status !== "PUBLISHING";
    pushed() || element(id).setAttribute("aria-pressed", "false");
  }
});

/** A button that switches something on and off. It looks pressed when the server has done it. */
function toggle(id: string, change: (on: boolean) => Promise<void> | undefined): void {
  element(id).addEventListener("click", async () => {
    const on = element(id).getAttribute("aria-pressed") !== "true";
    element("problem").textContent = await Promise.resolve(change(on)).then(() => "", ({ message }: Error) => message);
    element("problem").textContent || element(id).setAttribute("aria-pressed", String(on));
  });
}

toggle("play", (on) => (on ? push.state.push?.soundOn({ soundFile: input("file").value, loop: true }) : push.state.push?.soundOff()));
toggle("mute", (on) => push.mute(on));
element("go").addEventListener("click", () => {
  preview.muted = true;
  ["idle", "failed"].includes(publisher.state.status) ? input("name").reportValidity() && publisher.start({ name: input("name").value, display: preview }) : void publisher.stop();
});
element("push").addEventListener("click", () => {
  const options = { onSourceLoss: "hold" as const, holdMs: 600_000, ...(input("slate").value && { slate: input("slate").value }) };
  const request = { streamName: input("name").value, rtmpUrl: input("address").value, rtmpTransponderFullUrl: true, options };
  pushed() ? void push.stop() : input("name").reportValidity() && push.start({ request });
});

input("name").value = new URLSearchParams(location.search).get("name") ?? Math.random().toString(16).slice(2, 6);
input("address").value = `rtmp://localhost:${(await (await fetch("/config.json")).json()).rtmpPort || 1935}/live/key`;
