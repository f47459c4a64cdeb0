// Plays a stream as soon as the page is open. Browsers play sound only after a click: until then the stream plays without sound, and the page
// shows a button for it.

import { PlayerController, type PlayerState } from "/sdk/transponder-controllers.js";

const element = <T extends HTMLElement = HTMLElement>(id: string): T => document.getElementById(id) as T;
const [name, video] = [element<HTMLInputElement>("name"), element<HTMLVideoElement>("video")];
const player = new PlayerController();

/** The phase for the colour of the dot, and words for people. */
function words({ error, publisher, status }: PlayerState): [phase: string, sentence: string] {
  switch (status) {
    case "idle":
      return ["idle", "Choose a stream."];
    case "connecting":
      return ["opening", "Connecting."];
    case "waiting": // the player asks again by itself
      return ["opening", publisher === "left" ? "The broadcast has ended. It may come back." : "Nobody is live yet. It begins here by itself."];
    case "playing":
      return publisher === "away" ? ["opening", "The broadcaster’s connection is lost."] : ["live", "Playing."];
    case "interrupted": // so it does here
      return ["opening", `${error?.message} Trying again.`];
    case "failed": // only start tries again
      return ["failed", error?.message ?? ""];
  }
}

player.subscribe((state) => {
  const [phase, sentence] = words(state);
  element("state").dataset["phase"] = phase;
  element("state").lastElementChild!.textContent = sentence;
  element("unmute").hidden = !state.unmuteRequired;
});

element("unmute").addEventListener("click", () => player.unmute());
element("volume").addEventListener("input", ({ target }) => video.volume = Number((target as HTMLInputElement).value) / 100);
element("go").addEventListener("click", () => name.reportValidity() && player.start({ name: name.value, display: video }));

name.value = new URLSearchParams(location.search).get("name") ?? "";
name.value && player.start({ name: name.value, display: video });
