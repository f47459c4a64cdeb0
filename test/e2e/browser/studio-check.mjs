// Checks destinations in the server's studio, before the show and while live, as a person does.
//
//   node studio-check.mjs http://localhost:8081/ --name N --rtmp URL [--seconds 120]
//
// Says {"event":"open"}. Each line on standard input is a command: "check URL" checks this address, "card URL" with a test card, "live" goes live to
// the address of --rtmp, "again" checks that destination while live. It says {"event":"done"} with the texts of the check when the page shows its end.
// When standard input closes, it presses Stop if live and says {"event":"stopped"}. SCREENSHOTS=folder keeps screenshots.

import { faults, inEveryLook, photograph } from "./lib/accessibility.mjs";
import { launch, watchConsole } from "./lib/browser.mjs";
import { commands, main, readArguments, say, step } from "./lib/script.mjs";

const options = readArguments(["name", "rtmp", "seconds"]);
let browser, page, errors;
let looks = 0;

async function displayed() {
  const text = async (id) => ((await page.locator(`#${id}`).isVisible()) ? page.locator(`#${id}`).innerText() : "");
  const lines = await page.locator("#checked-1 li strong").allInnerTexts();
  return {
    displayed: {
      verdict: (await text("checked-1")).split("\n")[0],
      steps: lines.join(" | "),
      checked: await text("checked-1"),
      problem: await text("check-problem-1"),
      state: await text("state"),
    },
    consoleErrors: errors,
  };
}

/** Presses Check and waits for the end of it. */
async function check() {
  await page.locator("#check-1").click();
  await page.waitForFunction(() => !document.getElementById("check-1").disabled
    && (!document.getElementById("checked-1").hidden || !document.getElementById("check-problem-1").hidden));
  const found = await faults(page);
  if (found.length > 0) {
    throw new Error(`accessibility: ${found.join("; ")}`);
  }
  looks++;
  if (process.env.SCREENSHOTS) {
    await inEveryLook(page, (look) => photograph(page, `check-${looks}-${look}`));
  }
}

const tasks = {
  async check(url) {
    await page.locator("#address-1").fill(url);
    await page.locator("#card-1").uncheck();
    await check();
  },
  async card(url) {
    await page.locator("#address-1").fill(url);
    await page.locator("#card-1").check();
    await check();
  },
  async live() {
    await page.locator("#address-1").fill(options.rtmp);
    await page.locator("#go").click();
    await page.waitForFunction(() => document.getElementById("destination-1").dataset.phase === "live");
  },
  again: check,
};

await main(async () => {
  browser = await step("start the browser", 40, () => launch());
  page = await browser.newPage({ viewport: { width: 1280, height: 860 } });
  page.setDefaultTimeout(0); // steps have their limits
  errors = watchConsole(page);
  await step("open the page", 20, async () => {
    await page.goto(options.address);
    await page.waitForFunction(() => document.getElementById("video").videoWidth > 0);
    await page.locator("#name").fill(options.name);
  });
  say("open");
  for await (const line of commands(Number(options.seconds))) {
    const [task, url] = line.split(" ");
    await step(line, 60, () => tasks[task](url));
    say("done", await displayed());
  }
  await step("stop", 20, async () => {
    if (await page.evaluate(() => document.getElementById("status").dataset.phase !== "idle")) {
      await page.locator("#go").click();
      await page.waitForFunction(() => document.getElementById("status").dataset.phase === "idle");
    }
  });
  if (errors.length > 0) {
    throw Object.assign(new Error("errors on the console"), { step: "read the console" });
  }
  say("stopped", await displayed());
  await step("close the browser", 20, () => browser.close());
}, displayed);
