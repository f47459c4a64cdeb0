// Goes through the official Web SDK's example pages, exactly as they come in the npm package, by their buttons.
//
//   node official.mjs ws://localhost:8080 --rest http://localhost:8081/rest-api [--sdk FILE]
//
// --sdk has the pages load that script in place of the package's.
//
// Says {"event":"passed","page":NAME,"seconds":N} for each page that does what it is for, and {"event":"done"} at the end.

import { launch, watchConsole } from "./lib/browser.mjs";
import { servePackage } from "./lib/package-server.mjs";
import { main, readArguments, say, step } from "./lib/script.mjs";

const options = readArguments(["rest", "sdk", "seconds"]);
const stream = "show";
let browser, base, page, errors, camera;

/** Waits until an element shows one of these words; another of the terminal ones ends the wait. */
async function shows(id, ...wanted) {
  const shown = await page.waitForFunction(([selector, words]) => {
    const text = document.querySelector(selector).textContent.trim();
    return words.includes(text) || ["FAILED", "DISCONNECTED"].includes(text) ? text : false;
  }, [id, wanted], { timeout: 0 }).then((handle) => handle.jsonValue()); // the step has its limit
  if (!wanted.includes(shown)) {
    throw new Error(`${id} shows ${shown}, not ${wanted}; the console: ${errors.join("; ")}`);
  }
}

/** Waits until a video shows pictures that go on. */
async function plays(selector) {
  await page.waitForFunction((wanted) => {
    const video = document.querySelector(wanted);
    if (!video?.videoWidth) {
      return false;
    }
    video.dataset.from ??= video.currentTime;
    return video.currentTime > Number(video.dataset.from) + 1;
  }, selector, { timeout: 0 });
}

const fill = (id, value) => page.locator(id).fill(value);
const press = (id) => page.locator(id).click();

async function connect() {
  await press("#connectBtn");
  await shows("#connectStatus", "ESTABLISHED");
}

const pages = {
  /** Publishes what the others play, and goes on with that. */
  async two_way_streaming() {
    await fill("#urlServer", options.address);
    await connect();
    await fill("#publishStream", stream);
    await press("#publishBtn");
    await shows("#publishStatus", "PUBLISHING");
    await plays("#localVideo > video");
    await fill("#playStream", stream);
    await press("#playBtn");
    await shows("#playStatus", "PLAYING");
    await plays("#remoteVideo > video");
    await press("#availableBtn");
    await shows("#availableStatus", "AVAILABLE");
    await press("#sendDataBtn");
    await page.waitForFunction(() => document.querySelector("#receivedData").textContent.includes("count"), null, { timeout: 0 });
    await press("#playBtn");
    await shows("#playStatus", "STOPPED");
  },
  async player() {
    await fill("#url", options.address);
    await fill("#streamName", stream);
    await press("#playBtn");
    await shows("#status", "PLAYING");
    await plays("#remoteVideo video");
    await press("#playBtn");
    await shows("#status", "STOPPED");
  },
  async "2players"() {
    await fill("#url", options.address);
    await connect();
    for (const n of [1, 2]) {
      await fill(`#streamName${n}`, stream);
      await press(`#playBtn${n}`);
      await shows(`#status${n}`, "PLAYING");
    }
    await plays("#player1 video");
    await plays("#player2 video");
    await press("#playBtn1");
    await shows("#status1", "STOPPED");
  },
  async streamer() {
    await fill("#url", `${options.address}/streamer`);
    await press("#publishBtn");
    await plays("#localVideo > video");
    await plays("#remoteVideo > video");
    await press("#publishBtn");
    await shows("#status", "UNPUBLISHED");
  },
  async "stream-snapshot"() {
    await fill("#url", `${options.address}/snapshot`);
    await press("#publishBtn");
    await shows("#status", "PUBLISHING");
    await press("#snapshotBtn");
    await page.waitForFunction(() => {
      const picture = document.querySelector("#dynImg");
      return picture.src.startsWith("data:image/png") && picture.naturalWidth > 0;
    }, null, { timeout: 0 });
    await press("#publishBtn");
    await shows("#status", "UNPUBLISHED");
  },
  async "stream-diagnostic"() {
    await fill("#url", `${options.address}/diagnostic`);
    await press("#publishBtn");
    await shows("#status", "PUBLISHING");
    await press("#publishBtn");
    await shows("#status", "UNPUBLISHED");
  },
  /** Comes back by itself when its connection was ended. */
  async "stream-auto-restore"() {
    await fill("#urlServer", options.address);
    await connect();
    await fill("#publishStream", "restored");
    await press("#publishBtn");
    await shows("#publishStatus", "PUBLISHING");
    const before = await find("restored");
    await rest("/connection/terminate", { sessionId: before.sessionId });
    await page.waitForFunction(() => document.querySelector("#publishStatus").textContent !== "PUBLISHING", null, { timeout: 0 });
    await page.waitForFunction(() => document.querySelector("#publishStatus").textContent === "PUBLISHING", null, { timeout: 0 });
    const after = await find("restored");
    if (after.mediaSessionId === before.mediaSessionId) {
      throw new Error("the stream is the same as before");
    }
    await plays("#localVideo > video");
  },
};

/** The page that publishes hears of its own player that nothing comes any more, and then that there is nothing to play. */
async function stopWhatIsPlayed() {
  await fill("#playStream", stream);
  await press("#playBtn");
  await shows("#playStatus", "PLAYING");
  await press("#publishBtn");
  await shows("#publishStatus", "UNPUBLISHED");
  await saysWhy("Related publisher stopped its stream or lost connection");
  await press("#playBtn");
  await saysWhy("Actual session does not exist");
}

async function saysWhy(words) {
  await page.waitForFunction((wanted) => document.querySelector("#playStatus").textContent === "FAILED" &&
    document.querySelector("#playInfo").textContent.includes(wanted), words, { timeout: 0 });
}

async function rest(method, body) {
  const response = await fetch(options.rest + method, {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
  });
  if (!response.ok) {
    throw new Error(`${method} answers ${response.status}: ${await response.text()}`);
  }
  return response.text();
}

/** The stream that is published under a name. */
async function find(name) {
  return JSON.parse(await rest("/stream/find", { name, published: true }))[0];
}

/** Goes through one page, and closes it, unless it is the one that publishes for the others. */
async function visit(name, run) {
  page = await browser.newPage({ viewport: { width: 1280, height: 1000 } });
  errors = watchConsole(page);
  if (options.sdk) {
    await page.route("**/flashphoner.js", (route) => route.fulfill({ path: options.sdk }));
  }
  await page.goto(`${base}/examples/demo/streaming/${name}/${name}.html`);
  await page.waitForFunction(() => document.querySelector("#url, #urlServer").value !== "");
  await run();
  const own = errors.filter((error) => !/404 .*\/images\/ui-/.test(error)); // pictures that the package names and does not have
  if (own.length > 0) {
    throw new Error(`the console: ${own.join("; ")}`);
  }
  if (name === "two_way_streaming") {
    camera = page;
  } else {
    await page.close();
  }
}

await main(async () => {
  base = await step("serve the examples", 10, servePackage);
  browser = await step("start the browser", 40, launch);
  for (const [name, run] of Object.entries(pages)) {
    const began = Date.now();
    await step(name, 60, () => visit(name, run));
    say("passed", { page: name, seconds: (Date.now() - began) / 1000 });
  }
  page = camera;
  await step("stop what is played", 30, stopWhatIsPlayed);
  say("done");
  await step("close the browser", 20, () => browser.close());
});
