// The studio's destinations: what stays, in which order, under which name, and where it is kept.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { launch } from "./lib/browser.mjs";
import { push } from "./lib/mock-server.mjs";
import { looks, openStudio, until } from "./lib/studio-page.mjs";

let browser;

before(async () => {
  browser = await launch();
}, { timeout: 60_000 });
after(() => browser?.close());

/** The studio with a server that starts every push. Its REST knows the destinations in `saved`. */
async function open(t, prepare = () => {}) {
  const pushes = [];
  const saved = [];
  const all = await openStudio(t, browser, (mock) => {
    mock.startup = (n, request) => {
      const made = push({ mediaSessionId: `push-${n}`, rtmpUrl: request.rtmpUrl, since: Date.now() });
      pushes.push(made);
      return made;
    };
    mock.find = () => (pushes.length > 0 ? pushes : 404);
    mock.destinations = () => saved;
    prepare(mock, saved);
  });
  const { page } = all;
  const titles = () => page.locator(".destination h3").allInnerTexts();
  const add = async (n, kind, fields = {}) => {
    await page.locator("#add").click();
    await choose(page, n, kind);
    for (const [id, value] of Object.entries(fields)) {
      await page.locator(`#${id}-${n}`).fill(value);
    }
  };
  const stored = () => page.evaluate(() => JSON.parse(localStorage.getItem("transponder.destinations") ?? "[]"));
  return { ...all, pushes, saved, titles, add, stored };
}

/** Chooses the kind of a destination: by its button, or in the list of platforms. */
async function choose(page, n, kind) {
  if (await page.locator(`#kind-${kind}-${n}`).count() > 0) {
    await page.locator(`label:has(#kind-${kind}-${n})`).click();
  } else {
    await page.locator(`label:has(#kind-listed-${n})`).click();
    await page.locator(`#platform-${n}`).selectOption(kind);
  }
}

test("a name, an order, and one that is left out of this show", async (t) => {
  const { page, errors, phase, state, text, start, pushes, titles, add, stored } = await open(t);
  await add(2, "server", { address: "rtmp://one.example/live", called: "Main stage" });
  await add(3, "server", { address: "rtmp://two.example/live" });
  await add(4, "twitch", { key: "live_1" });
  assert.deepEqual(await titles(), ["localhost:1935", "Main stage", "two.example", "Twitch"]);
  for (const n of [2, 3, 4]) {
    await page.locator(`label:has(#keep-${n})`).click();
  }
  assert.equal(await page.locator("#up-1").isDisabled(), true);
  assert.equal(await page.locator("#down-4").isDisabled(), true);
  await page.locator("#up-3").click();
  await page.locator("#up-3").focus();
  await page.keyboard.press("Enter");
  assert.deepEqual(await titles(), ["two.example", "localhost:1935", "Main stage", "Twitch"]);
  assert.equal(await page.evaluate(() => document.activeElement.id), "down-3"); // the button that was pressed cannot be pressed again
  await page.locator("#down-2").click();
  assert.deepEqual(await titles(), ["two.example", "localhost:1935", "Twitch", "Main stage"]);

  await page.locator("label:has(#on-4)").click();
  assert.equal(await page.locator("#key-4").isVisible(), false);
  assert.equal(await page.locator("#check-4").isVisible(), false);
  await page.locator("#key-4").evaluate((field) => (field.value = "")); // not asked for: the stream does not go there
  await start();
  await state("Live on all 3 destinations");
  assert.deepEqual(pushes.map(({ rtmpUrl }) => rtmpUrl).sort(), ["rtmp://localhost:1935/live", "rtmp://one.example/live", "rtmp://two.example/live"]);
  assert.equal(await page.locator("#tools-2").isVisible(), false);
  assert.deepEqual((await stored()).map(({ address, kind, name, on }) => [kind, address, name, on]),
    [["server", "rtmp://two.example/live", "", true], ["twitch", "", "", false], ["server", "rtmp://one.example/live", "Main stage", true]]);

  await page.locator("#begin-4").click(); // it joins the show after all, with what it needs
  assert.match(await text("key-4-problem"), /stream key of Twitch/);
  assert.equal(await page.locator("#on-4").isChecked(), true);
  await page.locator("#key-4").fill("live_2");
  await page.locator("#begin-4").click();
  await until(() => pushes.length === 4, "the fourth push");
  await page.locator("#go").click();
  await phase("idle");
  await page.locator("label:has(#on-2)").click();

  await page.reload();
  await page.waitForFunction(() => document.querySelectorAll(".destination").length === 4);
  assert.deepEqual(await titles(), ["two.example", "localhost:1935", "Twitch", "Main stage"]);
  assert.deepEqual(await page.locator(".destination input[id^=on-]").evaluateAll((all) => all.map(({ checked }) => checked)), [true, true, true, false]);
  for (const n of [1, 2, 3]) {
    await page.locator(`label:has(#on-${n})`).click();
  }
  await page.locator("#go").click(); // all are off
  assert.equal(await text("destinations-problem"), "Switch on a destination, or add one.");
  assert.equal(await page.evaluate(() => document.activeElement.id), "add");
  await page.locator("label:has(#on-2)").click();
  assert.equal(await text("destinations-problem"), "");
  assert.deepEqual(errors, []);
});

test("two on one host can be told apart, and a copy is one more", async (t) => {
  const { page, phase, state, text, start, titles, pushes, add, stored } = await open(t);
  await add(2, "server", { address: "rtmp://one.example/live" });
  await add(3, "server", { address: "rtmp://one.example/other" });
  assert.deepEqual(await titles(), ["localhost:1935", "one.example (1)", "one.example (2)"]);
  assert.equal(await page.locator("#check-3").getAttribute("aria-description"), "one.example (2)");
  await page.locator("#called-3").fill("Other");
  assert.deepEqual(await titles(), ["localhost:1935", "one.example", "Other"]);
  await add(4, "youtube", { key: "abcd-1" });
  await page.locator("label:has(#keep-4)").click();
  await page.locator("label:has(#keep-key-4)").click();
  await page.locator("#called-4").fill("Main");
  await page.locator("#duplicate-4").click();
  assert.equal(await page.evaluate(() => document.activeElement.id), "kind-youtube-5");
  assert.equal(await page.locator("#key-5").inputValue(), "abcd-1");
  assert.deepEqual(await titles(), ["localhost:1935", "one.example", "Other", "Main", "YouTube"]);
  await page.locator("#key-5").fill("abcd-2");
  await page.locator("#key-5").blur();
  assert.deepEqual((await stored()).map(({ key }) => key), ["abcd-1", "abcd-2"]);
  await page.locator("#called-5").fill("Main");
  assert.deepEqual((await titles()).slice(3), ["Main (1)", "Main (2)"]);
  await start();
  await state("Live on all 5 destinations");
  assert.equal(pushes.length, 5);
  assert.equal(await text("whose-5"), "Main (2):");
  await page.locator("#go").click();
  await phase("idle");
  await page.locator("label:has(#keep-key-5)").click();
  assert.deepEqual((await stored()).map(({ key }) => key), ["abcd-1", ""]);
  await page.locator("#remove-4").click();
  assert.deepEqual((await stored()).map(({ key }) => key), [""]);
  assert.deepEqual((await titles()).slice(3), ["Main"]);
});

test("an address with a password or a key is kept only with the key", async (t) => {
  const { page, add, stored } = await open(t);
  await add(2, "custom", { address: "rtmps://live.example/app/secret-key" });
  await add(3, "server", { address: "rtmp://me:pass@live.example/app" });
  for (const n of [2, 3]) {
    await page.locator(`label:has(#keep-${n})`).click();
    assert.equal(await page.locator(`#keep-key-hint-${n}`).isVisible(), true);
  }
  assert.deepEqual((await stored()).map(({ address }) => address), ["", ""]);
  await page.locator("label:has(#keep-key-3)").click();
  assert.deepEqual((await stored()).map(({ address }) => address), ["", "rtmp://me:pass@live.example/app"]);
  await page.locator("label:has(#keep-3)").click();
  assert.deepEqual((await stored()).map(({ address }) => address), [""]);
});

test("every platform asks for what it gives out, and gets the whole address", async (t) => {
  const { page, state, pushes, start, add, titles } = await open(t);
  const own = { kick: "rtmps://a1.example:443/app", linkedin: "rtmps://b2.example:443/live", x: "rtmps://va.pscp.tv:443/x", tiktok: "rtmp://c3.example/stage" };
  await choose(page, 1, "kick"); // no platform's key goes to the address of another one
  assert.equal(await page.locator("#address-1").inputValue(), "");
  await page.locator("#address-1").fill("rtmps://kick.example/app");
  await choose(page, 1, "x");
  assert.equal(await page.locator("#address-1").inputValue(), "");
  await choose(page, 1, "kick");
  assert.equal(await page.locator("#address-1").inputValue(), "rtmps://kick.example/app");
  await choose(page, 1, "server");
  assert.equal(await page.locator("#address-1").inputValue(), "rtmp://localhost:1935/live");
  const common = { instagram: "rtmps://live-upload.instagram.com:443/rtmp", vimeo: "rtmps://rtmp-global.cloud.vimeo.com:443/live", restream: "rtmp://live.restream.io/live" };
  let n = 1;
  for (const [kind, address] of Object.entries({ ...own, ...common })) {
    await add(++n, kind, { key: `key-${kind}`, ...(kind in own && { address }) });
    assert.equal(await page.locator(`#address-${n}`).isVisible(), kind in own, kind);
    assert.notEqual(await page.locator(`#key-hint-${n}`).innerText(), "", kind);
    if (kind in own) {
      assert.match(await page.locator(`#address-hint-${n}`).innerText(), /Stream URL|address for each/, kind);
    }
  }
  assert.deepEqual(await titles(), ["localhost:1935", "Kick", "LinkedIn", "X", "TikTok", "Instagram", "Vimeo", "Restream"]);
  await start();
  await state("Live on all 8 destinations");
  const wanted = Object.entries({ ...own, ...common }).map(([kind, address]) => `${address}/key-${kind}`);
  assert.deepEqual(pushes.map(({ rtmpUrl }) => rtmpUrl).sort(), [...wanted, "rtmp://localhost:1935/live"].sort());
});

describe("on the server", () => {
  test("a destination is saved under a name, and its key leaves the page", async (t) => {
    const { mock, page, phase, text, start, pushes, titles, stored } = await open(t, (mock, saved) => {
      mock.methods["destination/create"] = ({ name }) => {
        if (name === "taken") {
          return 409;
        }
        saved.push({ name });
        return {};
      };
    });
    await choose(page, 1, "youtube");
    await page.locator("#key-1").fill("abcd-1234");
    await page.locator("label:has(#keep-1)").click();
    await page.locator("label:has(#keep-key-1)").click();
    await page.locator("#save-1").click();
    assert.equal(await page.evaluate(() => document.activeElement.id), "save-name-1");
    await page.keyboard.type("Main Channel");
    await page.keyboard.press("Enter"); // it saves, and starts nothing
    assert.match(await text("save-name-1-problem"), /small letters/);
    await page.locator("#save-name-1").fill("taken");
    await page.locator("#save-go-1").click();
    await page.locator("#save-problem-1").waitFor();
    assert.match(await text("save-problem-1"), /has that already.*Choose another name/s);
    await page.locator("#save-name-1").fill("main-channel");
    await page.locator("#save-go-1").click();
    await page.waitForFunction(() => document.getElementById("named-1").value === "main-channel" && document.getElementById("kind-named-1").checked);
    assert.deepEqual(JSON.parse(mock.last("POST /rest-api/destination/create").body),
      { name: "main-channel", streams: ["*"], rtmpUrl: "rtmps://a.rtmps.youtube.com/live2/abcd-1234", rtmpTransponderFullUrl: true });
    assert.deepEqual((await stored()).map(({ kind, address, key }) => [kind, address, key]), [["named", "main-channel", ""]]);
    assert.equal(await page.locator("#key-1").inputValue(), "");
    assert.equal(await page.locator("#save-1").isVisible(), false);
    assert.equal(mock.count("POST /whip/test"), 0);
    await start();
    await phase("live");
    assert.deepEqual(pushes.map(({ rtmpUrl }) => rtmpUrl), ["destination://main-channel"]);
    assert.deepEqual(await titles(), ["main-channel"]);
  });

  for (const [who, role, destination, options] of [
    ["an operator, options that are told", "operator", { name: "main", options: {} }, { onSourceLoss: "hold", slate: "logo.png" }],
    ["an operator, options that end it", "operator", { name: "main", options: { onSourceLoss: "end" } }, { onSourceLoss: "end" }],
    ["an operator, options that are not told", "operator", { name: "main" }, undefined],
    ["an administrator, no options", "admin", { name: "main" }, { onSourceLoss: "hold", slate: "logo.png" }],
    ["an administrator, a slate of its own", "admin", { name: "main", options: { slate: "main.png" } }, { onSourceLoss: "hold", slate: "main.png" }],
  ]) {
    test(`a push to it waits with the chosen picture: ${who}`, async (t) => {
      const { page, phase, start, mock } = await open(t, (mock, saved) => {
        saved.push(destination);
        mock.me = { ...mock.me, role, actions: ["publish", "play", "push", "read", "control", ...(role === "admin" ? ["admin"] : [])] };
      });
      await page.evaluate(() => localStorage.setItem("transponder.slate", JSON.stringify("logo.png")));
      await choose(page, 1, "named");
      await start();
      await phase("live");
      assert.deepEqual(JSON.parse(mock.last("POST /rest-api/push/startup").body).options, options);
    });
  }

  test("only administrators save", async (t) => {
    const { page } = await open(t, (mock) => (mock.me = { ...mock.me, role: "operator", actions: ["publish", "play", "push", "read", "control"] }));
    assert.equal(await page.locator("#duplicate-1").isVisible(), true);
    assert.equal(await page.locator("#save-1").isVisible(), false);
  });
});

test("hostile names and what another version has stored", async (t) => {
  const { page, errors, phase, start, titles, stored } = await open(t);
  await page.evaluate(() => localStorage.setItem("transponder.destinations", JSON.stringify([
    { kind: "twitch", address: "", key: "old_1" }, // without a name, as the first version
    { kind: "server", address: "rtmp://one.example/live", key: "", id: "a", name: "<img src=x onerror=alert(1)>", on: true },
    { kind: "server", address: "rtmp://two.example/live", key: "", id: "b", name: `\u202Eevil\u0000\u2066\n${"w".repeat(300)}`, on: "no" },
    { kind: "constructor", address: "", key: "" }, { kind: "server" }, null, 7, "x", [],
    { kind: "custom", address: "javascript:alert(1)", key: "k", id: "c", name: 5, on: false },
  ])));
  await page.reload();
  await page.waitForFunction(() => document.querySelectorAll(".destination").length === 4);
  assert.deepEqual(await titles(), ["Twitch", "<img src=x onerror=alert(1)>", `evil ${"w".repeat(55)}`, "Destination"]);
  assert.equal(await page.locator(".destination img").count(), 0);
  await start();
  await phase("live");
  assert.deepEqual((await stored()).map(({ key }) => key), ["old_1", "", "", "k"]);
  const [wide, width] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  assert.ok(wide <= width, `${wide} px wide of ${width}`);
  assert.deepEqual(errors, []);
});

test("every look", async (t) => {
  const { page, add } = await open(t);
  await page.waitForFunction(() => document.getElementById("video").videoWidth > 0);
  await choose(page, 1, "kick");
  await page.locator("label:has(#keep-1)").click();
  await page.locator("#save-1").click();
  await page.locator("#save-go-1").click();
  await add(2, "server", { address: "rtmp://one.example/live", called: "The main stage with a rather long name for a telephone" });
  await page.locator("label:has(#on-2)").click();
  await looks(page, "destinations");
  await page.setViewportSize({ width: 360, height: 780 });
  const [wide, width] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  assert.ok(wide <= width, `${wide} px wide of ${width}`);
});
