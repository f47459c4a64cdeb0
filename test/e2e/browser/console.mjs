// Looks at the server's console and stops a push there, as a person does.
//
//   node console.mjs http://localhost:8081/console --pushes 2 --stop HOST:PORT --secret KEY [--seconds 60]
//
// Says {"event":"seen"} with the texts of the console when it shows that number of pushes with their rates. Then it stops the push
// to that address, checks that KEY is nowhere in the page, and says {"event":"stopped"} when the console shows the end of the
// push. SCREENSHOTS=folder keeps screenshots.

import { faults, inEveryLook, photograph } from "./lib/accessibility.mjs";
import { launch, watchConsole } from "./lib/browser.mjs";
import { main, readArguments, say, step } from "./lib/script.mjs";

const options = readArguments(["pushes", "stop", "secret", "seconds"]);
let browser, page, errors;

async function displayed() {
  const ids = ["pushes", "streams", "sessions", "history", "push-count", "news", "trouble"];
  const entries = await Promise.all(ids.map(async (id) => [id, (await page.locator(`#${id}`).innerText()).replaceAll(/\s+/g, " ").trim()]));
  return { displayed: Object.fromEntries(entries), consoleErrors: errors };
}

await main(async () => {
  browser = await step("start the browser", 40, launch);
  page = await browser.newPage({ viewport: { width: 1280, height: 860 } });
  page.setDefaultTimeout(0); // steps have their limits
  errors = watchConsole(page);
  await step("see the pushes", 30, async () => {
    await page.goto(options.address);
    await page.waitForFunction((wanted) => {
      const rates = [...document.querySelectorAll("#pushes [data-part=bitrate]")];
      return rates.length === wanted && rates.every((rate) => /^[1-9]/.test(rate.textContent));
    }, Number(options.pushes));
  });
  say("seen", await displayed());
  await step("inspect the page", 60, async () => {
    const found = await faults(page);
    if (found.length > 0) {
      throw new Error(`accessibility: ${found.join("; ")}`);
    }
    if (process.env.SCREENSHOTS) {
      await page.waitForFunction(() => (document.querySelector("#pushes .line").getAttribute("d") ?? "").split("L").length > 4);
      await inEveryLook(page, (look) => photograph(page, `console-real-${look}`));
    }
  });
  await step("stop a push", 30, async () => {
    await page.locator("#pushes li", { hasText: options.stop }).getByRole("button").click();
    await page.locator("#confirm-yes").click();
    if ((await page.content()).includes(options.secret)) {
      throw new Error("a stream key is shown");
    }
    await page.waitForFunction((left) => document.querySelectorAll("#pushes li").length === left, Number(options.pushes) - 1);
    await page.waitForFunction((where) => document.querySelector("#history li")?.innerText.includes(where), options.stop);
  });
  if (errors.length > 0) {
    throw Object.assign(new Error("errors on the console"), { step: "read the console" });
  }
  say("stopped", await displayed());
  await step("close the browser", 20, () => browser.close());
}, displayed);
