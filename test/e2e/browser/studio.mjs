// Publishes to several destinations by the server's studio, as a person does.
//
//   node studio.mjs http://localhost:8081/ --name N --rtmp URL,URL,… [--refused 3] [--music FILE] [--seconds 60]
//
// Says {"event":"live"} with the texts of the page when all destinations are live, except the one of --refused. Each line on
// standard input is a command: "mute 2" mutes the second destination and says {"event":"muted"}; "ended 1" waits until the page
// shows that the first has ended, and says {"event":"ended"}. When standard input closes, it presses Stop and says
// {"event":"stopped"}. SCREENSHOTS=folder keeps screenshots.
// --music: the microphone plays this WAV file, and the browser is told to leave its sound as it is.

import { faults, inEveryLook, photograph } from "./lib/accessibility.mjs";
import { launch, rememberMicrophone, watchConsole } from "./lib/browser.mjs";
import { commands, main, readArguments, say, step } from "./lib/script.mjs";

const options = readArguments(["name", "rtmp", "refused", "music", "seconds"]);
const addresses = options.rtmp.split(",");
let browser, page, errors;

async function displayed() {
  const ids = ["state", "failure", "picture", "fps", "loss", "round-trip", "interval",
    ...addresses.flatMap((_, i) => ["title", "state", "failure", "note", "bitrate"].map((id) => `${id}-${i + 1}`))];
  const entries = await Promise.all(ids.map(async (id) => [id, (await page.locator(`#${id}`).innerText()).trim()]));
  return { displayed: Object.fromEntries(entries), consoleErrors: errors };
}

/** Waits until a destination is in a state. Throws the failure if it fails instead. */
async function reach(n, phase) {
  await page.waitForFunction(([id, wanted]) => [wanted, "failed"].includes(document.getElementById(id).dataset.phase), [`destination-${n}`, phase]);
  if (phase !== "failed" && await page.locator(`#failure-${n}`).isVisible()) {
    throw new Error(`destination ${n}: ${(await page.locator(`#failure-${n}`).innerText()).replaceAll("\n", " ")}`);
  }
}

async function inspect(what) {
  const found = await faults(page);
  if (found.length > 0) {
    throw new Error(`accessibility, ${what}: ${found.join("; ")}`);
  }
  if (process.env.SCREENSHOTS) {
    await inEveryLook(page, (look) => photograph(page, `${what}-${look}`));
  }
}

const tasks = {
  async mute(n) {
    await page.locator(`#mute-${n}`).click();
    await page.waitForFunction((id) => document.getElementById(id).textContent === "Unmute", `mute-${n}`);
    say("muted");
  },
  async ended(n) {
    await page.waitForFunction((id) => document.getElementById(id).dataset.phase === "failed", `destination-${n}`);
    say("ended", await displayed());
  },
};

await main(async () => {
  const input = commands(Number(options.seconds ?? 60));
  browser = await step("start the browser", 40, () => launch({ args: options.music ? [`--use-file-for-fake-audio-capture=${options.music}`] : [] }));
  page = await browser.newPage({ viewport: { width: 1280, height: 860 } });
  page.setDefaultTimeout(0); // steps have their limits
  errors = watchConsole(page);
  await page.addInitScript(rememberMicrophone);
  await step("open the page", 20, async () => {
    await page.goto(options.address);
    await page.waitForFunction(() => document.getElementById("video").videoWidth > 0);
  });
  await step("fill in", 20, async () => {
    await page.locator("#name").fill(options.name);
    for (const [i, address] of addresses.entries()) {
      if (i > 0) {
        await page.locator("#add").click();
      }
      await page.locator(`#address-${i + 1}`).fill(address);
    }
  });
  if (options.music) {
    await step("choose music", 20, async () => {
      await page.locator("details:has(#noise) > summary").click();
      for (const id of ["noise", "echo", "gain"]) {
        await page.locator(`#${id}`).uncheck();
      }
      await page.waitForFunction(() => {
        const now = globalThis.microphone?.getSettings() ?? {};
        return now.echoCancellation === false && now.noiseSuppression === false && now.autoGainControl === false;
      });
    });
  }
  await step("go live", 40, async () => {
    await page.locator("#go").click();
    for (const i of addresses.keys()) {
      await reach(i + 1, String(i + 1) === options.refused ? "failed" : "live");
    }
    // The page needs some seconds for the first rates.
    await page.waitForFunction(() => /^[1-9].*bit\/s/.test(document.getElementById("bitrate-1").textContent)
      && /^every/.test(document.getElementById("interval").textContent) && /ms$/.test(document.getElementById("round-trip").textContent));
  });
  say("live", await displayed());
  await step("inspect the page", 60, () => inspect("studio"));
  for await (const line of input) {
    const [task, n] = line.split(" ");
    await step(line, 30, () => tasks[task](n));
  }
  await step("stop", 20, async () => {
    await page.locator("#go").click();
    await page.waitForFunction(() => ["idle", "failed"].includes(document.getElementById("status").dataset.phase));
  });
  if (errors.length > 0) {
    throw Object.assign(new Error("errors on the console"), { step: "read the console" });
  }
  say("stopped", await displayed());
  await step("close the browser", 20, () => browser.close());
}, displayed);
