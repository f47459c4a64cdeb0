// Publishes the camera with a token. What stands behind # in an address is not sent to any server, so the token is in no log.

import { PublisherController } from "/sdk/transponder-controllers.js";

const element = <T extends HTMLElement = HTMLElement>(id: string): T => document.getElementById(id) as T;
const [name, preview] = [element<HTMLInputElement>("name"), element<HTMLVideoElement>("preview")];
const publisher = new PublisherController();

/** Takes the token from the link, and from the address of the page: who looks over a shoulder or reads the history does not find it. */
function takeToken(): string {
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  if (token) {
    sessionStorage.setItem("example-token", token); // for a reload of this tab
    history.replaceState(null, "", location.pathname + location.search);
  }
  return token ?? sessionStorage.getItem("example-token") ?? "";
}

const fromLink = takeToken();

/**
 * The SDK asks before each connection, and once more when the last token has expired. A page whose people sign in at a server of your own
 * asks that server instead: (await fetch("/my/token")).text(). Your server makes the token; see docs/tokens.md.
 */
const token = async (): Promise<string> => fromLink;

publisher.subscribe(({ error, status }) => {
  const running = status !== "idle" && status !== "failed";
  element("state").dataset["phase"] = status === "interrupted" ? "opening" : status;
  element("state").lastElementChild!.textContent = status === "idle" ? "Not published." : status === "live" ? "Live."
    : error ? `${error.message} ${error.info}` : "Opening camera and microphone."; // info: what the token lacks
  element("go").textContent = running ? "Stop" : "Publish";
  element("go").classList.toggle("stop", running);
  name.disabled = running;
});

element("go").addEventListener("click", () => {
  if (["idle", "failed"].includes(publisher.state.status)) {
    preview.muted = true;
    name.reportValidity() && publisher.start({ name: name.value, display: preview, ...(fromLink && { token }) });
  } else {
    void publisher.stop();
  }
});

function explain(): void {
  element("command").textContent = `transponder token create --publish '${name.value}' --for 1h`;
  element("link").textContent = `${location.origin}${location.pathname}?name=${encodeURIComponent(name.value)}#token=TOKEN`;
}

name.addEventListener("input", explain);
name.value = new URLSearchParams(location.search).get("name") ?? Math.random().toString(16).slice(2, 6);
element("whose").textContent = fromLink ? "This page has a token from a link." : element("whose").textContent;
explain();
