// The elements need no script but their own. This one gives both the same name, and lists what they report.

import "/sdk/transponder-elements.js";

const publisher = document.querySelector("transponder-publisher")!;
const player = document.querySelector("transponder-player")!;

function note(words: string): void {
  const line = document.createElement("li");
  line.textContent = `${new Date().toLocaleTimeString()} ${words}`;
  document.getElementById("events")!.prepend(line);
}

publisher.addEventListener("statuschange", () => note(`Publisher: ${publisher.state.status}.`));
publisher.addEventListener("error", () => note(publisher.state.error!.message));
player.addEventListener("publisheraway", () => note("Player: the publisher is away."));
player.addEventListener("publisherleft", () => note("Player: the publisher has left."));
player.addEventListener("publisherback", () => note("Player: the publisher is back."));
player.addEventListener("playing", () => note("Player: it plays."));

publisher.name = player.name = new URLSearchParams(location.search).get("name") ?? Math.random().toString(16).slice(2, 6);
