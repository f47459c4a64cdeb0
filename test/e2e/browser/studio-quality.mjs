// Changes the quality of a show that is live, records the show in the browser, and kills the browser. Or tests the upload.
//
//   node studio-quality.mjs http://localhost:8081/ --profile FOLDER --name N --rtmp URL [--seconds 60]
//   node studio-quality.mjs http://10.0.0.1:8081/ --name N
//
// With a profile: goes live, recording, and says {"event":"live"}. Each line on standard input is a command:
//
//   quality NAME WIDTH   changes the quality, waits until pictures of that width are sent, and says {"event":"changed"}
//   kill                 kills the browser, starts it again with the same profile, downloads what was recorded into the profile's folder as
//                        part-N.webm, and says {"event":"found"} with the names of the files and the words of the page
//
// Otherwise it tests the upload at each line of standard input, and says {"event":"tested"} with the result. When standard input closes, it
// says {"event":"stopped"}.

import { readlinkSync } from "node:fs";
import path from "node:path";
import { chromium } from "playwright-core";
import { flags, launch } from "./lib/browser.mjs";
import { commands, main, readArguments, say, step } from "./lib/script.mjs";

const options = readArguments(["profile", "name", "rtmp", "seconds"]);
let page, connections;

async function open() {
  if (options.profile) {
    const context = await chromium.launchPersistentContext(options.profile, {
      executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: [...flags, "--use-fake-device-for-media-stream"], viewport: { width: 1280, height: 860 },
    });
    page = await context.newPage();
  } else {
    const browser = await launch({ args: [`--unsafely-treat-insecure-origin-as-secure=${new URL(options.address).origin}`] });
    page = await browser.newPage({ viewport: { width: 1280, height: 860 } });
  }
  page.setDefaultTimeout(0); // steps have their limits
  connections = 0;
  page.on("request", (request) => {
    connections += request.method() === "POST" && request.url().includes("/whip/") ? 1 : 0;
  });
  await page.goto(options.address);
  await page.waitForFunction(() => document.getElementById("video").videoWidth > 0);
}

const text = async (id) => (await page.locator(`#${id}`).innerText()).trim();
const says = (id, pattern) => page.waitForFunction(([i, wanted]) => new RegExp(wanted).test(document.getElementById(i).textContent), [id, pattern]);
const displayed = async () => ({ displayed: { state: await text("state"), failure: await text("failure"), picture: await text("picture"), connections: String(connections) } });

const tasks = {
  async quality(name, width) {
    await page.locator("#quality").selectOption(name);
    await says("picture", `^${width} × `);
    say("changed", await displayed());
  },
  async kill() {
    const [pid] = /\d+$/.exec(readlinkSync(path.join(options.profile, "SingletonLock"))); // HOST-PID
    process.kill(Number(pid), "SIGKILL");
    await open();
    await page.locator("#kept").waitFor();
    const files = {};
    for (const [i, link] of (await page.locator("#recordings a").all()).entries()) {
      const [download] = await Promise.all([page.waitForEvent("download"), link.click()]);
      files[`part-${i + 1}`] = path.join(options.profile, `part-${i + 1}.webm`);
      await download.saveAs(files[`part-${i + 1}`]);
    }
    say("found", { displayed: { ...files, words: await text("recordings") } });
  },
};

await main(async () => {
  const input = commands(Number(options.seconds ?? 60));
  await step("open the page", 40, open);
  if (options.profile) {
    await step("go live", 40, async () => {
      await page.locator("#record").check();
      await page.locator("#name").fill(options.name);
      await page.locator("#address-1").fill(options.rtmp);
      await page.locator("#go").click();
      await says("state", "^Live on");
    });
    say("live", await displayed());
  } else {
    await page.locator("#name").fill(options.name);
    await page.locator("#quality-more summary").click();
    say("live", await displayed());
  }
  for await (const line of input) {
    const [task, ...rest] = line.split(" ");
    await step(line, 40, options.profile ? () => tasks[task](...rest) : async () => {
      await page.locator("#speed").click();
      await says("speed", "^Testing");
      await says("speed", "^Test the upload");
      say("tested", { displayed: { result: await text("speed-result"), problem: await text("speed-problem") } });
    });
  }
  say("stopped", await displayed());
  await step("close the browser", 20, () => page.context().close());
}, displayed);
