// Goes live from the studio, in a browser whose devices go.
//
//   node studio-unplugged.mjs http://localhost:8081/ --name N --rtmp URL [--microphone] [--seconds 60]
//
// Goes live and says {"event":"live"}. The devices are Chromium's own, and the sound passes through the mixer. With --microphone, there is no camera, and the
// microphone is that of the system, as it is, without processing. Each line on standard input is a command, after which it says {"event":"done"} with what the
// page shows:
//
//   crash camera, crash sound         ends the process of the browser that reads the camera, or that does all sound, as a faulty driver would. Waits until
//                                     the page has noted that the device is gone, and that there is one again
//   gone, back                        waits until the page says that the microphone is gone, or until it notes that there is one again
//
// When standard input closes, it presses Stop and says {"event":"stopped"}.

import { chromium } from "playwright-core";
import { crash, flags, launch, watchConsole } from "./lib/browser.mjs";
import { commands, main, readArguments, say, step } from "./lib/script.mjs";

const options = readArguments(["name", "rtmp", "seconds"], ["microphone"]);
let browser, page, errors;

const text = async (id) => (await page.locator(`#${id}`).innerText()).replaceAll(/\s+/g, " ").trim();

async function displayed() {
  const shown = await Promise.all(["state", "device-problem", "events", "mute"].map(async (id) => [id, await text(id)]));
  const picked = await page.locator("#microphone").evaluate((list) => list.selectedOptions[0]?.textContent ?? "");
  return { displayed: { ...Object.fromEntries(shown), picked }, consoleErrors: errors };
}

/** Waits until the show's list of events holds these, one after another; it has the newest first. */
const noted = (...wanted) => page.waitForFunction((parts) => {
  const lines = [...document.querySelectorAll("#events li")].map((line) => line.textContent).reverse();
  return parts.every((part) => {
    const at = lines.findIndex((line) => line.includes(part));
    return at >= 0 && lines.splice(0, at + 1).length > 0;
  });
}, wanted);

const tasks = {
  async "crash camera"() {
    await crash(browser, "video_capture.");
    await noted("The camera is gone.", "There is a camera again.");
    await page.locator("#device-problem").waitFor({ state: "hidden" });
  },
  async "crash sound"() {
    await crash(browser, "audio.");
    await noted("The microphone is gone.", "There is a microphone again.");
    await page.locator("#device-problem").waitFor({ state: "hidden" });
  },
  async gone() {
    await page.locator("#device-problem").filter({ hasText: "The microphone is gone." }).waitFor();
    await noted("The microphone is gone.");
  },
  async back() {
    await noted("The microphone is gone.", "There is a microphone again.");
    await page.locator("#device-problem").waitFor({ state: "hidden" });
  },
};

await main(async () => {
  const input = commands(Number(options.seconds ?? 60));
  browser = await step("start the browser", 40, () => (options.microphone
    ? chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: flags, timeout: 30_000 }) : launch()));
  page = await browser.newPage({ viewport: { width: 1280, height: 860 } });
  page.setDefaultTimeout(0); // steps have their limits
  errors = watchConsole(page);
  await step("go live", 60, async () => {
    await page.goto(options.address);
    if (options.microphone) {
      await page.locator("#camera-off").click();
      await page.locator("#microphone-more > summary").click();
      for (const part of ["noise", "echo", "gain"]) {
        await page.locator(`#${part}`).uncheck();
      }
    } else {
      await page.waitForFunction(() => document.getElementById("video").videoWidth > 0);
      await page.locator("#microphone-more > summary").click();
      await page.locator("#volume").fill("-6"); // so it is mixed
    }
    await page.locator("#name").fill(options.name);
    await page.locator("#address-1").fill(options.rtmp);
    await page.locator("#go").click();
    await page.waitForFunction(() => /^Live on/.test(document.getElementById("state").textContent));
  });
  say("live", await displayed());
  for await (const line of input) {
    await step(line, 30, tasks[line]);
    say("done", await displayed());
  }
  await step("stop", 20, async () => {
    await page.locator("#go").click();
    await page.waitForFunction(() => document.getElementById("status").dataset.phase === "idle");
  });
  say("stopped", await displayed());
  await step("close the browser", 20, () => browser.close());
}, displayed);
