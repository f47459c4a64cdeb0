// A browser with real tabs. Playwright keeps every page visible, as if it were in front; here a page behind another one is hidden, and Chromium slows
// down its timers and its painting as it does for people.

import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { flags } from "./browser.mjs";

/** Starts a browser, and opens pages in it. */
export class Tabs {
  #folder = mkdtempSync(path.join(tmpdir(), "tabs-"));
  #waiting = new Map();
  #last = 0;
  #process;

  /** own: the browser picks what is shared as args say, and shares a real tab. Otherwise, a screen is Chromium's own picture and sound. */
  constructor(args = [], { own = false } = {}) {
    this.#process = spawn(process.env.CHROMIUM ?? "/usr/bin/chromium", [
      ...flags.filter((flag) => !own || flag !== "--use-fake-ui-for-media-stream"), "--use-fake-device-for-media-stream=device-count=2,fps=30", "--remote-debugging-pipe", "--no-startup-window", `--user-data-dir=${this.#folder}`, "--window-size=1280,860", ...args,
    ], { stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"] });
    let rest = "";
    this.#process.stdio[4].setEncoding("utf8").on("data", (text) => {
      const messages = (rest + text).split("\0");
      rest = messages.pop();
      for (const { error, id, result } of messages.map((message) => JSON.parse(message))) {
        const answer = this.#waiting.get(id);
        this.#waiting.delete(id);
        error ? answer?.reject(new Error(error.message)) : answer?.resolve(result);
      }
    });
  }

  /** Sends a command of the DevTools protocol. */
  send(method, params = {}, sessionId = undefined) {
    return new Promise((resolve, reject) => {
      this.#waiting.set(++this.#last, { resolve, reject });
      this.#process.stdio[3].write(`${JSON.stringify({ id: this.#last, method, params, sessionId })}\0`);
    });
  }

  /** Opens a page in front of the others. script runs before those of the page. */
  async open(address, script = "") {
    const { targetId } = await this.send("Target.createTarget", { url: "about:blank" });
    const { sessionId } = await this.send("Target.attachToTarget", { targetId, flatten: true });
    await this.send("Page.enable", {}, sessionId);
    await this.send("Page.addScriptToEvaluateOnNewDocument", { source: script }, sessionId);
    await this.send("Page.navigate", { url: address }, sessionId);
    const tab = {
      close: () => this.send("Target.closeTarget", { targetId }),
      front: () => this.send("Target.activateTarget", { targetId }),
      /** The value of an expression, as if the user had just done something. */
      evaluate: async (expression) => {
        const { exceptionDetails, result } = await this.send("Runtime.evaluate", { expression, awaitPromise: true, returnByValue: true, userGesture: true }, sessionId);
        if (exceptionDetails) {
          throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
        }
        return result.value;
      },
      /** Waits until an expression is true. */
      until: async (expression) => {
        while (!(await tab.evaluate(expression).catch(() => false))) { // a page that is being loaded answers with an error
          await new Promise((resolve) => setTimeout(resolve, 50));
        }
      },
      /** Gives a file to a field. */
      give: async (id, file) => {
        const { root } = await this.send("DOM.getDocument", {}, sessionId);
        const { nodeId } = await this.send("DOM.querySelector", { nodeId: root.nodeId, selector: `#${id}` }, sessionId);
        await this.send("DOM.setFileInputFiles", { nodeId, files: [file] }, sessionId);
      },
    };
    return tab;
  }

  /** Lets pages of this origin open cameras and microphones, as if the user had been asked. */
  async permit(origin) {
    await this.send("Browser.grantPermissions", { origin, permissions: ["audioCapture", "videoCapture"] });
  }

  async close() {
    const ended = new Promise((resolve) => this.#process.once("exit", resolve));
    await this.send("Browser.close");
    await ended;
    rmSync(this.#folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  }
}
