// Debian's Firefox with a fake camera and microphone, driven by its Marionette protocol, which needs no package: each message is the
// number of its bytes, a colon and JSON.

import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";

const preferences = {
  "marionette.port": 0, // any that is free
  "media.navigator.streams.fake": true,
  "media.navigator.permission.disabled": true,
  "media.autoplay.default": 0,
  "media.autoplay.blocking_policy": 0,
  "media.peerconnection.ice.obfuscate_host_addresses": false,
  "media.peerconnection.ice.loopback": true,
  "media.gmp-manager.updateEnabled": false, // nothing is fetched
  "app.update.enabled": false,
  "app.normandy.enabled": false,
  "browser.shell.checkDefaultBrowser": false,
  "browser.startup.homepage_override.mstone": "ignore",
  "datareporting.policy.dataSubmissionEnabled": false,
  "extensions.systemAddon.update.enabled": false,
  "network.captive-portal-service.enabled": false,
  "network.connectivity-service.enabled": false,
  "services.settings.server": "data:,",
  "toolkit.telemetry.server": "data:,",
};

/** Starts a browser with one window. */
export async function launchFirefox() {
  const profile = await mkdtemp(path.join(tmpdir(), "firefox-"));
  const lines = Object.entries(preferences).map(([name, value]) => `user_pref("${name}", ${JSON.stringify(value)});\n`);
  await writeFile(path.join(profile, "user.js"), lines.join(""));
  const process_ = spawn(process.env.FIREFOX ?? "/usr/bin/firefox-esr", ["--headless", "--marionette", "--no-remote", "--profile", profile],
    { stdio: "ignore", env: { ...process.env, MOZ_CRASHREPORTER_DISABLE: "1" } });
  const exited = new Promise((resolve) => process_.once("exit", resolve).once("error", resolve));
  process.once("exit", () => process_.kill("SIGKILL"));
  const port = await activePort(profile, exited);
  const browser = new Firefox(await connected(port), process_, exited, profile);
  await browser.greeted;
  await browser.send("WebDriver:NewSession", { capabilities: { alwaysMatch: { timeouts: { script: 120_000 } } } });
  return browser;
}

/** The port that Firefox chose, which it writes into its profile. */
async function activePort(profile, exited) {
  let ended = false;
  void exited.then(() => (ended = true));
  for (;;) {
    const port = Number(await readFile(path.join(profile, "MarionetteActivePort"), "utf8").catch(() => ""));
    if (port > 0) {
      return port;
    }
    if (ended) {
      throw new Error("Firefox ended before it could be driven");
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

function connected(port) {
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1", () => resolve(socket)).once("error", reject);
  });
}

class Firefox {
  asked = new Map();
  lastId = 0;
  buffer = Buffer.alloc(0);

  constructor(socket, process_, exited, profile) {
    Object.assign(this, { socket, process: process_, exited, profile });
    this.greeted = new Promise((resolve) => (this.greet = resolve));
    socket.on("data", (data) => this.receive(data));
    socket.on("close", () => this.asked.forEach(({ reject }) => reject(new Error("Firefox is gone"))));
  }

  receive(data) {
    this.buffer = Buffer.concat([this.buffer, data]);
    for (;;) {
      const colon = this.buffer.indexOf(":");
      const length = Number(this.buffer.subarray(0, Math.max(colon, 0)));
      if (colon < 0 || this.buffer.length < colon + 1 + length) {
        return;
      }
      const message = JSON.parse(this.buffer.subarray(colon + 1, colon + 1 + length));
      this.buffer = this.buffer.subarray(colon + 1 + length);
      if (!Array.isArray(message)) { // its version, once
        this.greet();
        continue;
      }
      const [, id, error, result] = message;
      const { resolve, reject } = this.asked.get(id);
      this.asked.delete(id);
      error ? reject(new Error(`${error.error}: ${error.message}`)) : resolve(result);
    }
  }

  send(command, parameters = {}) {
    const id = ++this.lastId;
    const text = JSON.stringify([0, id, command, parameters]);
    return new Promise((resolve, reject) => {
      this.asked.set(id, { resolve, reject });
      this.socket.write(`${Buffer.byteLength(text)}:${text}`);
    });
  }

  goto(url) {
    return this.send("WebDriver:Navigate", { url });
  }

  /** Runs a function in the page, as playwright's evaluate does, and returns what it resolves to. */
  async evaluate(run, argument) {
    const script = `const done = arguments[1];
      Promise.resolve((${run})(arguments[0])).then((value) => done({ value }), (error) => done({ error: String(error) }));`;
    const { value } = await this.send("WebDriver:ExecuteAsyncScript", { script, args: [argument ?? null], sandbox: null });
    if (value.error) {
      throw new Error(value.error);
    }
    return value.value;
  }

  async click(selector) {
    const { value } = await this.send("WebDriver:FindElement", { using: "css selector", value: selector });
    await this.send("WebDriver:ElementClick", { id: Object.values(value)[0] });
  }

  /** Types into a field, whatever was in it. */
  async fill(selector, text) {
    const { value } = await this.send("WebDriver:FindElement", { using: "css selector", value: selector });
    const id = Object.values(value)[0];
    await this.send("WebDriver:ElementClear", { id });
    await this.send("WebDriver:ElementSendKeys", { id, text });
  }

  /** Polls a function in the page until it returns something true, and returns that. */
  async until(run, argument) {
    for (;;) {
      const value = await this.evaluate(run, argument);
      if (value) {
        return value;
      }
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }

  async close() {
    await this.send("Marionette:Quit", { flags: ["eForceQuit"] }).catch(() => undefined); // it may be quicker than its answer
    await this.exited;
    await rm(this.profile, { recursive: true, force: true });
  }
}
