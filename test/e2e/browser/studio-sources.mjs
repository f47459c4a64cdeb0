// Changes the sources of a show that is live from the studio, in a browser whose pages can be hidden behind others.
//
//   node studio-sources.mjs http://localhost:8081/ --name N --rtmp URL [--flash] [--camera FILE --microphone FILE --tab "COLOUR HZ"] [--seconds 60]
//
// Goes live and says {"event":"live"}. With --flash, the camera flashes and the microphone beeps, both once a second, and a screen
// has no sound. With --tab, camera and microphone play these files (Y4M and WAV), and what is shared is a real tab with a colour and a tone. One is
// shared before the page goes live. Otherwise, all are Chromium's own. Each line on standard input is a command, after which it says {"event":"done"} with what the page shows:
//
//   screen on, screen off   shares a screen, or ends that
//   arrange PLACE           camera and screen stand as in corner, beside, screen or camera
//   camera N                picks the Nth camera of the list
//   quality NAME            picks a quality
//   film FILE               plays a file, without the microphone
//   ended                   waits until the file has ended
//   loop                    plays the file again and again
//   tab COLOUR HZ           opens another tab that can be shared
//   tab front               that tab is in front of this page
//   tab close               closes that tab, and waits until the page says that it is not shared any more
//   hide, front             another page hides this one, or it is in front again
//
// When standard input closes, it presses Stop and says {"event":"stopped"}.

import { rememberMicrophone } from "./lib/browser.mjs";
import { flashAndBeep } from "./lib/flash.mjs";
import { commands, main, readArguments, say, step } from "./lib/script.mjs";
import { Tabs } from "./lib/tabs.mjs";

const options = readArguments(["name", "rtmp", "seconds", "camera", "microphone", "tab"], ["flash"]);
const title = "A tab to share";
let tabs, page, other, shared;

/** Counts the connections that the page makes. */
function count() {
  globalThis.connections = 0;
  const { fetch } = globalThis;
  globalThis.fetch = (address, init, ...rest) => {
    globalThis.connections += init?.method === "POST" && String(address).includes("/whip/") ? 1 : 0;
    return fetch(address, init, ...rest);
  };
}

/** Chromium's own screen sounds all the time: between its sounds, nobody could find the beeps. */
function silence() {
  const { getDisplayMedia } = navigator.mediaDevices;
  navigator.mediaDevices.getDisplayMedia = (wishes) => getDisplayMedia.call(navigator.mediaDevices, { ...wishes, audio: false });
}

/** The page of a tab that is shared. It never changes, as many that people share. */
async function soundAndColour(name, colour, hz) {
  document.title = name;
  document.documentElement.style.background = colour;
  const audio = new AudioContext();
  const tone = new OscillatorNode(audio, { frequency: hz });
  tone.connect(new GainNode(audio, { gain: 0.3 })).connect(audio.destination);
  tone.start();
  await audio.resume();
}

const find = (id) => `document.getElementById(${JSON.stringify(id)})`;
const click = (id) => page.evaluate(`${find(id)}.click()`);
const shown = (id) => page.until(`${find(id)} && !${find(id)}.hidden && ${find(id)}.getClientRects().length > 0`);
const fill = (id, value, event = "change") => page.evaluate(`{ const field = ${find(id)}; field.value = ${JSON.stringify(value)};
  field.dispatchEvent(new Event("${event}", { bubbles: true })); }`);
const displayed = async () => ({ displayed: await page.evaluate(`(() => {
  const text = (id) => document.getElementById(id).textContent.trim();
  return { state: text("state"), failure: text("failure"), problem: text("source-problem") + text("film-problem"), note: text("source-note"), picture: text("picture"),
    visibility: document.visibilityState, connections: String(globalThis.connections) };
})()`) });

const tasks = {
  async screen(wanted) {
    await click("screen");
    await page.until(`${find("screen")}.textContent === ${JSON.stringify(wanted === "on" ? "Stop sharing" : "Share screen")}`);
  },
  async arrange(place) {
    await click(`arrange-${place}`);
  },
  async camera(n) {
    const list = find("camera");
    const value = await page.evaluate(`${list}.options[${n - 1}].value`);
    await fill("camera", value);
  },
  async quality(name) {
    await fill("quality", name);
  },
  async film(file) {
    await page.evaluate(`${find("film")}.open = true`);
    await shown("film-pick");
    await page.give("film-file", file);
    await shown("film-play");
    await page.evaluate(`${find("film-microphone")}.checked && ${find("film-microphone")}.click()`);
    await click("film-play");
    await page.until(`!${find("film-video")}.paused`);
  },
  async ended() {
    await page.until(`/has ended/.test(${find("source-note")}.textContent)`);
  },
  async loop() {
    await click("film-loop");
  },
  async tab(what, hz) {
    if (what === "front") {
      await shared.front();
      await page.until("document.hidden");
    } else if (what === "close") {
      await shared.close();
      await page.until(`/not shared any more/.test(${find("source-note")}.textContent)`);
    } else {
      shared = await tabs.open("about:blank");
      await shared.evaluate(`(${soundAndColour})(${JSON.stringify(title)}, ${JSON.stringify(what)}, ${hz})`);
      await tasks.front();
    }
  },
  async hide() {
    other ??= await tabs.open("about:blank");
    await other.front();
    await page.until("document.hidden");
  },
  async front() {
    await page.front();
    await page.until("!document.hidden");
  },
};

await main(async () => {
  const input = commands(Number(options.seconds ?? 60));
  tabs = options.tab ? new Tabs([
    `--use-file-for-fake-video-capture=${options.camera}`, `--use-file-for-fake-audio-capture=${options.microphone}`, `--auto-select-tab-capture-source-by-title=${title}`,
  ], { own: true }) : new Tabs();
  await step("open the page", 40, async () => {
    if (options.tab) {
      await tabs.permit(new URL(options.address).origin);
    }
    page = await tabs.open(options.address, `(${count})();(${rememberMicrophone})();${options.flash ? `(${flashAndBeep})();(${silence})();` : ""}`);
    await page.until(`${find("video")}?.videoWidth > 0`);
  });
  if (options.tab) {
    await step("leave the sound of the microphone as it is", 20, async () => {
      for (const id of ["noise", "echo", "gain"]) {
        await click(id);
      }
      await page.until(`(({ autoGainControl, echoCancellation, noiseSuppression }) => !autoGainControl && !echoCancellation && !noiseSuppression)(microphone.getSettings())`);
    });
    await step("share a tab", 40, async () => {
      await tasks.tab(...options.tab.split(" "));
      await tasks.screen("on");
    });
  }
  await step("go live", 40, async () => {
    await fill("name", options.name, "input");
    await fill("address-1", options.rtmp, "input");
    await click("go");
    await page.until(`/^Live on/.test(${find("state")}.textContent)`);
  });
  say("live", await displayed());
  for await (const line of input) {
    const [task, ...rest] = line.split(" ");
    await step(line, 60, () => tasks[task](...rest));
    say("done", await displayed());
  }
  await step("stop", 20, async () => {
    await click("go");
    await page.until(`["idle", "failed"].includes(${find("status")}.dataset.phase)`);
  });
  say("stopped", await displayed());
  await step("close the browser", 20, () => tabs.close());
}, displayed);
