// Publishes by the server's own page, as a person does.
//
//   node publish-page.mjs http://localhost:8081/ --name N --rtmp URL [--seconds 60] [--screenshot FILE.png] [--keyboard]
//     [--flash] [--without H264] [--relay]
//
// Says {"event":"live"} when the page shows that the push is live, stays so until standard input closes, then presses Stop
// and says {"event":"stopped"}; both with what the page displays. --screenshot FILE.png makes FILE-light.png, FILE-dark.png
// and FILE-phone.png while live. --keyboard uses no mouse; --flash brings a camera whose flashes can be compared with its
// beeps; --without takes a codec from the browser; --relay lets the page reach the server through TURN servers only, and says
// "ways", the kinds of its candidates. Serious accessibility faults and errors on the console fail it.

import { faults, inEveryLook } from "./lib/accessibility.mjs";
import { launch, tabTo, watchConsole } from "./lib/browser.mjs";
import { withoutCodec } from "./lib/codecs.mjs";
import { flashAndBeep } from "./lib/flash.mjs";
import { onlyRelays, ways } from "./lib/relay.mjs";
import { main, readArguments, say, step, stopSign } from "./lib/script.mjs";

const options = readArguments(["name", "rtmp", "seconds", "screenshot", "without"], ["keyboard", "flash", "relay"]);
let browser, page, errors;

/** The texts that the page shows. */
async function displayed() {
  const text = (id) => page.locator(`#${id}`).innerText();
  const ids = ["state", "note", "failure", "picture", "interval"];
  const ofDestination = ["failure", "bitrate", "time", "frames", "dropped", "command"].map((id) => `${id}-1`);
  const entries = await Promise.all([...ids, ...ofDestination].map(async (id) => [id, (await text(id)).trim()]));
  return { displayed: { ...Object.fromEntries(entries), ...(options.relay && { ways: await ways(page) }) }, consoleErrors: errors };
}

async function press(id) {
  if (options.keyboard) {
    await tabTo(page, id);
    await page.keyboard.press("Enter");
  } else {
    await page.locator(`#${id}`).click();
  }
}

async function fill(id, value) {
  if (value === undefined) {
    return;
  }
  if (options.keyboard) {
    await tabTo(page, id); // selects what the field holds
    await page.keyboard.type(value);
  } else {
    await page.locator(`#${id}`).fill(value);
  }
}

/** Waits for a phase of the status. Throws the failure if the page shows one. */
async function reach(phase) {
  await page.waitForFunction((wanted) => {
    const now = document.getElementById("status").dataset.phase;
    return now === wanted || now === "failed";
  }, phase, { timeout: 0 }); // the step has its limit
  for (const id of ["failure", "failure-1"]) {
    if (await page.locator(`#${id}`).isVisible()) {
      throw new Error(`the page says: ${(await page.locator(`#${id}`).innerText()).replaceAll("\n", " ")}`);
    }
  }
}

async function inspect(what) {
  await inEveryLook(page, async (look) => {
    const found = await faults(page);
    if (found.length > 0) {
      throw new Error(`accessibility, ${what}, ${look}: ${found.join("; ")}`);
    }
    if (what === "live" && options.screenshot) {
      await page.screenshot({ path: options.screenshot.replace(/(\.png)?$/, `-${look}.png`), fullPage: true });
    }
  });
}

await main(async () => {
  const stop = stopSign(Number(options.seconds ?? 60));
  browser = await step("start the browser", 40, launch);
  page = await browser.newPage({ viewport: { width: 1280, height: 860 } });
  errors = watchConsole(page);
  if (options.relay) {
    await onlyRelays(page);
  }
  if (options.flash) {
    await page.addInitScript(flashAndBeep);
  }
  if (options.without) {
    await page.addInitScript(withoutCodec, options.without);
  }
  await step("open the page", 20, async () => {
    await page.goto(options.address);
    await page.waitForFunction(() => document.getElementById("name").value !== "");
  });
  // The browser was started with permission, so the page opens the camera by itself.
  await step("see the camera", 20, () => page.waitForFunction(() => document.getElementById("video").videoWidth > 0));
  await step("inspect the page", 60, () => inspect("ready"));
  await step("fill in", 20, async () => {
    await fill("name", options.name);
    await fill("address-1", options.rtmp);
  });
  await step("go live", 40, async () => {
    await press("go");
    await reach("live");
    await page.waitForFunction(() => /^[1-9].*bit\/s/.test(document.getElementById("bitrate-1").textContent));
  });
  say("live", await displayed());
  await step("inspect the page while live", 60, () => inspect("live"));
  await Promise.race([stop, reach("idle").then(() => {
    throw Object.assign(new Error("the push ended by itself"), { step: "stay live" });
  }, (error) => {
    throw Object.assign(error, { step: "stay live" });
  })]);
  const last = await displayed();
  await step("stop", 20, async () => {
    await press("go");
    await reach("idle");
  });
  if (errors.length > 0) {
    throw Object.assign(new Error("errors on the console"), { step: "read the console" });
  }
  say("stopped", { ...last, after: (await displayed()).displayed });
  await step("close the browser", 20, () => browser.close());
}, displayed);
