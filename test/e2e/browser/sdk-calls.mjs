// Runs calls of our SDK against the real server: a page calls another one without a SIP server.
//
//   node sdk-calls.mjs http://localhost:8081/ [--reconnect yes] [--seconds 60]
//
// Prints {"event":"talking"} when both pages see and hear each other, and after hold and return {"event":"held"}. When standard input closes,
// the called page hangs up and {"event":"stopped"} follows. A line "media" on standard input is answered by {"event":"media"} when both pages have got
// more pictures and sound than before. Each event has the statuses that both calls went through.

import { launch, watchConsole } from "./lib/browser.mjs";
import { commands, main, readArguments, say, step } from "./lib/script.mjs";

const options = readArguments(["reconnect", "seconds"]);
const pages = {};
let errors = [];

/** Runs in a page: opens a session under a login. It records all statuses, and answers calls. */
async function begin({ urlServer, login, domain, reconnect }) {
  const { CALL_STATUS, Flashphoner } = await import("/sdk/transponder-calls.js");
  const session = Flashphoner.createSession({ urlServer, sipOptions: { login, domain }, reconnect });
  const remote = document.body.appendChild(document.createElement("div"));
  const all = globalThis.all = { session, statuses: [], call: null, error: "" };
  all.follow = (call) => {
    all.call = call;
    Object.values(CALL_STATUS).forEach((status) => call.on(status, () => all.statuses.push(status)));
  };
  all.media = { remoteVideoDisplay: remote, constraints: { audio: true, video: { width: 320, height: 240 } } };
  session.on("INCOMING_CALL", (call) => {
    all.follow(call);
    call.answer(all.media).catch((error) => (all.error = String(error)));
  });
  await session.registered;
}

/** Waits until the page has got two seconds of pictures and sound of the other side. */
async function hears(page) {
  await page.waitForFunction(async () => {
    const { call, media } = globalThis.all;
    const { inboundStream: { audio } } = await call.getStats();
    const video = media.remoteVideoDisplay.querySelector("video");
    const { totalVideoFrames = 0 } = video?.getVideoPlaybackQuality() ?? {};
    return totalVideoFrames > 30 && video.currentTime > 2 && audio?.packetsReceived > 90 && video.videoWidth === 320;
  }, undefined, { timeout: 20_000, polling: 200 });
}

/** Waits until the page gets more pictures and sound. */
async function goesOn(page) {
  const received = () => page.evaluate(async () => {
    const sum = { audio: 0, video: 0 };
    (await globalThis.all.call.getStats(null, true)).forEach((report) => {
      if (report.type === "inbound-rtp") {
        sum[report.kind] += report.framesDecoded ?? report.packetsReceived;
      }
    });
    return [sum.audio, sum.video];
  });
  const [sounds, pictures] = await received();
  for (let now = [0, 0]; now[0] < sounds + 25 || now[1] < pictures + 10; now = await received()) {
    await page.waitForTimeout(50);
  }
}

const statuses = (page) => page.evaluate(() => globalThis.all.statuses.join(" ") + globalThis.all.error);
const displayed = async () => ({ caller: await statuses(pages.caller), callee: await statuses(pages.callee) });

await main(async () => {
  const { origin } = new URL(options.address);
  const reconnect = options.reconnect && { firstPauseMs: 200, maxPauseMs: 1000, attempts: 200 };
  const browser = await step("launch", 20, () => launch({ args: [`--unsafely-treat-insecure-origin-as-secure=${origin}`] }));
  try {
    for (const login of ["caller", "callee"]) {
      const page = pages[login] = await (await browser.newContext()).newPage();
      errors.push(watchConsole(page));
      await step(`open the page of the ${login}`, 20, () => page.goto(options.address));
      await step(`register the ${login}`, 20, () => page.evaluate(begin, { urlServer: `${options.address.replace("http", "ws")}ws`, login, domain: "localhost", reconnect }));
    }
    await step("call", 30, () => pages.caller.evaluate(async () => {
      const { all } = globalThis;
      all.follow(all.session.createCall({ callee: "callee", visibleName: "Ann", ...all.media }));
      await all.call.call();
    }));
    await step("see and hear", 30, () => Promise.all([hears(pages.caller), hears(pages.callee)]));
    const visible = await pages.callee.evaluate(() => globalThis.all.call.visibleName());
    say("talking", { displayed: { ...await displayed(), visible } });
    await step("hold", 20, () => pages.caller.evaluate(async () => {
      await globalThis.all.call.hold();
      await globalThis.all.call.unhold();
    }));
    say("held", { displayed: await displayed() });
    for await (const line of commands(Number(options.seconds ?? 60))) {
      if (line === "media") {
        await step("go on", 40, () => Promise.all([goesOn(pages.caller), goesOn(pages.callee)]));
        say("media", { displayed: await displayed() });
      }
    }
    await step("hang up", 20, async () => {
      await pages.callee.evaluate(() => globalThis.all.call.hangup().then(() => undefined));
      await pages.caller.evaluate(() => globalThis.all.call.ended.then(() => undefined));
    });
    say("stopped", { displayed: await displayed(), consoleErrors: errors.flat() });
  } finally {
    await browser.close();
  }
}, async () => ({ displayed: await displayed(), consoleErrors: errors.flat() }));
