// Publishes the camera, and shows each state of the session and of the stream. The SDK opens a lost connection again, and restores the stream.

import { Flashphoner, type SdkError, SESSION_STATUS, type Stream, STREAM_STATUS } from "/sdk/transponder.js";

const element = <T extends HTMLElement = HTMLElement>(id: string): T => document.getElementById(id) as T;
const name = element<HTMLInputElement>("name");
let stream: Stream | null = null;

function show(phase: string, sentence: string): void {
  element("state").dataset["phase"] = phase;
  element("state").lastElementChild!.textContent = sentence;
  element("go").textContent = stream ? "Stop" : "Publish";
  element("go").classList.toggle("stop", stream !== null);
  name.disabled = stream !== null;
}

function note(words: string): void {
  const line = document.createElement("li");
  line.textContent = `${new Date().toLocaleTimeString()} ${words}`;
  element("events").prepend(line);
}

async function send(): Promise<void> {
  // It tries for ever: after half a second, after a second, and so on up to five seconds; at once when the browser is online again.
  const reconnect = { attempts: Infinity, firstPauseMs: 500, factor: 2, maxPauseMs: 5000 };
  const session = Flashphoner.createSession({ urlServer: `${location.origin.replace("http", "ws")}/ws`, reconnect });
  session.on(SESSION_STATUS.ESTABLISHED, () => note("Session: established."));
  session.on(SESSION_STATUS.RECONNECTING, () => note(`Session: reconnecting. ${session.error?.message}`));
  session.on(SESSION_STATUS.DISCONNECTED, () => note("Session: ended."));
  try {
    await session.connected;
    stream = session.createStream({ name: name.value, display: element("preview"), constraints: { audio: true, video: { width: 1280, height: 720 } } });
    stream.on(STREAM_STATUS.PUBLISHING, () => {
      note("Stream: live.");
      show("live", "Live.");
    }).on(STREAM_STATUS.RESTORING, ({ error }) => {
      note(`Stream: restoring. ${error?.message}`);
      show("opening", "The connection is lost. Trying again.");
    });
    show("opening", "Opening camera and microphone.");
    await stream.publish();
    const { error } = await stream.ended;
    stream = null;
    error ? show("failed", error.message) : show("idle", "Stopped.");
  } catch (error) {
    stream = null;
    show("failed", (error as SdkError).message); // the first connection is not tried again
  } finally {
    await session.disconnect();
  }
}

element("go").addEventListener("click", () => void (stream ? stream.stop() : name.reportValidity() && send()));
name.value = new URLSearchParams(location.search).get("name") ?? Math.random().toString(16).slice(2, 6);
