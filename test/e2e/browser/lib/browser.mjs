// Debian's Chromium with a fake camera that flashes and a fake microphone that beeps, in step.

import { chromium } from "playwright-core";

export const flags = [
  "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync",
  "--use-fake-ui-for-media-stream", "--autoplay-policy=no-user-gesture-required",
  // Addresses in candidates as they are: no multicast DNS on test machines.
  "--disable-features=WebRtcHideLocalIpsWithMdns",
];

/** Starts a browser; devices is how many fake cameras there are. */
export function launch({ devices = 1, args = [] } = {}) {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: [...flags, `--use-fake-device-for-media-stream=device-count=${devices}`, ...args],
    timeout: 30_000,
  });
}

/** Collects what a page complains of. */
export function watchConsole(page) {
  const errors = [];
  page.on("console", (entry) => entry.type() === "error" && errors.push(`${entry.text()} (${entry.location().url})`));
  page.on("pageerror", (error) => errors.push(String(error)));
  return errors;
}

/** Runs in a page, before its scripts: globalThis.microphone is the sound of the microphone that was opened last. */
export function rememberMicrophone() {
  const { mediaDevices } = navigator;
  const getUserMedia = mediaDevices?.getUserMedia.bind(mediaDevices);
  if (getUserMedia) {
    mediaDevices.getUserMedia = async (constraints) => {
      const stream = await getUserMedia(constraints);
      globalThis.microphone = stream.getAudioTracks()[0] ?? globalThis.microphone;
      return stream;
    };
  }
}

/**
 * Runs in a page, before its scripts. globalThis.unplug(track) takes the device of an open track away from the page; with moved, the system gives the sound of
 * another one under its name, as PulseAudio does. globalThis.plugIn() gives back what was taken.
 */
export function letDevicesGo() {
  const { mediaDevices } = navigator;
  const list = mediaDevices?.enumerateDevices.bind(mediaDevices);
  const gone = new Set();
  const tell = () => mediaDevices.dispatchEvent(new Event("devicechange"));
  if (list) {
    mediaDevices.enumerateDevices = async () => (await list()).filter(({ deviceId }) => !gone.has(deviceId));
  }
  globalThis.unplug = (track, moved = false) => {
    gone.add(track.getSettings().deviceId);
    if (!moved) {
      track.stop();
      track.dispatchEvent(new Event("ended"));
    }
    tell();
  };
  globalThis.plugIn = () => {
    gone.clear();
    tell();
  };
}

/** Ends the process of the browser that reads the cameras ("video_capture.") or does all sound ("audio."), as a faulty driver makes it end. There is a new one when one is needed. */
export async function crash(browser, kind) {
  const cdp = await browser.newBrowserCDPSession();
  const { processInfo } = await cdp.send("SystemInfo.getProcessInfo");
  await cdp.detach();
  const found = processInfo.filter(({ type }) => type.startsWith(kind));
  if (found.length !== 1) {
    throw new Error(`${found.length} processes of ${processInfo.map(({ type }) => type)}`);
  }
  process.kill(found[0].id, "SIGKILL");
}

/** Presses Tab until the element is reached, as people without a mouse do. */
export async function tabTo(page, id, limit = 40) {
  for (let i = 0; i < limit; i++) {
    await page.keyboard.press("Tab");
    if (await page.evaluate((wanted) => document.activeElement?.id === wanted, id)) {
      return;
    }
  }
  throw new Error(`#${id} is not reached by ${limit} presses of Tab`);
}
