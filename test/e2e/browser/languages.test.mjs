// The pages in every language. The compiler sees to it that no language lacks a text. Needs web/dist: run `make build` first.

import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { after, before, describe, test } from "node:test";
import { faults, photograph } from "./lib/accessibility.mjs";
import { launch, watchConsole } from "./lib/browser.mjs";
import { several, showStream } from "./lib/console-world.mjs";
import { fill } from "./lib/mock-access.mjs";
import { MockServer, push } from "./lib/mock-server.mjs";
import { openStudio, until } from "./lib/studio-page.mjs";
import { destinationWords, reasons } from "./.build/web/pages/words.js";

const pages = new URL("../../../web/pages/", import.meta.url);
const codes = ["de", "es", "pt", "ru", "zh"];
const all = Object.fromEntries(await Promise.all(codes.map(async (code) => [code, (await import(`./.build/web/pages/languages/${code}.js`)).default])));
const english = Object.keys(all.de);

/** The forms of a translation: more than one if it depends on a number. */
const forms = (text) => (typeof text === "string" ? [["", text]] : Object.entries(text));

const places = (text) => [...new Set([...text.matchAll(/\{\w+\}/g)].map(([place]) => place))].sort();

describe("the translations", () => {
  for (const code of codes) {
    const texts = all[code];
    test(`${code}: the places and the forms`, () => {
      const { pluralCategories } = new Intl.PluralRules(code).resolvedOptions();
      for (const [text, translation] of Object.entries(texts)) {
        for (const [form, translated] of forms(translation)) {
          const left = form === "one" ? places(text).filter((place) => translated.includes(place) || place !== "{n}") : places(text);
          assert.deepEqual(places(translated), left, `${text}: ${translated}`);
          assert.equal(translated, translated.trim(), text);
        }
        if (typeof translation !== "string") {
          assert.deepEqual(Object.keys(translation).sort(), [...pluralCategories].sort(), text);
        }
      }
    });

    test(`${code}: a button is named as it is called`, () => {
      for (const [text, translation] of Object.entries(texts)) {
        for (const [, name] of text.matchAll(/“([^”]+)”/g)) {
          assert.ok(texts[name] === undefined || translation.includes(texts[name]), `${translation}: must name “${texts[name]}”`);
        }
        assert.ok(!/press(ed)? (Start|Stop)\b/i.test(text) || translation.includes(texts.Start), `${translation}: must name “${texts.Start}”`);
      }
    });

    test(`${code}: nothing is English`, () => {
      const own = { ru: /[а-яё]/i, zh: /\p{Script=Han}/u }[code];
      for (const [text, translation] of Object.entries(texts)) {
        const words = text.replaceAll(/\{\w+\}|kbit|Mbit|Full HD, 1080p/g, "").match(/[a-z]{3,}/gi) ?? [];
        for (const [, translated] of forms(translation)) {
          assert.ok(own ? words.length === 0 || own.test(translated) : words.length < 2 || translated !== text, translated);
          assert.doesNotMatch(translated.replaceAll(/\/\S+|tune zerolatency|“?Get URL”?|Stream URL and key/g, ""), englishWords, text);
        }
      }
    });
  }

  test("every text of the pages has a translation, and no translation is left over", async () => {
    const names = await readdir(pages);
    const html = (await Promise.all(names.filter((name) => name.endsWith(".html")).map((name) => readFile(new URL(name, pages), "utf8"))))
      .filter((page) => page.includes("data-translated"));
    assert.equal(html.length, 6);
    for (const page of html) {
      for (const text of textsOf(page)) {
        assert.ok(english.includes(text) || sameInAll.test(text), `“${text}” is in a page and in no language`);
      }
    }
    const sources = await Promise.all(names.filter((name) => name.endsWith(".ts")).map((name) => readFile(new URL(name, pages), "utf8")));
    const used = [...html, ...sources].join("\n");
    const derived = reasons().map((reason) => destinationWords({ reason }, true).advice);
    for (const text of derived) {
      assert.ok(english.includes(text), `“${text}” is in no language`);
    }
    for (const text of english) {
      assert.ok(used.includes(text) || derived.includes(text), `“${text}” is in the languages and on no page`);
    }
  });
});

/** Words that stand in most English sentences, and in no other of the languages. */
const englishWords = /\b(the|this|that|your|with|and|of|is|not|you)\b/i;

/** Names, numbers and examples, which are the same everywhere. */
const sameInAll = /^([^a-z]*|– dBFS|Transponder|YouTube|Facebook|Twitch|main-channel|jingle\.wav|ffmpeg .*|appKey|publish, login, user\/create …)$/;

/** The texts and the spoken attributes of a page. */
function textsOf(html) {
  const body = html.replaceAll(/<svg.*?<\/svg>|<noscript.*?<\/noscript>|<!doctype[^>]*>|<meta name="(?!description)[^>]*>/gs, "");
  const attributes = [...body.matchAll(/ (?:alt|aria-label|content|placeholder|title)="([^"]+)"/g)];
  const texts = [...body.matchAll(/>([^<>]+)/g)];
  return [...attributes, ...texts].map(([, text]) => text.trim()).filter((text) => text !== "");
}

/** The English that a page shows, or would tell: its texts and attributes, but not what it marks as English. */
function englishOf(page, texts) {
  return page.evaluate(({ known, words }) => {
    const found = [];
    const judge = (text, where) => {
      if (known.includes(text) || new RegExp(words, "i").test(text)) {
        found.push(`${where}: ${text}`);
      }
    };
    for (const part of document.querySelectorAll("*:not([lang=en], [lang=en] *, code, kbd, noscript, script, style, option[lang])")) {
      for (const name of ["alt", "aria-label", "placeholder", "title"]) {
        judge((part.getAttribute(name) ?? "").trim(), name);
      }
      for (const node of part.childNodes) {
        judge(node.nodeType === Node.TEXT_NODE ? node.nodeValue.trim() : "", `${part.tagName}#${part.id}`);
      }
    }
    return found;
  }, { known: english.filter((text) => texts[text] !== text), words: englishWords.source });
}

/** Nothing of a page is English, and all of it fits, on a phone and on a desk. */
async function judge(page, code, what) {
  assert.equal(await page.evaluate(() => document.documentElement.lang), attributes[code]);
  assert.deepEqual(await englishOf(page, all[code]), [], what);
  await page.setViewportSize({ width: 360, height: 780 });
  const [wide, width] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  const cut = await page.evaluate(() => [...document.querySelectorAll(".rows .chip")].filter((chip) => chip.scrollWidth > chip.clientWidth).map((chip) => chip.innerText));
  assert.deepEqual(cut, [], `${code}: words that leave their frame`);
  assert.ok(wide <= width, `${what}: ${wide} px wide of ${width}`);
  await photograph(page, `language-${code}-${what}-phone`);
  await page.setViewportSize({ width: 1280, height: 860 });
  await photograph(page, `language-${code}-${what}`);
}

const attributes = { de: "de", es: "es", pt: "pt-BR", ru: "ru", zh: "zh-Hans" };

let browser;

before(async () => {
  browser = await launch();
}, { timeout: 60_000 });
after(() => browser?.close());

const chosen = (page) => page.evaluate(() => [document.documentElement.lang, document.getElementById("go").textContent]);

describe("the studio", () => {
  for (const code of codes) {
    test(`in ${code}, off air and live`, async (t) => {
      const { page, errors, phase, text, start } = await openStudio(t, browser, (mock) => {
        mock.find = () => [push({ status: "RECONNECTING", reason: "tcp_refused", attempts: 3 })];
      }, { locale: code });
      assert.equal(await text("go"), all[code].Start);
      await page.evaluate(() => document.querySelectorAll("details").forEach((part) => (part.open = true)));
      await page.waitForFunction(() => !document.querySelector("[data-piece]"));
      await judge(page, code, "off air");
      await start("");
      assert.equal(await text("name-problem"), all[code]["Give the stream a name."]);
      await start();
      await phase("pushing");
      await page.waitForFunction((wanted) => document.getElementById("state").textContent === wanted,
        all[code]["Connection to {host} lost; trying again"].replace("{host}", "localhost:1935"));
      await judge(page, code, "live");
      assert.deepEqual(await faults(page), []);
      assert.deepEqual(errors, []);
    });
  }

  test("in the first language of the browser that there is, with the numbers of its country", async (t) => {
    const { page, phase, text, start } = await openStudio(t, browser, undefined, {
      locale: "de-AT", script: () => Object.defineProperty(navigator, "languages", { value: ["fr-FR", "de-AT", "en"] }),
    });
    assert.equal(await page.evaluate(() => document.documentElement.lang), "de");
    await start();
    await phase("live");
    assert.equal(await text("bitrate-1"), "2,5 Mbit/s");
    assert.equal(await text("frames-1"), (1234).toLocaleString("de-AT"));
  });

  test("a choice is remembered, and the fields stay", async (t) => {
    const { page, phase, text, start } = await openStudio(t, browser);
    await page.locator("#name").fill("morning");
    await page.locator("#address-1").fill("rtmp://127.0.0.1/other");
    await page.locator("#language").selectOption("ru");
    await page.waitForFunction(() => document.documentElement.lang === "ru" && document.getElementById("address-1"));
    assert.deepEqual(await chosen(page), ["ru", all.ru.Start]);
    assert.equal(await page.locator("#name").inputValue(), "morning");
    assert.equal(await page.locator("#address-1").inputValue(), "rtmp://127.0.0.1/other");
    await page.reload();
    await page.waitForFunction(() => document.getElementById("language")?.value === "ru");

    await start("morning");
    await phase("live");
    await page.locator("#language").selectOption("");
    await until(async () => (await text("language-note")) === all.ru["The language changes when the page is loaded again."], "the note");
    assert.equal(await page.evaluate(() => document.getElementById("status").dataset.phase), "live");
  });

  test("a stream is named in letters of one's own", async (t) => {
    const { mock, page, phase, start, text } = await openStudio(t, browser, undefined, { locale: "ru" });
    await start("мой эфир");
    assert.equal(await text("name-problem"), all.ru["Use only letters, digits, and - . _ ~, without spaces, 100 at most."]);
    await start("утро-и\u0306"); // the last letter as two characters, as some keyboards give it
    await phase("live");
    assert.equal(mock.count(`POST /whip/${encodeURIComponent("утро-й")}`), 1);
    assert.equal(JSON.parse(mock.last("POST /rest-api/push/startup").body).streamName, "утро-й");
    await page.locator("#share summary").click();
    await page.waitForFunction(() => document.getElementById("share-link").textContent !== "");
    assert.equal(new URL(await text("share-link")).pathname, `/watch/${encodeURIComponent("утро-й")}`);
    await page.goto(`${mock.address}watch/${encodeURIComponent("утро-й")}`);
    await page.waitForFunction((title) => document.getElementById("title").textContent === title, all.ru["This stream is not live now."]);
    assert.match(await page.title(), /утро-й/);
    assert.equal(await text("name"), all.ru["Watch {name}"].replace("{name}", "утро-й"));
  });

  test("a language that cannot be loaded leaves the page English, and whole", async (t) => {
    const { page, phase, start } = await openStudio(t, browser, (mock) => {
      mock.missing = (path) => path === "/languages/de.js";
    }, { locale: "de" });
    assert.deepEqual(await chosen(page), ["en", "Start"]);
    await start();
    await phase("live");
  });
});

/** Opens a page of a mock server in a language. */
async function openPage(t, code, path, setUp) {
  const mock = await MockServer.start(browser);
  setUp(mock);
  const page = await browser.newPage({ locale: code, viewport: { width: 1280, height: 860 } });
  page.setDefaultTimeout(15_000);
  const errors = watchConsole(page);
  t.after(async () => {
    await page.close();
    await mock.close().catch(() => undefined);
  });
  await page.goto(mock.address + path);
  return { mock, page, errors };
}

/** The text of a part of a page is this one, in the language. */
const says = (page, selector, text) => page.waitForFunction(([where, wanted]) => document.querySelector(where)?.innerText.trim() === wanted, [selector, text]);

test("the pages to sign in and to watch, when something is wrong", async (t) => {
  const { page } = await openPage(t, "de", "login", (mock) => {
    mock.me = { ...mock.me, kind: "user", name: "berta" };
    mock.whep = () => 500;
  });
  await page.locator("#own-password").click();
  const [left, right] = await page.locator("dialog .button").evaluateAll((buttons) => buttons.map((button) => button.getBoundingClientRect()));
  assert.ok(right.left - left.right >= 8, "the dialog has its look");
  assert.deepEqual(await englishOf(page, all.de), [], "the dialog for the password");
  await page.evaluate(() => (location.pathname = "/watch/show"));
  await says(page, "#title", all.de["The stream cannot be played here."]);
  await says(page, "#detail[lang=en]", "whep says 500");
  assert.deepEqual(await englishOf(page, all.de), [], "the page for viewers");
});

describe("the page about a stream", () => {
  for (const code of ["de", "ru"]) {
    test(`in ${code}`, async (t) => {
      const texts = all[code];
      const { page, errors } = await openPage(t, code, "stream?name=morning", showStream);
      await page.waitForFunction(() => document.querySelector("#picture").naturalWidth > 0 && document.querySelector("#history li"));
      assert.equal(await page.locator("#state-text").innerText(), texts.Published);
      await judge(page, code, "stream");
      assert.deepEqual(await faults(page), []);
      await page.locator("#push").click();
      await says(page, "#form-title", texts["Push “{name}” to"].replace("{name}", "morning"));
      assert.deepEqual(await englishOf(page, texts), [], "the form");
      await page.keyboard.press("Escape");
      await page.locator("#stop").click();
      await says(page, "#confirm-title", texts["Stop the stream “{name}”?"].replace("{name}", "morning"));
      assert.deepEqual(await englishOf(page, texts), [], "the question");
      assert.deepEqual(errors, []);
    });
  }
});

describe("the console", () => {
  for (const code of ["de", "ru"]) {
    test(`in ${code}`, async (t) => {
      const texts = all[code];
      const { page, errors } = await openPage(t, code, "console", several);
      await says(page, "#push-count", texts["{some} of {all}"].replace("{some}", "2").replace("{all}", "4"));
      await page.waitForFunction(() => document.querySelector("#history li"));
      await judge(page, code, "console");
      assert.deepEqual(await faults(page), []);
      await page.locator("#nodes li:nth-child(2) [data-part=drain]").click();
      await says(page, "#confirm-title", texts["Take the server “{name}” out?"].replace("{name}", "berlin-2"));
      assert.deepEqual(await englishOf(page, texts), [], "the question");
      await page.keyboard.press("Escape");
      await page.locator("#filter").fill("nothing like this");
      await says(page, "#streams-empty", texts["Nothing here matches the filter."]);
      assert.deepEqual(await englishOf(page, texts), [], "nothing in the lists");
      assert.deepEqual(errors, []);
    });
  }
});

describe("the page for access", () => {
  for (const code of ["de", "zh"]) {
    test(`in ${code}`, async (t) => {
      const texts = all[code];
      const { page, errors } = await openPage(t, code, "access", (mock) => {
        const lists = fill(mock);
        lists.audit.length = 12;
        lists.keys.forEach((key, i) => (key.label = `OBS ${i}`)); // names of people's own are in no language
        lists.apps.forEach((app, i) => (app.name = `ACME ${i}`));
        mock.me = { ...mock.me, kind: "user", name: "berta", mode: "open" };
        const report = mock.methods["access/report"]();
        const words = ["no grant", "all streams", "all streams, to rtmps://a.example/x/*", "the streams acme/*, lobby-*", "the streams acme/*, to destination://main"];
        report.who.push(...words.map((one, i) => ({ who: "user admin", action: ["publish", "play", "push", "read", "control"][i], allowed: one !== "no grant", words: one })));
        mock.methods["access/report"] = () => report;
      });
      await says(page, "#mode-words", texts["Everybody who reaches this server may do everything. Write access=auto in its settings if strangers can reach it."]);
      await page.waitForFunction(() => document.querySelector("#who tbody tr"));
      const rights = await page.locator("#who tr").filter({ hasText: "admin" }).locator("td").evaluateAll((cells) => cells.map(({ title }) => title));
      const say = (text, values) => texts[text].replace(/\{(\w+)\}/g, (_, name) => values[name]);
      assert.deepEqual(rights.slice(0, 5), [texts["no grant"], texts["all streams"], say("all streams, to {targets}", { targets: "rtmps://a.example/x/*" }),
        say("the streams {streams}", { streams: "acme/*, lobby-*" }), say("the streams {streams}, to {targets}", { streams: "acme/*", targets: "destination://main" })]);
      await judge(page, code, "access-overview");
      for (const part of ["users", "keys", "tokens", "destinations", "apps", "logins", "audit"]) {
        await page.locator(`#tabs a[href="#${part}"]`).click();
        await page.locator(`#${part} > li`).first().waitFor();
        await judge(page, code, `access-${part}`);
        const add = page.locator(`#${part}-add`);
        if (await add.count() > 0) {
          await add.click();
          await page.locator("#form").waitFor();
          await page.evaluate(() => document.querySelectorAll("#form-list input[type=checkbox]").forEach((box) => box.checked || box.click()));
          if (part === "apps") {
            await page.locator("#form-url").fill("https://backend.example.com");
          }
          await judge(page, code, `access-${part}-form`);
          await page.keyboard.press("Escape");
          await page.locator("#form").waitFor({ state: "hidden" });
        }
        const remove = page.locator(`#${part} .danger:visible`).first();
        if (await remove.count() > 0) {
          await remove.click();
          assert.deepEqual(await englishOf(page, texts), [], `${part}: the question`);
          await page.locator("#confirm-no").click();
        }
      }
      assert.deepEqual(await faults(page), []);
      assert.deepEqual(errors, []);
    });
  }
});
