// Hands a running show from the server's studio to a phone, and takes it back.
//
//   node studio-hands-over.mjs http://localhost:8081/ --name N [--rtmp URL] [--people NAME:PASSWORD,NAME:PASSWORD]
//     [--second URL] [--seconds 120]
//
// --people: who sits at the first page, and who holds the phone. Says {"event":"live"} when the destination is live. Each line on standard input is a
// command:
//
//   scan    reads the code for phones from a picture of the first page, opens its link on the phone, and says {"event":"offered"}
//   phone   presses "Take over" on the phone, and says {"event":"taken"} when it is live and the first page says who sends the show
//   first   the same the other way round
//   add     starts a push to --second on the phone, and says {"event":"added"} when both pages know it
//   leave   closes the page that does not send
//
// When standard input closes, the page that sends presses Stop, and the script says {"event":"stopped"}.

import { launch, watchConsole } from "./lib/browser.mjs";
import { scan } from "./lib/scan.mjs";
import { commands, main, readArguments, say, step } from "./lib/script.mjs";

const options = readArguments(["name", "rtmp", "people", "second", "seconds"]);
const people = options.people?.split(",").map((one) => one.split(":")) ?? [];
const pages = {};
let browser, sender = "first";

const phase = (page, wanted) => page.waitForFunction((p) => document.getElementById("status").dataset.phase === p, wanted);
const says = (page, pattern) => page.waitForFunction((text) => new RegExp(text).test(document.getElementById("state").textContent), pattern.source);

async function displayed() {
  const shown = {};
  for (const [who, { page }] of Object.entries(pages).filter(([, { page }]) => !page.isClosed())) {
    for (const id of ["state", "note", "failure", "go", "pill", "title-1"]) {
      shown[`${who} ${id}`] = await page.locator(`#${id}`).evaluate((shownOne) => shownOne.innerText.trim());
    }
  }
  return { displayed: shown, consoleErrors: Object.values(pages).flatMap(({ errors }) => errors) };
}

async function open(who, address, settings, person) {
  const context = await browser.newContext({ ignoreHTTPSErrors: true, permissions: ["camera", "microphone"], ...settings });
  const page = await context.newPage();
  page.setDefaultTimeout(0); // steps have their limits
  page.on("dialog", (dialog) => void dialog.accept());
  pages[who] = { page, errors: watchConsole(page) };
  await page.goto(address);
  if (person) {
    await page.locator("#login").waitFor();
    await page.locator("#user").fill(person[0]);
    await page.locator("#password").fill(person[1]);
    await page.keyboard.press("Enter");
    await page.locator("#login").waitFor({ state: "hidden" });
  }
  return page;
}

async function takeOver(who, from) {
  const { page } = pages[who];
  await page.waitForFunction(() => document.getElementById("video").videoWidth > 0);
  await page.locator("#go").click();
  await says(page, /^Live on/);
  await says(pages[from].page, /^Another device/);
  sender = who;
  say("taken", await displayed());
}

const tasks = {
  async scan() {
    const { page } = pages.first;
    await page.locator("#share > summary").click();
    const link = await scan(page, "phone-code");
    await page.locator("#share > summary").click();
    const phone = await open("phone", link, { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true }, people[1]);
    await says(phone, /^Another device/);
    await phase(phone, "waiting");
    say("offered", await displayed());
  },
  phone: () => takeOver("phone", "first"),
  first: () => takeOver("first", "phone"),
  async add() {
    const { page } = pages.phone;
    await page.locator("#add").click();
    await page.locator("#address-2").fill(options.second);
    await page.keyboard.press("Enter");
    for (const one of Object.values(pages)) {
      await one.page.locator(".destination").nth(1).waitFor();
    }
    await says(page, /^Live on all 2/);
    say("added", await displayed());
  },
  async leave() {
    await pages[sender === "first" ? "phone" : "first"].page.close({ runBeforeUnload: true });
    say("left");
  },
};

await main(async () => {
  const input = commands(Number(options.seconds ?? 120));
  browser = await step("start the browser", 40, launch);
  const page = await step("open the page", 40, () => open("first", options.address, { viewport: { width: 1280, height: 860 } }, people[0]));
  await step("go live", 40, async () => {
    await page.waitForFunction(() => document.getElementById("video").videoWidth > 0);
    await page.locator("#name").fill(options.name);
    if (options.rtmp) {
      await page.locator("#address-1").fill(options.rtmp);
    }
    await page.locator("#go").click();
    await says(page, /^Live on/);
  });
  say("live", await displayed());
  for await (const line of input) {
    await step(line, 40, tasks[line]);
  }
  await step("stop", 20, async () => {
    await pages[sender].page.locator("#go").click();
    await phase(pages[sender].page, "idle");
  });
  say("stopped", await displayed());
  await step("close the browser", 20, () => browser.close());
}, displayed);
