// Uses the pages of a server as an administrator and as an operator do, in two browsers of their own.
//
//   node access.mjs http://localhost:8081/ --password P --rtmp rtmp://127.0.0.1:1936/live/KEY [--seconds 120]
//
// The administrator signs in, first with a wrong password, and adds a user, a key and a destination. The operator signs in with the password that the
// server has made, and goes live to the destination: {"event":"live"}. Then each line on standard input is a task: "sign out" ends the operator's
// login by the page for access, and waits until the studio, still live, asks to sign in; "remove" removes the operator, and waits until the
// studio says that it is over. Each says {"event":"done"} with what the pages show. SCREENSHOTS=folder keeps screenshots.

import { faults, inEveryLook, photograph } from "./lib/accessibility.mjs";
import { launch } from "./lib/browser.mjs";
import { commands, main, readArguments, say, step } from "./lib/script.mjs";

const options = readArguments(["password", "rtmp", "seconds"]);
const key = options.rtmp.split("/").at(-1);
const headers = []; // that the operator's browser has sent with its credentials
let browser, admin, operator;

const text = async (page, selector) => (await page.locator(selector).innerText()).replaceAll(/\s+/g, " ").trim();

const says = (page, selector, pattern) => page.waitForFunction(
  ([where, source]) => new RegExp(source).test((document.querySelector(where)?.innerText ?? "").replaceAll(/\s+/g, " ")), [selector, pattern.source], { timeout: 0 });

async function displayed() {
  const shown = async (page, selectors) => Object.fromEntries(await Promise.all(selectors.map(async (one) => [one, page && await page.locator(one).count() ? await text(page, one) : ""])));
  return { displayed: { ...await shown(operator, ["#state", "#note", "#failure", "#failure-1", "#account"]), ...await shown(admin, ["#trouble", "#board", "#form-trouble", "#login"]) } };
}

async function signIn(page, name, password) {
  await page.locator("#user").fill(name);
  await page.locator("#password").fill(password);
  await page.keyboard.press("Enter");
}

async function turnTo(part) {
  await admin.locator(`#tabs a[href="#${part}"]`).click();
  await admin.locator(`#${part}-card`).waitFor();
}

const field = (label) => admin.locator("#form").getByLabel(label, { exact: true });

async function send() {
  await admin.locator("#form-send").click();
  await Promise.race([admin.locator("#form").waitFor({ state: "hidden" }), admin.locator("#form-trouble").waitFor().then(async () => {
    throw new Error(`the form says: ${await text(admin, "#form-trouble")}`);
  })]);
}

/** The secret that the page shows once. */
async function secret() {
  await admin.locator("#secret").waitFor();
  const shown = await admin.locator("#secret-text").textContent();
  await admin.locator("#secret .main").click();
  return shown;
}

async function inspect(page, what) {
  const found = await faults(page);
  if (found.length > 0) {
    throw new Error(`accessibility, ${what}: ${found.join("; ")}`);
  }
  if (process.env.SCREENSHOTS) {
    await inEveryLook(page, (look) => photograph(page, `real-${what}-${look}`));
  }
}

/** No page shows the stream key of the destination, and none keeps a password or a token. */
async function leaks(page, ...secrets) {
  const kept = await page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie]));
  const all = kept + await page.content();
  for (const one of [key, options.password, ...secrets]) {
    if (all.includes(one)) {
      throw new Error(`${page.url()} shows or keeps ${one}`);
    }
  }
}

const tasks = {
  async "sign out"() {
    await turnTo("logins");
    await admin.getByRole("button", { name: /^Sign out berta/ }).click();
    await admin.locator("#confirm-yes").click();
    await says(operator, "#note", /sign in again/);
    await operator.locator("#login").waitFor();
    await inspect(operator, "studio-signed-out");
  },
  async "sign in"() {
    await signIn(operator, "berta", made);
    await says(operator, "#account", /berta Sign out/);
    await operator.waitForFunction(() => document.getElementById("note").textContent === "", null, { timeout: 0 });
  },
  async remove() {
    await turnTo("users");
    await admin.getByRole("button", { name: "Remove berta" }).click();
    await admin.locator("#confirm-yes").click();
    await operator.waitForFunction(() => document.getElementById("status").dataset.phase === "failed", null, { timeout: 0 });
  },
};

let made;

await main(async () => {
  const input = commands(Number(options.seconds ?? 120));
  browser = await step("start the browser", 40, launch);
  const pageOf = async (path) => {
    const context = await browser.newContext({ viewport: { width: 1280, height: 860 }, permissions: ["camera", "microphone"] });
    const page = await context.newPage();
    page.setDefaultTimeout(0); // steps have their limits
    await page.goto(new URL(path, options.address).href);
    return page;
  };
  await step("sign in as the administrator", 60, async () => {
    admin = await pageOf("/rest-api/push/history?limit=3"); // a person who opens the API is sent to the page for signing in, and back
    await admin.locator("#login").waitFor();
    await signIn(admin, "admin", "wrong");
    await says(admin, "#login-problem", /does not know this name and password/);
    await inspect(admin, "login");
    await signIn(admin, "admin", options.password);
    await admin.waitForURL("**/rest-api/push/history?limit=3");
    await admin.goto(new URL("/access", options.address).href);
    await says(admin, "#account", /admin Sign out/);
    await says(admin, "#overview-card", /access=/);
    await inspect(admin, "overview");
  });
  await step("add a user", 30, async () => {
    await turnTo("users");
    await admin.locator("#users-add").click();
    await field("Name").fill("berta");
    await send();
    made = await secret();
    await says(admin, "#users", /Operator berta/);
    await inspect(admin, "users");
  });
  let encoder;
  await step("make a key", 30, async () => {
    await turnTo("keys");
    await admin.locator("#keys-add").click();
    await field("What it is for").fill("OBS in the lobby");
    await field("Name of the stream").fill("lobby");
    await send();
    encoder = await secret();
    if (!/^tpk_\w{26}$/.test(encoder)) {
      throw new Error(`the key is ${encoder}`);
    }
    await says(admin, "#keys", /OBS in the lobby .*publish lobby/);
    await inspect(admin, "keys");
  });
  await step("add a destination", 30, async () => {
    await turnTo("destinations");
    await admin.locator("#destinations-add").click();
    await field("Name").fill("out");
    await field("Platform").selectOption("custom");
    await field("Address").fill(options.rtmp.slice(0, -key.length - 1));
    await field("Stream key").fill(key);
    await send();
    await says(admin, "#destinations", /out .*•••/);
    await inspect(admin, "destinations");
  });
  await step("add an app", 30, async () => {
    await turnTo("apps");
    await admin.locator("#apps-add").click();
    await field("Name").fill("Shop");
    await field("appKey").fill("shop");
    await field("Address of the backend").fill("http://127.0.0.1:9/hooks");
    await field("Password for the backend").fill("tahini-of-the-backend");
    await field("User name for the backend").fill("wcs");
    await send();
    await says(admin, "#apps", /Shop appKey shop .*http:\/\/127\.0\.0\.1:9\/hooks/);
    await inspect(admin, "apps");
    await leaks(admin, encoder, made, "tahini-of-the-backend");
  });
  await step("go live as the operator", 60, async () => {
    operator = await pageOf("/");
    operator.on("request", (request) => headers.push(`${request.method()} ${new URL(request.url()).pathname} ${request.headers().authorization ?? ""}`));
    await operator.locator("#login").waitFor();
    await inspect(operator, "studio-login");
    await signIn(operator, "berta", made);
    await says(operator, "#account", /berta Sign out/);
    await operator.locator("label:has(#kind-named-1)").click();
    await operator.locator("#name").fill("show");
    await operator.locator("#go").click();
    await operator.waitForFunction(() => ["live", "failed"].includes(document.getElementById("status").dataset.phase));
    await says(operator, "#state", /Live on out/);
    await leaks(operator, made);
  });
  await inspect(operator, "studio-live");
  const whip = headers.find((line) => line.startsWith("POST /whip/show"));
  if (!/Bearer [\w-]+\.[\w-]+\.[\w-]+$/.test(whip)) {
    throw new Error(`the studio publishes by ${whip}`);
  }
  const others = headers.filter((line) => !line.includes("/whip/") && /(Bearer|Basic)/.test(line));
  if (others.length > 0) {
    throw new Error(`credentials in headers: ${others.join("; ")}`);
  }
  say("live", await displayed());
  for await (const line of input) {
    await step(line, 30, () => tasks[line]());
    say("done", await displayed());
  }
  await step("read the audit log", 30, async () => {
    await turnTo("audit");
    await says(admin, "#audit", /user\/create berta/);
    await inspect(admin, "audit");
    await leaks(admin, made, encoder);
  });
  say("stopped", await displayed());
  await step("close the browser", 20, () => browser.close());
}, displayed);
