// A page that uses the SDK, in a real browser, with a server whose answers each test decides.

import { watchConsole } from "./browser.mjs";
import { MockServer } from "./mock-server.mjs";
import { MockSocket } from "./mock-socket.mjs";

/** Makes an empty page of a new mock server. setUp prepares the socket and the server, and options are those of the browser's context. */
export async function newSDKPage(t, browser, { setUp = () => undefined, ...options } = {}) {
  const mock = await MockServer.start(browser);
  const context = await browser.newContext({ permissions: ["camera", "microphone"], ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
  const errors = watchConsole(page);
  const socket = await MockSocket.install(page, mock);
  setUp(socket, mock);
  t.after(async () => {
    await context.close();
    await mock.close().catch(() => undefined);
  });
  return { mock, page, errors, socket };
}

/**
 * Lets the browser play no sound before a click, as browsers of people do. The browser's own rule does not hold in tests: it takes each script of
 * a test for a click.
 */
export function needClickForSound(page) {
  return page.addInitScript(() => {
    const { play } = HTMLMediaElement.prototype;
    HTMLMediaElement.prototype.play = function () {
      return this.muted || globalThis.clicked ? play.call(this) : Promise.reject(new DOMException("the user did not interact", "NotAllowedError"));
    };
    addEventListener("click", () => globalThis.clicked = true, true);
  });
}

/** Paints a screen, since a headless browser has none. The page is refused it while `refuses` is set; without its sound while `silent` is set. */
export function paintScreen(page) {
  return page.evaluate(() => {
    navigator.mediaDevices.getDisplayMedia = async (wanted) => {
      if (globalThis.refuses) {
        throw new DOMException("Permission denied", "NotAllowedError");
      }
      globalThis.asked = wanted;
      const canvas = Object.assign(document.createElement("canvas"), { width: 320, height: 200 });
      canvas.getContext("2d").fillRect(0, 0, 320, 200);
      const sound = globalThis.silent ? [] : new AudioContext().createMediaStreamDestination().stream.getTracks();
      return globalThis.display = new MediaStream([...canvas.captureStream(5).getTracks(), ...sound]);
    };
  });
}
