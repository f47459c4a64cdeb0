// The official Web SDK's example pages that have the server call a phone over REST, exactly as they come in the npm package, by their
// buttons.
//
//   node vendor-sip.mjs http://localhost:8081/rest-api --phone 127.0.0.1:5070 --rtmp rtmp://localhost:1935/live
//
// Says {"event":"calling"} before each call, which the phone is to answer, and {"event":"live"} when its stream should be at the RTMP server as
// rtmp_phone0, then rtmp_phone1 and rtmp_phone2. It says {"event":"dialled"} when the first page has sent digits, and {"event":"injected"}
// when the last one plays the stream "music" to the phone. After these three it waits for a line on standard input before it goes on. Says
// {"event":"done"} at the end.

import { launch, watchConsole } from "./lib/browser.mjs";
import { servePackage } from "./lib/package-server.mjs";
import { commands, main, readArguments, say, step } from "./lib/script.mjs";

const options = readArguments(["phone", "rtmp", "seconds"]);
const [host, port] = options.phone.split(":");
const goOn = commands(Number(options.seconds ?? 120));
let browser, base;

/** An example page, and what a person does with it. */
class Dialler {
  constructor(page, name) {
    Object.assign(this, { page, name, errors: watchConsole(page) });
  }

  static async open(name) {
    const page = await browser.newPage({ viewport: { width: 1280, height: 1000 } });
    page.setDefaultTimeout(0); // steps have their limits
    const dialler = new Dialler(page, name);
    await page.goto(`${base}/examples/demo/sip/${name}/${name}.html`);
    await page.waitForFunction(() => document.querySelector("#restUrl").value !== "");
    return dialler;
  }

  press(id) {
    return this.page.locator(id).click();
  }

  /** Waits until an element shows the words. The page asks the server every three seconds. */
  async shows(id, wanted, seconds = 10) {
    await this.page.waitForFunction(([selector, words]) => document.querySelector(selector).textContent.trim() === words, [id, wanted],
      { timeout: seconds * 1000 }).catch(async () => {
      throw new Error(`${this.name}: ${id} shows "${await this.page.locator(id).textContent()}", want "${wanted}"; console: ${this.errors.join("; ")}`);
    });
  }

  async call(stream) {
    const fields = {
      restUrl: options.address, sipLogin: "1000", sipAuthenticationName: "1000", sipPassword: "1234", sipDomain: host, sipOutboundProxy: host,
      sipPort: port, callee: stream, rtmpUrl: options.rtmp, rtmpStream: stream,
    };
    for (const [id, value] of Object.entries(fields)) {
      await this.page.locator(`#${id}`).fill(value);
    }
    await this.press("#hasAudio");
    await this.press("#hasVideo");
    say("calling");
    await this.press("#callBtn");
    await this.shows("#callStatus", "ESTABLISHED");
  }

  /** Has the test look at what arrives. */
  async pause(event) {
    say(event);
    await goOn.next();
  }

  async hangUp() {
    await this.shows("#callBtn", "Hangup");
    await this.press("#callBtn");
  }

  /** Waits until the page no longer finds the call. */
  async ends() {
    await this.shows("#callStatus", "FINISHED", 15);
    await this.shows("#callBtn", "Call");
    const own = this.errors.filter((error) => !/404 .*\/(call|push)\/find/.test(error)); // by which the page learns that the call is over
    if (own.length > 0) {
      throw new Error(`${this.name}: the console: ${own.join("; ")}`);
    }
    await this.page.close();
  }
}

const tests = {
  /** A call, then a push of its stream, with the sound off and on again; digits. */
  async "sip-as-rtmp-2"(stream) {
    const page = await Dialler.open("sip-as-rtmp-2");
    await page.call(stream);
    await page.press("#startRtmp");
    await page.shows("#startRtmp", "Stop");
    await page.pause("live");
    for (const checked of [true, false]) {
      await page.press(".switch:has(#mute)");
      await page.page.waitForFunction((wanted) => {
        const box = document.querySelector("#mute");
        return box.checked === wanted && !box.disabled;
      }, checked);
    }
    await page.page.locator("#dtmf").fill("12#");
    await page.press("#dtmfBtn");
    await page.pause("dialled");
    await page.press("#startRtmp"); // which stops the push now
    await page.shows("#startRtmp", "Start");
    await page.hangUp();
    return page;
  },
  /** A call with a push of its own. */
  async "sip-as-rtmp-3"(stream) {
    const page = await Dialler.open("sip-as-rtmp-3");
    await page.call(stream);
    await page.pause("live");
    await page.hangUp();
    return page;
  },
  /** A call, a push of its stream, and another stream for the phone. */
  async "sip-as-rtmp-4"(stream) {
    const page = await Dialler.open("sip-as-rtmp-4");
    await page.call(stream);
    await page.press("#startRtmp");
    await page.shows("#startRtmp", "Stop");
    await page.pause("live");
    await page.page.locator("#injectStream").fill("music");
    await page.press("#injectStreamBtn");
    await page.page.waitForFunction(() => document.querySelector("#injectStreamBtn").classList.contains("btn-danger"));
    await page.pause("injected");
    await page.hangUp();
    return page;
  },
};

await main(async () => {
  base = await step("serve the examples", 10, servePackage);
  browser = await step("start the browser", 40, launch);
  const pages = [];
  for (const [i, [name, run]] of Object.entries(tests).entries()) {
    pages.push(await step(name, 60, () => run(`phone${i}`)));
  }
  await Promise.all(pages.map((page) => step(`${page.name}: notice the end`, 20, () => page.ends())));
  say("done");
  await step("close the browser", 20, () => browser.close());
});
