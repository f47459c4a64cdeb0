// Calls with the official Web SDK's example pages, exactly as they come in the npm package, by their buttons.
//
//   node vendor-calls.mjs ws://localhost:8080 --domain localhost [--port 5060] [--sdk FILE] [--screenshots FOLDER]
//
// Without --port the pages call each other, for which the server needs enable_local_videochat. With it there is a SIP server at that port of
// the domain, at which bob answers every call with sound and pictures. --sdk has the pages load that script in place of the package's.
//
// Says {"event":"passed","page":NAME,"seconds":N} for each page that does what it is for, and {"event":"done"} at the end. With --port, it says
// {"event":"call"}, and waits until bob calls 3000; {"event":"transferred"}, and waits until bob hangs up; then {"event":"over"}.

import path from "node:path";
import { launch, watchConsole } from "./lib/browser.mjs";
import { servePackage } from "./lib/package-server.mjs";
import { main, readArguments, say, step } from "./lib/script.mjs";

const options = readArguments(["domain", "port", "sdk", "screenshots", "seconds"]);
let browser, base;

/** Has the page keep its connections, so that a test can ask what they receive. */
function keepConnections() {
  const { RTCPeerConnection } = globalThis;
  const all = globalThis.connections = [];
  globalThis.RTCPeerConnection = class extends RTCPeerConnection {
    constructor(...args) {
      super(...args);
      all.push(this);
    }
  };
}

/** In a page: how loud all that was heard in its last connection was, and how many pictures came. */
async function received() {
  const sum = { energy: 0, frames: 0 };
  for (const report of (await globalThis.connections.at(-1)?.getStats() ?? new Map()).values()) {
    if (report.type === "inbound-rtp") {
      sum.energy += report.totalAudioEnergy ?? 0;
      sum.frames += report.framesDecoded ?? 0;
    }
  }
  return sum;
}

/** An example page, and what a person does with it. */
class Phone {
  constructor(page, name) {
    Object.assign(this, { page, name, errors: watchConsole(page) });
  }

  static async open(name) {
    const page = await browser.newPage({ viewport: { width: 1280, height: 1000 } });
    page.setDefaultTimeout(0); // steps have their limits
    await page.addInitScript(keepConnections);
    if (options.sdk) {
      await page.route("**/flashphoner.js", (route) => route.fulfill({ path: options.sdk }));
    }
    const phone = new Phone(page, name);
    await page.goto(`${base}/examples/demo/sip/${name}/${name}.html`);
    await page.waitForFunction(() => document.querySelector("#urlServer")?.value && document.querySelector("#callBtn"));
    return phone;
  }

  fill(id, value) {
    return this.page.locator(id).fill(value);
  }

  press(id) {
    return this.page.locator(id).click();
  }

  async fillAccount(login) {
    const { domain } = options;
    const account = {
      "#urlServer": options.address, "#sipLogin": login, "#sipAuthenticationName": login, "#sipPassword": "1234", "#sipDomain": domain,
      "#sipOutboundProxy": domain, "#sipPort": options.port ?? "5060",
    };
    for (const [id, value] of Object.entries(account)) {
      await this.fill(id, value);
    }
  }

  /** Waits until an element shows the words. */
  async shows(id, wanted) {
    await this.until(`${id} shows ${wanted}`, ([selector, words]) => document.querySelector(selector).textContent.trim() === words, [id, wanted]);
  }

  /** Waits until a function in the page returns true; what goes wrong names the page, and what it shows. */
  async until(what, check, args) {
    await this.page.waitForFunction(check, args, { timeout: 12_000 }).catch(async (error) => {
      const shown = await this.page.evaluate(() => [...document.querySelectorAll("#regStatus, #callStatus, #status")].map((e) => e.textContent).join(" "));
      throw new Error(`${this.name}: not so: ${what}. It shows "${shown}"; console: ${this.errors.join("; ")}; ${error.message.split("\n")[0]}`);
    });
  }

  async connect(login) {
    await this.fillAccount(login);
    await this.press("#connectBtn");
    await this.shows("#regStatus", "REGISTERED");
  }

  async call(callee) {
    await this.fill("#callee", callee);
    await this.press("#callBtn");
  }

  async answer(caller) {
    await this.shows("#incomingCallAlert", `You have a new call from ${caller}`);
    await this.press("#answerBtn");
    await this.shows("#callStatus", "ESTABLISHED");
  }

  /** Waits until sound is heard that was not there before, and pictures are seen if wanted. */
  async receives({ pictures = false } = {}) {
    const before = await this.page.evaluate(received);
    for (let tries = 0; tries < 100; tries++) {
      const now = await this.page.evaluate(received);
      if (now.energy > before.energy + 1e-4 && (!pictures || now.frames > before.frames + 10)) {
        return;
      }
      await this.page.waitForTimeout(100);
    }
    throw new Error(`${this.name}: nothing is received: ${JSON.stringify(await this.page.evaluate(received))} after ${JSON.stringify(before)}`);
  }

  /** Waits until nothing is heard for a while; the fake microphone beeps once a second. */
  async isQuiet() {
    for (let tries = 0; tries < 5; tries++) {
      const before = await this.page.evaluate(received);
      await this.page.waitForTimeout(1500);
      if ((await this.page.evaluate(received)).energy < before.energy + 1e-4) {
        return;
      }
    }
    throw new Error(`${this.name}: there is sound while the call is on hold`);
  }

  async shoot(name) {
    if (options.screenshots) {
      await this.page.screenshot({ path: path.join(options.screenshots, `${name}.png`) });
    }
  }

  async close() {
    const own = this.errors.filter((error) => !/404 .*\/images\/|play\(\) request was interrupted/.test(error)); // the package lacks pictures that it names
    if (own.length > 0) {
      throw new Error(`${this.name}: the console: ${own.join("; ")}`);
    }
    await this.page.close();
  }
}

const tests = {
  /** Sound both ways, hold by the caller, the end by the callee; then a call that the caller gives up. */
  async phone(ann, bob) {
    const [caller, callee] = await Promise.all([Phone.open("phone"), Phone.open("phone")]);
    await Promise.all([caller.connect(ann), callee.connect(bob)]);
    await caller.call(bob);
    await caller.shows("#callStatus", "RING");
    await callee.answer(ann);
    await caller.shows("#callStatus", "ESTABLISHED");
    await Promise.all([caller.receives(), callee.receives()]);
    await caller.shoot("phone-caller");
    await callee.shoot("phone-callee");

    await caller.press("#holdBtn");
    await caller.shows("#holdBtn", "Unhold");
    await caller.until("the button to unhold can be pressed", () => !document.querySelector("#holdBtn").disabled);
    await Promise.all([caller.isQuiet(), callee.isQuiet()]);
    await caller.press("#holdBtn");
    await caller.until("the button to hold can be pressed", () => !document.querySelector("#holdBtn").disabled);
    await Promise.all([caller.receives(), callee.receives()]);

    await callee.press("#hangupBtn");
    await caller.shows("#callStatus", "FINISH");
    await callee.shows("#callStatus", "FINISH");

    await callee.call(ann);
    await caller.shows("#incomingCallAlert", `You have a new call from ${bob}`);
    await callee.shows("#callStatus", "RING");
    await callee.press("#callBtn"); // which hangs up now
    await caller.shows("#callStatus", "FINISH");
    await callee.shows("#callStatus", "FINISH");

    await caller.call("nobody");
    await caller.shows("#callStatus", "FAILED");
    await Promise.all([caller.close(), callee.close()]);
  },
  /** Pictures both ways. */
  async "phone-video"(ann, bob) {
    const [caller, callee] = await Promise.all([Phone.open("phone-video"), Phone.open("phone-video")]);
    await Promise.all([caller.connect(ann), callee.connect(bob)]);
    await caller.call(bob);
    await callee.answer(ann);
    await caller.shows("#callStatus", "ESTABLISHED");
    await Promise.all([caller.receives({ pictures: true }), callee.receives({ pictures: true })]);
    for (const [name, phone] of Object.entries({ caller, callee })) {
      await phone.until("the picture is seen", () => document.querySelector("#remoteVideo video")?.videoWidth === 320);
      await phone.shoot(`phone-video-${name}`);
    }
    await caller.press("#callBtn"); // which hangs up now
    await caller.shows("#callStatus", "FINISH");
    await callee.shows("#callStatus", "FINISH");
    await Promise.all([caller.close(), callee.close()]);
  },
  /** One button, which connects and calls. */
  async "click-to-call"(ann, bob) {
    const [caller, callee] = await Promise.all([Phone.open("click-to-call"), Phone.open("phone")]);
    await callee.connect(bob);
    await caller.press("#sipCredentialsBtn");
    await caller.fillAccount(ann);
    await caller.press("#okBtn");
    await caller.call(bob);
    await caller.shows("#status", "Call: RING");
    await callee.answer(ann);
    await caller.shows("#status", "Call: ESTABLISHED");
    await Promise.all([caller.receives(), callee.receives()]);
    await caller.shoot("click-to-call");
    await caller.press("#callBtn");
    await callee.shows("#callStatus", "FINISH");
    await Promise.all([caller.close(), callee.close()]);
  },
};

/** What the pages do with a SIP server. */
const sipTests = {
  /** Calls bob, sees and hears him, holds, and sends a digit. */
  async "phone-video"() {
    const phone = await Phone.open("phone-video");
    await phone.connect("3002");
    await phone.call("bob");
    await phone.shows("#callStatus", "ESTABLISHED");
    await phone.receives({ pictures: true });
    await phone.shoot("phone-video-sip");
    await phone.page.waitForTimeout(2000); // the microphone beeps once a second, and bob records until he is on hold
    await phone.press("#holdBtn");
    await phone.until("the button to unhold can be pressed", () => !document.querySelector("#holdBtn").disabled);
    await phone.press("#holdBtn");
    await phone.until("the button to hold can be pressed", () => !document.querySelector("#holdBtn").disabled);
    await phone.receives({ pictures: true });
    await phone.page.evaluate(() => globalThis.currentCall.sendDTMF("5")); // the page has no button for that
    await phone.page.waitForTimeout(500);
    await phone.press("#callBtn"); // which hangs up now
    await phone.shows("#callStatus", "FINISH");
    await phone.call("nobody");
    await phone.shows("#callStatus", "FAILED");
    await phone.close();
  },
  /** Is called by bob, and transfers him to another page; bob hangs up. */
  async phone() {
    const [phone, other] = await Promise.all([Phone.open("phone"), Phone.open("phone")]);
    await Promise.all([phone.connect("3000"), other.connect("3001")]);
    say("call");
    await phone.answer("bob");
    await phone.receives();
    await phone.page.evaluate((target) => globalThis.currentCall.transfer(target), `sip:3001@${options.domain}:${options.port}`); // the page has no button for that
    await other.answer("bob");
    await other.receives();
    await phone.shows("#callStatus", "FINISH");
    say("transferred");
    await other.shows("#callStatus", "FINISH");
    await Promise.all([phone.close(), other.close()]);
    say("over");
  },
};

await main(async () => {
  base = await step("serve the examples", 10, servePackage);
  browser = await step("start the browser", 40, launch);
  const visit = async ([name, run], i) => {
    const began = Date.now();
    await step(name, 90, () => run(`ann${i}`, `bob${i}`));
    say("passed", { page: name, seconds: (Date.now() - began) / 1000 });
  };
  if (options.port) { // bob takes one call at a time
    for (const test of Object.entries(sipTests)) {
      await visit(test);
    }
  } else {
    await Promise.all(Object.entries(tests).map(visit));
  }
  say("done");
  await step("close the browser", 20, () => browser.close());
});
