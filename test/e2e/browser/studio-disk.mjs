// Goes live from the studio, recording, with a browser whose profile is in a folder that may get full.
//
//   node studio-disk.mjs http://localhost:8081/ --name N --rtmp URL --profile FOLDER --downloads FOLDER [--seconds 120]
//
// Says {"event":"live"} when the show is live and some of it is recorded. Each line on standard input is a command:
//
//   full      waits until the page says that the recording has stopped, and says {"event":"full"}
//   keep      downloads what was recorded last, and says {"event":"kept"} with the file
//   record    records again, and says {"event":"recording"} when some is recorded
//   delete    deletes what was recorded last, and says {"event":"deleted"}
//
// When standard input closes, it presses Stop and says {"event":"stopped"}.

import path from "node:path";
import { chromium } from "playwright-core";
import { flags, watchConsole } from "./lib/browser.mjs";
import { commands, main, readArguments, say, step } from "./lib/script.mjs";

const options = readArguments(["name", "rtmp", "profile", "downloads", "seconds"]);
let context, page, errors;

const text = async (id) => (await page.locator(`#${id}`).innerText()).replaceAll(/\s+/g, " ").trim();

async function displayed() {
  const ids = ["state", "record-note", "record-problem", "warnings", "recordings"];
  const shown = await Promise.all(ids.map(async (id) => [id, await text(id)]));
  return { displayed: Object.fromEntries(shown), consoleErrors: errors };
}

const recorded = () => page.waitForFunction(() => /Recording since .*: [1-9]/.test(document.getElementById("record-note").textContent));

const tasks = {
  async full() {
    await page.locator("#record-problem").waitFor();
    await page.waitForFunction(() => /The recording here has stopped/.test(document.getElementById("warnings").textContent));
    await page.locator("#kept").waitFor();
    say("full", await displayed());
  },
  async keep() {
    const [download] = await Promise.all([page.waitForEvent("download"), page.locator("#recordings a").first().click()]);
    say("kept", { displayed: { file: await download.path() } });
  },
  async delete() {
    const lines = page.locator("#recordings li");
    const before = await lines.count();
    await lines.first().getByRole("button").click();
    await page.locator("#confirm-yes").click();
    await page.waitForFunction((n) => document.querySelectorAll("#recordings li").length === n, before - 1);
    say("deleted", await displayed());
  },
  async record() {
    await page.locator("#record").check();
    await recorded();
    say("recording", await displayed());
  },
};

await main(async () => {
  const input = commands(Number(options.seconds ?? 120));
  context = await step("start the browser", 40, () => chromium.launchPersistentContext(options.profile, {
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: [...flags, "--use-fake-device-for-media-stream=device-count=1"],
    timeout: 30_000, downloadsPath: options.downloads, viewport: { width: 1280, height: 860 },
  }));
  page = context.pages()[0] ?? await context.newPage();
  page.setDefaultTimeout(0); // steps have their limits
  errors = watchConsole(page);
  await step("go live", 60, async () => {
    await page.goto(options.address);
    await page.waitForFunction(() => document.getElementById("video").videoWidth > 0);
    await page.locator("#record").check();
    await page.locator("#name").fill(options.name);
    await page.locator("#address-1").fill(options.rtmp);
    await page.locator("#go").click();
    await page.waitForFunction(() => /^Live on/.test(document.getElementById("state").textContent));
    await recorded();
  });
  say("live", await displayed());
  for await (const line of input) {
    await step(line, 90, tasks[line]);
  }
  await step("stop", 20, async () => {
    await page.locator("#go").click();
    await page.waitForFunction(() => document.getElementById("status").dataset.phase === "idle");
  });
  say("stopped", await displayed());
  await step("close the browser", 20, () => context.close());
}, displayed);
