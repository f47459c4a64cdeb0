// Pages of the vendor's SDK that ask for keepAlive and go away, each in its way, and one whose push is refused.
//
//   node vendor-pages.mjs http://localhost:8081/ --socket ws://localhost:8080 --rtmp URL [--seconds 60]
//
// Says {"event":"refused"} with what a page hears whose rtmpUrl is URL, then leaves: {"event":"left"} tells which way it was and
// how many ms the server knew of the session afterwards, at most a few seconds.

import { launch } from "./lib/browser.mjs";
import { servePackage } from "./lib/package-server.mjs";
import { main, readArguments, say, step } from "./lib/script.mjs";

const options = readArguments(["socket", "rtmp", "seconds"]);

/** In a page: a session with a stream that is published. */
async function publish({ urlServer, name, rtmpUrl }) {
  const { Flashphoner } = globalThis;
  const { SESSION_STATUS, STREAM_STATUS } = Flashphoner.constants;
  const told = globalThis.told = [];
  await Flashphoner.init({});
  globalThis.session = Flashphoner.createSession({ urlServer, keepAlive: true });
  await new Promise((resolve) => globalThis.session.on(SESSION_STATUS.ESTABLISHED, resolve));
  const stream = globalThis.session.createStream({ name, display: document.getElementById("display"), ...(rtmpUrl && { rtmpUrl }) });
  for (const status of [STREAM_STATUS.PUBLISHING, STREAM_STATUS.FAILED, STREAM_STATUS.UNPUBLISHED]) {
    stream.on(status, () => told.push(`${status} ${stream.getInfo() ?? ""}`.trim()));
  }
  stream.publish();
}

async function sessions() {
  const response = await fetch(new URL("/rest-api/connection/find_all", options.address));
  return response.ok ? (await response.json()).length : 0;
}

await main(async () => {
  const base = await step("serve the SDK", 10, servePackage);
  const browser = await step("start the browser", 40, launch);
  const open = async (facts) => {
    const page = await browser.newPage();
    page.setDefaultTimeout(0); // steps have their limits
    await page.goto(`${base}/examples/demo/streaming/two_way_streaming/two_way_streaming.html`);
    await page.evaluate(() => (document.body.innerHTML = "<div id=display></div>"));
    await page.evaluate(publish, { urlServer: options.socket, ...facts });
    await page.waitForFunction(() => globalThis.told.length > 0);
    return page;
  };
  await step("a refused push", 40, async () => {
    const page = await open({ name: "refused", rtmpUrl: options.rtmp });
    await page.waitForFunction(() => globalThis.told.length > 1);
    say("refused", { displayed: { told: (await page.evaluate(() => globalThis.told)).join(", ") } });
    await page.evaluate(() => globalThis.session.disconnect());
    await page.close();
  });
  const ways = {
    disconnect: (page) => page.evaluate(() => globalThis.session.disconnect()),
    navigate: (page) => page.goto("about:blank"),
    reload: (page) => page.reload(),
    close: (page) => page.close(),
  };
  for (const [way, leave] of Object.entries(ways)) {
    await step(way, 30, async () => {
      const page = await open({ name: way });
      await leave(page);
      const since = Date.now();
      while (Date.now() - since < 10_000 && (await sessions()) > 0) {
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      say("left", { displayed: { way, ms: String(Date.now() - since) } });
      await page.close();
    });
  }
  say("stopped");
  await step("close the browser", 20, () => browser.close());
});
