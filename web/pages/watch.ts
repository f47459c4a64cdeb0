// Plays one stream for viewers: /watch/NAME, as a page or in a frame of another page. A token may stand behind # in the address, which browsers
// send to nobody. Who may play decides the server.

import { element, setText } from "./dom.ts";
import type { Failure } from "./failure.ts";
import { t } from "./language.ts";
import { Playback } from "./playback.ts";
import { askPass } from "./pass.ts";
import { Rest } from "./rest.ts";
import { may, Sessions } from "./session.ts";
import { snapshot } from "./snapshot.ts";
import { Watcher, type Sight } from "./watcher.ts";
import { sightWords } from "./words.ts";

/** How long a token of somebody who has signed in begins sessions. */
const passS = 12 * 3600;

const name = nameIn(location.pathname);
const link = new URLSearchParams(location.hash.slice(1)).get("token") ?? "";
const rest = new Rest();
const sessions = new Sessions(rest, () => watcher.wake());
const video = element("video", HTMLVideoElement);
let pass = link;
let asked = false; // the server has given a token that it has not taken yet
let poster = new AbortController(); // is aborted when its picture is no longer wanted

const watcher = new Watcher((options, signal) => Playback.open(options, signal), name, async () => pass, {
  sight: (sight, failure) => void show(sight, failure),
  accepted: () => void showPoster(),
  playback: (playback) => {
    if (playback) {
      video.srcObject = playback.stream;
      void video.play().catch(() => undefined); // without sound, browsers play at once
    } else {
      removePoster();
    }
    asked &&= playback === null;
    video.controls = playback !== null;
    showSound();
  },
});

/** The name of the stream in the address; "" if there is none. */
function nameIn(path: string): string {
  try {
    return decodeURIComponent(/^\/watch\/(.+)$/.exec(path)?.[1] ?? "");
  } catch {
    return "";
  }
}

async function show(sight: Sight, failure: Failure | null): Promise<void> {
  if (sight === "unauthorized" && await signedIn()) {
    watcher.wake();
    return;
  }
  const words = sightWords(sight, link !== "");
  setText(element("title", HTMLElement), words.title);
  setText(element("advice", HTMLElement), words.advice);
  setText(element("detail", HTMLElement), sight === "failed" ? (failure?.detail ?? "") : "");
  element("cover", HTMLElement).hidden = sight === "playing" || sight === "interrupted";
  element("login", HTMLElement).hidden = sight !== "unauthorized" && sight !== "forbidden";
  element("again", HTMLElement).hidden = sight !== "unauthorized" && sight !== "forbidden" && sight !== "failed";
  document.title = `${sight === "playing" ? "● " : ""}${name} – Transponder`;
  document.body.dataset["sight"] = sight;
}

/** Shows the stream as it looks until it plays: until it has come, or, where a browser plays nothing by itself, until the viewer wants it. */
async function showPoster(): Promise<void> {
  removePoster();
  const { signal } = poster = new AbortController();
  const viewer = new Rest();
  viewer.token = pass;
  try {
    const picture = await snapshot(viewer, name, signal);
    signal.throwIfAborted();
    video.poster = picture;
  } catch {
    // it has gone, has no picture, or the server makes none
  }
}

function removePoster(): void {
  poster.abort();
  video.removeAttribute("poster");
}

/** Gets a token that may play the stream, if somebody has signed in who may give one. WHEP takes no cookies. */
async function signedIn(): Promise<boolean> {
  if (asked) {
    return false; // the server refuses what it has given
  }
  try {
    if (may(await sessions.who(), "control")) {
      pass = await askPass(rest, name, passS);
      asked = true;
    }
  } catch {
    // nobody has signed in
  }
  return asked;
}

function showSound(): void {
  const stream = video.srcObject instanceof MediaStream ? video.srcObject : null;
  element("sound", HTMLElement).hidden = !video.controls || !video.muted || (stream?.getAudioTracks().length ?? 0) === 0;
}

element("sound", HTMLButtonElement).addEventListener("click", () => {
  video.muted = false;
  void video.play().catch(() => undefined);
  video.focus();
});
video.addEventListener("volumechange", showSound);
element("again", HTMLButtonElement).addEventListener("click", () => {
  pass = link;
  asked = false;
  watcher.wake();
});

if (name === "") {
  setText(element("title", HTMLElement), t("This link names no stream."));
  setText(element("advice", HTMLElement), t("It must end with the name of the stream, as in /watch/NAME."));
} else {
  setText(element("name", HTMLElement), t("Watch {name}", { name }));
  setText(element("poster", HTMLElement), name);
  element("login", HTMLAnchorElement).href = `/login?next=${encodeURIComponent(location.pathname)}`;
  const left = new AbortController();
  window.addEventListener("pagehide", () => left.abort());
  window.addEventListener("pageshow", ({ persisted }) => persisted && location.reload());
  window.addEventListener("online", () => watcher.wake());
  void show("connecting", null);
  void watcher.run(left.signal);
}
