// Looks at the servers of a cluster on the console of one of them, takes another out and lets it go on, as a person does.
//
//   node console-nodes.mjs http://localhost:8081/console --node a
//
// Says {"event":"drained"} when the console shows that the other server is draining, waits for a line on standard input, lets the server go on, says
// {"event":"resumed"} and waits for another line. Then it waits until the other server is gone from the list, and its push is shown as one that nobody
// runs, and says {"event":"gone"} with the texts. SCREENSHOTS=folder keeps screenshots.

import { faults, photograph } from "./lib/accessibility.mjs";
import { launch, watchConsole } from "./lib/browser.mjs";
import { commands, main, readArguments, say, step } from "./lib/script.mjs";

const options = readArguments(["node", "seconds"]);
const goOn = commands(Number(options.seconds ?? 60));
let browser, page, errors;

const text = async (selector) => (await page.locator(selector).innerText()).replaceAll(/\s+/g, " ").trim();

async function displayed() {
  return { displayed: { nodes: await text("#nodes"), pushes: await text("#pushes") }, consoleErrors: errors };
}

const shows = (selector, pattern) => page.waitForFunction(
  ([where, source]) => new RegExp(source).test(document.querySelector(where)?.innerText.replaceAll(/\s+/g, " ")), [selector, pattern.source]);

await main(async () => {
  browser = await step("start the browser", 40, launch);
  page = await browser.newPage({ viewport: { width: 1280, height: 860 } });
  page.setDefaultTimeout(0); // steps have their limits
  errors = watchConsole(page);
  await step("see the servers and the push", 20, async () => {
    await page.goto(options.address);
    await shows("#nodes", /Ready .* Ready /);
    await shows("#pushes", new RegExp(`Live .* On ${options.node}\\.`));
    const found = await faults(page);
    if (found.length > 0) {
      throw new Error(`accessibility: ${found.join("; ")}`);
    }
    await photograph(page, "nodes");
  });
  await step("take a server out", 20, async () => {
    await page.getByRole("button", { name: `Take out the server ${options.node}` }).click();
    await photograph(page, "nodes-question");
    await page.locator("#confirm-yes").click();
    await shows("#nodes", new RegExp(`Draining ${options.node} `));
    await photograph(page, "nodes-draining");
    say("drained");
    await goOn.next();
  });
  await step("let it go on", 20, async () => {
    await page.getByRole("button", { name: `Go on with the server ${options.node}` }).click();
    await page.locator("#confirm-yes").click();
    await shows("#nodes", new RegExp(`Ready ${options.node} `));
    say("resumed");
    await goOn.next();
  });
  await step("see that it is gone", 40, async () => {
    await shows("#pushes", new RegExp(`${options.node} does not answer: this is what was known last\\.`));
    await page.waitForFunction(() => document.querySelector("#nodes-card").hidden);
    await photograph(page, "nodes-gone");
  });
  if (errors.length > 0) {
    throw Object.assign(new Error("errors on the console"), { step: "read the console" });
  }
  say("gone", { displayed: { pushes: await text("#pushes") }, consoleErrors: errors });
  await step("close the browser", 20, () => browser.close());
}, displayed);
