// The page for access in a real browser, with a server whose answers each test decides. Needs web/dist: run `make build` first.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { faults, inEveryLook, photograph } from "./lib/accessibility.mjs";
import { launch, watchConsole } from "./lib/browser.mjs";
import { fill } from "./lib/mock-access.mjs";
import { MockServer } from "./lib/mock-server.mjs";

const timeout = 15_000;
let browser;

before(async () => {
  browser = await launch();
}, { timeout: 60_000 });
after(() => browser?.close());

async function open(t, part = "", setUp = () => undefined) {
  const mock = await MockServer.start(browser);
  const all = fill(mock);
  setUp(mock, all);
  const page = await browser.newPage({ viewport: { width: 1280, height: 860 } });
  page.setDefaultTimeout(timeout);
  const errors = watchConsole(page);
  t.after(async () => {
    await page.close();
    await mock.close().catch(() => undefined);
  });
  await page.goto(`${mock.address}access${part}`);
  const text = async (selector) => (await page.locator(selector).innerText()).replaceAll(/\s+/g, " ").trim();
  const says = (selector, pattern) => page.waitForFunction(
    ([where, source]) => new RegExp(source).test((document.querySelector(where)?.innerText ?? "").replaceAll(/\s+/g, " ")), [selector, pattern.source]);
  const count = (list, n) => page.waitForFunction(([id, wanted]) => document.querySelectorAll(`#${id} > li`).length === wanted, [list, n]);
  const sent = (path) => JSON.parse(mock.last(`POST /rest-api/${path}`).body);
  const send = () => page.locator("#form-send").click();
  const closed = (id = "form") => page.locator(`#${id}`).waitFor({ state: "hidden" });
  return { mock, all, page, errors, text, says, count, sent, send, closed };
}

const label = (page, text) => page.locator("#form").getByLabel(text, { exact: true });

test("says who may do what", async (t) => {
  const { page, text, says, errors } = await open(t);
  await says("#overview-card", /access=auto Clients on the server's own machine may do everything/);
  await says("#warnings", /self-signed/);
  assert.match(await text("#who"), /Who publish play push see control do everything stranger No No No No No No/);
  assert.match(await text("#who"), /user berta Yes acme\/\*, lobby-\* Yes acme.* No user vera No No No Yes acme\/\*, lobby-\* No No/);
  assert.equal(await page.locator("#open-mode").isVisible(), false);
  assert.deepEqual(errors, []);
});

test("a form is not emptied by the closing of the one before, and stays until its answer is there", async (t) => {
  let answer;
  const { mock, page, says, count, send, closed } = await open(t, "#users", (m) => {
    m.methods["user/create"] = () => new Promise((resolve) => (answer = resolve));
  });
  await count("users", 3);
  const fields = await page.evaluate(() => new Promise((resolve) => {
    const press = (id) => document.getElementById(id).click();
    press("users-add");
    press("form-cancel");
    press("users-add");
    document.getElementById("form").addEventListener("close", () => resolve(document.querySelectorAll("#form-list input").length), { once: true });
  }));
  assert.ok(fields > 0);
  await label(page, "Name").fill("carl");
  await send();
  for (const deadline = Date.now() + timeout; !answer; ) {
    assert.ok(Date.now() < deadline, "the form was not sent");
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  assert.ok(await page.locator("#form-cancel").isDisabled());
  await page.keyboard.press("Escape");
  assert.ok(await page.locator("#form").isVisible());
  answer(409);
  await says("#form-trouble", /the mock says 409/);
  await page.keyboard.press("Escape");
  await closed();
  assert.equal(mock.count("POST /rest-api/user/create"), 1);
});

test("adds, changes and removes a user", async (t) => {
  const { mock, page, text, says, count, sent, send, closed } = await open(t, "#users");
  await count("users", 3);
  assert.match(await text("#users > li:nth-child(2)"), /^Operator berta since .* Streams acme\/\*, lobby-\* Last signed in never Change Remove$/);
  assert.match(await text("#users > li:nth-child(3)"), /^Viewer vera from rest_users_file Streams acme\/\* Last signed in never$/);

  await page.locator("#users-add").click();
  await send();
  await says("#form-name-problem", /Give the user a name/);
  assert.equal(mock.count("POST /rest-api/user/create"), 0);
  await label(page, "Name").fill("admin");
  await send();
  await says("#form-trouble", /the mock says 409/);
  await label(page, "Name").fill("<b>carl</b>");
  await label(page, "Role").selectOption("viewer");
  await label(page, "Streams").fill("cam-1, cam-2  lobby*");
  await send();
  await closed();
  assert.deepEqual(sent("user/create"), { name: "<b>carl</b>", role: "viewer", streams: ["cam-1", "cam-2", "lobby*"] });
  await says("#secret", /made this password for <b>carl<\/b>, and shows it only now\. abcde-fghij-k2345-mn678/);
  await page.keyboard.press("Escape");
  await closed("secret");
  await page.waitForFunction(() => document.getElementById("secret-text").textContent === "");
  assert.doesNotMatch(await page.content(), /k2345/);
  await count("users", 4);

  await page.getByRole("button", { name: "Change berta" }).click();
  assert.equal(await label(page, "Streams").inputValue(), "acme/* lobby-*");
  await label(page, "New password").fill(" a b ");
  await label(page, "Streams").fill("");
  await send();
  await closed();
  assert.deepEqual(sent("user/update"), { name: "berta", role: "operator", streams: ["*"], password: " a b " });
  assert.doesNotMatch(await page.content(), / a b /);
  await says("#users > li:nth-child(2)", /Streams all/);

  await page.getByRole("button", { name: "Remove berta" }).click();
  await says("#confirm", /Remove the user “berta”\? This person is signed out everywhere at once/);
  await page.locator("#confirm-yes").click();
  await count("users", 3);
  assert.deepEqual(sent("user/remove"), { name: "berta" });
  assert.equal(await page.evaluate(() => document.activeElement.id), "users-title");
});

test("makes a key that is shown once, and removes it", async (t) => {
  const { page, text, says, count, sent, send, closed } = await open(t, "#keys");
  await count("keys", 2);
  assert.match(await text("#keys > li:nth-child(1)"), /^OBS in the lobby of admin May publish lobby; always as lobby Last used \S+ 192\.0\.2\.7 Good until removed Remove$/);
  assert.match(await text("#keys > li:nth-child(2)"), /May play acme\/\*; push acme\/\* to youtube-main, rtmps:\/\/live\.example\.com:443\/app\/\*/);
  await page.locator("#keys-add").click();
  await label(page, "What it is for").fill("OBS");
  await label(page, "Name of the stream").fill("stage");
  await label(page, "Push").check();
  await label(page, "youtube-main").check();
  await label(page, "Streams").fill("stage");
  await label(page, "It is good").selectOption("30");
  await label(page, "Publishers at a time").fill("one");
  await label(page, "It may also push to").fill("http://example.com");
  await send();
  await says("#form-urls-problem", /begins with rtmp/);
  await says("#form-limit-publishers-problem", /whole number/);
  await label(page, "Publishers at a time").fill("1");
  await label(page, "It may also push to").fill("");
  await send();
  await closed();
  const { expiresAt, ...request } = sent("key/create");
  assert.deepEqual(request, {
    label: "OBS", stream: "stage", grants: [
      { actions: ["publish"], streams: ["stage"], destinations: [], urls: [] },
      { actions: ["push"], streams: ["stage"], destinations: ["youtube-main"], urls: [] },
    ],
    limits: { publishers: 1, players: 0, pushes: 0, bitrateKbps: 0 },
  });
  assert.ok(Math.abs(expiresAt - Date.now() - 30 * 86_400_000) < 60_000);
  await says("#secret", /In OBS: server rtmp:\/\/localhost:1935\/live, stream key as below\. tpk_abcdefghijklmnopqrstuvwxyz/);
  await page.locator("#secret .main").click();
  await closed("secret");
  await page.waitForFunction(() => document.getElementById("secret-text").textContent === "");
  assert.doesNotMatch(await page.content(), /tpk_a/);
  await page.getByRole("button", { name: "Remove the key OBS in the lobby" }).click();
  await page.locator("#confirm-yes").click();
  await count("keys", 2);
  assert.deepEqual(sent("key/remove"), { id: "k7f3" });
});

test("revokes tokens", async (t) => {
  const { page, text, says, count, sent, send, closed } = await open(t, "#tokens");
  await count("tokens", 2);
  assert.match(await text("#tokens > li:nth-child(1)"), /^all tokens of user:carl If issued before .* Revoked by user::admin$/);
  await page.locator("#tokens-add").click();
  await send();
  await says("#form-id-problem", /Give the name/);
  await label(page, "Its name").fill("user:berta");
  await send();
  await closed();
  assert.deepEqual(sent("token/revoke"), { sub: "user:berta" });
  await count("tokens", 3);
  await page.locator("#tokens-add").click();
  await label(page, "Which").selectOption("jti");
  await label(page, "Its name").fill("x-1");
  await send();
  await closed();
  assert.deepEqual(sent("token/revoke"), { jti: "x-1" });
});

test("keeps destinations whose keys nobody sees", async (t) => {
  const { mock, page, text, says, count, sent, send, closed } = await open(t, "#destinations");
  await count("destinations", 2);
  assert.match(await text("#destinations > li:nth-child(2)"), /^youtube-main a\.rtmps\.youtube\.com\/live2\/••• For streams acme\/\* Pushes now 2 Change Remove$/);
  await page.locator("#destinations-add").click();
  await label(page, "Name").fill("Twitch!");
  await send();
  await says("#form-name-problem", /small letters/);
  await says("#form-key-problem", /Give the stream key/);
  await label(page, "Name").fill("twitch");
  await says("#form-key-hint", /People find it at www\.youtube\.com\/live_dashboard\./);
  await label(page, "Platform").selectOption("twitch");
  assert.equal(await label(page, "Address").isVisible(), false);
  await label(page, "Stream key").fill("live_sesame");
  assert.equal(await label(page, "Stream key").getAttribute("type"), "password");
  await send();
  await closed();
  assert.deepEqual(sent("destination/create"), { name: "twitch", streams: ["*"], rtmpUrl: "rtmps://live.twitch.tv/app/live_sesame", rtmpTransponderFullUrl: true, preset: "twitch" });
  await says("#destinations", /twitch live\.twitch\.tv\/app\/•••/);
  assert.doesNotMatch(await page.content(), /sesame/);

  await page.getByRole("button", { name: "Change twitch" }).click();
  await label(page, "For streams").fill("games-*");
  await send();
  await closed();
  assert.deepEqual(sent("destination/update"), { name: "twitch", streams: ["games-*"] }); // the key stays
  await page.getByRole("button", { name: "Change twitch" }).click();
  assert.equal(await label(page, "Stream key").isVisible(), false);
  await label(page, "Platform").selectOption("custom");
  await label(page, "Stream key").fill("live_tahini");
  await send();
  await says("#form-address-problem", /Give the address/);
  await label(page, "Platform").selectOption("youtube/backup");
  await send();
  await closed();
  assert.deepEqual(sent("destination/update"),
    { name: "twitch", streams: ["games-*"], rtmpUrl: "rtmps://b.rtmps.youtube.com:443/live2?backup=1/live_tahini", rtmpTransponderFullUrl: true, preset: "youtube" });
  await page.getByRole("button", { name: "Remove twitch" }).click();
  await page.locator("#confirm-yes").click();
  await count("destinations", 2);
  assert.equal(mock.count("POST /rest-api/destination/remove"), 1);
});

test("adds and changes an app", async (t) => {
  const { page, text, count, sent, send, closed } = await open(t, "#apps");
  await count("apps", 2);
  assert.match(await text("#apps > li:nth-child(1)"), /^Default appKey defaultApp Backend none Lets in as the settings say Methods – Change$/);
  await page.locator("#apps-add").click();
  await label(page, "Name").fill("Shop");
  await label(page, "appKey").fill("shop");
  await label(page, "Address of the backend").fill("https://shop.example/hooks");
  await label(page, "User name for the backend").fill("wcs");
  await label(page, "Password for the backend").fill("sesame");
  await label(page, "If the backend refuses").selectOption("FAIL");
  assert.equal(await label(page, "StreamKeepAliveEvent").isChecked(), false);
  await label(page, "Push").check();
  await label(page, "Streams").fill("shop-*");
  await label(page, "They may push to destinations").fill("youtube-main");
  await label(page, "Players at a time").fill("50");
  await label(page, "Bit rate of a publisher, kbit/s").fill("4000");
  await send();
  await closed();
  assert.deepEqual(sent("app/create"), {
    name: "Shop", key: "shop", url: "https://shop.example/hooks", username: "wcs", auth: "", password: "sesame", onError: "FAIL", methods: ["connect", "ConnectionStatusEvent", "publishStream"],
    grants: [{ actions: ["publish", "play", "push"], streams: ["shop-*"], destinations: ["youtube-main"], urls: [] }],
    limits: { publishers: 0, players: 50, pushes: 0, bitrateKbps: 4000 },
  });
  await count("apps", 3);
  assert.doesNotMatch(await page.content(), /sesame/);
  await page.getByRole("button", { name: "Change the app Studio of ACME" }).click();
  assert.equal(await label(page, "Password for the backend").inputValue(), "");
  await label(page, "Lets in").selectOption("token");
  await send();
  await closed();
  assert.deepEqual(sent("app/update"), { name: "Studio of ACME", key: "acme", url: "https://backend.example.com/hooks", username: "wcs", auth: "token", onError: "", methods: ["connect", "publishStream"], limits: { publishers: 2, players: 0, pushes: 0, bitrateKbps: 0 } });
});

test("signs somebody out", async (t) => {
  const { page, text, count, sent } = await open(t, "#logins");
  await count("logins", 2);
  assert.match(await text("#logins > li:nth-child(1)"), /^Administrator admin Chrome on Linux From 198\.51\.100\.4 Since /);
  assert.match(await text("#logins > li:nth-child(2)"), /^Operator berta curl\/8\.5\.0/);
  await page.getByRole("button", { name: /^Sign out berta/ }).click();
  await page.locator("#confirm-yes").click();
  await count("logins", 1);
  assert.deepEqual(sent("session/terminate"), { id: "s-2" });
});

test("shows the audit log, page by page", async (t) => {
  const { page, text, says, count } = await open(t, "#audit");
  await count("audit", 100);
  assert.match(await text("#audit > li:nth-child(1)"), /^Refused login, 12 times anonymous 198\.51\.100\.4, whip a valid token, key or password is needed \d\d:/);
  assert.match(await text("#audit > li:nth-child(2)"), /^Done user\/create user-1 admin 198\.51\.100\.4, rest/);
  await page.locator("#audit-older").click();
  await count("audit", 200);
  await page.locator("#audit-older").click();
  await count("audit", 250);
  assert.equal(await page.locator("#audit-older").isVisible(), false);
  await page.locator("#audit-do").fill("publish");
  await page.locator("#audit-who").fill("admin");
  await page.keyboard.press("Enter");
  await count("audit", 83);
  await page.locator("#audit-who").fill("nobody");
  await page.keyboard.press("Enter");
  await says("#audit-empty", /Nothing was written down/);
});

test("hostile names do nothing in any list, and turn no words around them", async (t) => {
  const bad = "\u202e<img src=x onerror=alert(1)>";
  const grant = { actions: ["push"], streams: [bad, "cam-*"], destinations: [bad], urls: [bad] };
  const { page, errors, says, count, closed } = await open(t, "", (m, all) => {
    m.me = { ...m.me, name: bad };
    Object.assign(all, {
      users: [{ name: bad, role: bad, streams: [bad, "cam-*"], source: "state", created: 1 }],
      keys: [{ id: bad, label: bad, owner: bad, stream: bad, lastUsedAt: 1, lastUsedFrom: bad, createdAt: 1, grants: [grant] }],
      revocations: ["sub", "jti", "kid"].map((kind) => ({ [kind]: bad, before: 1, at: 1, by: bad })),
      destinations: [{ name: bad, target: `rtmp://${bad}/***`, streams: [bad, "cam-*"], app: bad, usedBy: 1 }],
      apps: [{ name: bad, key: bad, url: bad, methods: [bad], username: bad, auth: bad, source: "state", grants: [grant] }],
      logins: [{ id: bad, name: bad, role: bad, address: bad, created: 1, lastSeen: 1, userAgent: bad }],
      audit: [1, 2].map((n) => ({
        id: n, at: new Date(n).toISOString(), who: { kind: bad, sub: n === 1 ? bad : "" }, from: bad, via: bad, origin: bad, do: bad, ok: n === 1, why: `no ${bad}, as ${bad} says`, count: n, object: bad, stream: bad,
      })),
      warnings: [`${bad} may do everything`],
    });
    m.methods["access/report"] = () => ({ mode: bad, warnings: all.warnings, who: [`user ${bad}`, `key ${bad}`, bad].map((who) => ({ who, action: bad, allowed: true, words: `the streams ${bad}, to ${bad}` })) });
  });
  // A name that stands alone is a paragraph of its own. Within other words it may not steer the direction of the text.
  const inspect = async (part) => {
    const [made, turned] = await page.evaluate((name) => {
      const nodes = [...document.querySelectorAll("body, body *")];
      const texts = nodes.flatMap((one) => [one.title, one.ariaLabel, ...[...one.childNodes].filter((child) => child instanceof Text).map(({ data }) => data)]);
      return [document.querySelectorAll("main :is(img, script), dialog :is(img, script)").length, texts.filter((text) => text?.includes("\u202e") && text !== name)];
    }, bad);
    assert.deepEqual([made, turned], [0, []], part);
  };
  const press = (button) => button.dispatchEvent("click"); // the page is not looked at, so nothing waits until it stands still
  await says("#who", /user \ufffd<img/);
  await inspect("overview");
  for (const [part, n, button, title] of [["users", 1, "Remove", "user"], ["keys", 1, "Remove", "key"], ["tokens", 3], ["destinations", 1, "Remove", "destination"], ["apps", 1, "Remove", "app"], ["logins", 1, "Sign out", "Sign"], ["audit", 2]]) {
    await press(page.locator(`#tabs a[href="#${part}"]`));
    await count(part, n);
    await inspect(part);
    if (button) {
      await press(page.locator(`#${part} button`, { hasText: button }));
      await says("#confirm", new RegExp(`${title}.* “\ufffd<img src=x onerror=alert\\(1\\)>”`));
      await inspect(`${part}, asking`);
      await press(page.locator("#confirm-no"));
    }
    const change = page.locator(`#${part} button`, { hasText: "Change" });
    if (await change.count() > 0) {
      await press(change);
      await page.locator("#form").waitFor();
      await says("#form", /“\ufffd<img/);
      await inspect(`${part}, changing`);
      await press(page.locator("#form-cancel"));
      await closed();
    }
  }
  assert.deepEqual(errors, []);
});

test("an operator sees the own keys, and the names of destinations", async (t) => {
  const { page, count, mock } = await open(t, "#users", (m, all) => {
    m.me = { ...m.me, kind: "user", name: "berta", role: "operator", actions: ["publish", "play", "push", "read", "control"] };
    all.destinations = all.destinations.map(({ name }) => ({ name }));
  });
  await count("keys", 2);
  assert.deepEqual(await page.locator("#tabs a:visible").allInnerTexts(), ["Keys", "Destinations"]);
  assert.equal(mock.count("POST /rest-api/user/find_all"), 0);
  await page.locator("#tabs a", { hasText: "Destinations" }).click();
  await count("destinations", 2);
  assert.equal(await page.locator("#destinations-card button:visible").count(), 0);
});

test("a viewer is told that the page is not for him, and somebody unknown signs in", async (t) => {
  const { page, says, mock } = await open(t, "", (m) => {
    m.me = { ...m.me, kind: "user", name: "vera", role: "viewer", actions: ["read"] };
  });
  await says("#trouble", /You may not do that.*for administrators and operators/);
  assert.equal(await page.locator("#board").isVisible(), false);
  mock.login = "admin:sesame";
  mock.me = { ...mock.me, role: "admin", actions: ["admin"] };
  await page.reload();
  await page.locator("#login").waitFor();
  assert.equal(await page.evaluate(() => document.activeElement.id), "user");
  await page.keyboard.type("admin");
  await page.keyboard.press("Tab");
  await page.keyboard.type("sesame");
  await page.keyboard.press("Enter");
  await says("#account", /admin Sign out/);
  await says("#overview-card", /access=auto/);
});

test("every look is accessible and fits", async (t) => {
  const all = await open(t, "", (m, lists) => {
    m.me = { ...m.me, kind: "user", name: "somebody-with-a-long-name", mode: "open" };
    
  });
  const { page, count, says } = all;
  const inspect = (what) => inEveryLook(page, async (look) => {
    assert.deepEqual(await faults(page), [], `${what}, ${look}`);
    const [wide, width] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
    assert.ok(wide <= width, `${what}, ${look}: ${wide} px wide of ${width}`);
    const spilt = await page.evaluate(() => [...document.querySelectorAll(".rows :is(.fact, .who, .why, .row-actions)")].filter((cell) => cell.scrollWidth > cell.clientWidth + 1)
      .map((cell) => cell.textContent));
    assert.deepEqual(spilt, [], `${what}, ${look}: what does not fit its column`);
    await photograph(page, `access-${what}-${look}`);
  });
  await says("#overview-card", /access=open/);
  await inspect("overview");
  for (const part of ["users", "keys", "tokens", "destinations", "apps", "logins"]) {
    await page.locator(`#tabs a[href="#${part}"]`).click();
    await count(part, { users: 3 }[part] ?? 2);
    await inspect(part);
  }
  await page.locator("#tabs a[href='#audit']").click();
  await count("audit", 100);
  all.all.audit.length = 12;
  await page.locator("#audit-filter button").click();
  await count("audit", 12);
  await inspect("audit");
  for (const [part, button, what] of [["users", "users-add", "user"], ["keys", "keys-add", "key"], ["destinations", "destinations-add", "destination"], ["apps", "apps-add", "app"]]) {
    await page.locator(`#tabs a[href="#${part}"]`).click();
    await page.locator(`#${button}`).click();
    await page.locator("#form").waitFor();
    if (part === "keys") {
      await label(page, "Push").check();
    }
    if (part === "apps") {
      await label(page, "Address of the backend").fill("https://backend.example.com");
    }
    await inspect(`${what}-form`);
    await page.keyboard.press("Escape");
  }
});
