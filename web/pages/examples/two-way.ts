// Publishes the camera, and plays a stream. Both come back by themselves when the connection was lost.

import { Flashphoner, type SdkError, type Stream, STREAM_STATUS } from "/sdk/transponder.js";

const element = <T extends HTMLElement = HTMLElement>(id: string): T => document.getElementById(id) as T;

const session = Flashphoner.createSession({ urlServer: `${location.origin.replace("http", "ws")}/ws`, reconnect: true });

/** One half of the page: a button that begins and ends a stream, and words for how it goes. */
function half(mode: "publish" | "play", begin: string): void {
  const button = element<HTMLButtonElement>(mode);
  const name = element<HTMLInputElement>(`${mode}-name`);
  let stream: Stream | null = null;

  const show = (phase: string, words: string): void => {
    element(`${mode}-state`).dataset["phase"] = phase;
    element(`${mode}-state`).lastElementChild!.textContent = words;
    button.textContent = stream ? "Stop" : begin;
    button.classList.toggle("stop", stream !== null);
    name.disabled = stream !== null;
  };

  button.addEventListener("click", async () => {
    if (stream) {
      await stream.stop();
      return;
    }
    if (!name.reportValidity()) {
      return;
    }
    try {
      show("opening", "Connecting.");
      await session.connected;
      stream = session.createStream({
        name: name.value,
        display: element(`${mode}-display`),
        ...(mode === "publish" && { constraints: { audio: true, video: { width: 1280, height: 720 } } }),
      });
      stream.on(STREAM_STATUS.RESTORING, (s) => show("opening", `${s.error?.message} Trying again.`));
      stream.on(STREAM_STATUS.PUBLISHING, () => show("live", "Live."));
      stream.on(STREAM_STATUS.PLAYING, () => show("live", "Playing."));
      show("opening", "Connecting.");
      await stream[mode]();
      const { error } = await stream.ended;
      stream = null;
      show(error ? "failed" : "idle", error?.message ?? "Stopped.");
    } catch (error) {
      stream = null;
      const { message, reason } = error as SdkError;
      reason === "stopped" ? show("idle", "Stopped.") : show("failed", message);
    }
  });
}

const name = new URLSearchParams(location.search).get("name") ?? Math.random().toString(16).slice(2, 6);
element<HTMLInputElement>("publish-name").value = name;
element<HTMLInputElement>("play-name").value = name;
half("publish", "Publish");
half("play", "Play");
