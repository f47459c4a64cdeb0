// The sounds and pictures of the server in the studio, with a server whose answers each test decides. Needs web/dist: run `make build` first.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch } from "./lib/browser.mjs";
import { push } from "./lib/mock-server.mjs";
import { looks, openStudio, until } from "./lib/studio-page.mjs";

let browser;

before(async () => {
  browser = await launch({ devices: 2 });
}, { timeout: 60_000 });
after(() => browser?.close());

const sound = (name, fields = {}) => ({ name, kind: "sound", bytes: 96_044, modified: 1, durationMs: 1000, ...fields });
const picture = (name, fields = {}) => ({ name, kind: "picture", bytes: 512_000, modified: 1, width: 1280, height: 720, ...fields });

/** A WAV file of so many seconds: mono, 8 kHz, 16 bit. */
function wav(seconds) {
  const data = Buffer.alloc(seconds * 16_000);
  const head = Buffer.alloc(44);
  head.write("RIFF\0\0\0\0WAVEfmt ", "latin1");
  head.writeUInt32LE(36 + data.length, 4);
  head.writeUInt32LE(16, 16);
  head.writeUInt16LE(1, 20);
  head.writeUInt16LE(1, 22);
  head.writeUInt32LE(8000, 24);
  head.writeUInt32LE(16_000, 28);
  head.writeUInt16LE(2, 32);
  head.writeUInt16LE(16, 34);
  head.write("data", 36, "latin1");
  head.writeUInt32LE(data.length, 40);
  return Buffer.concat([head, data]);
}

const png = Buffer.from("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==", "base64");

const hostile = `<img src=x onerror="document.title='hit'">\u202egnp.wav`;

/** Opens the studio of a server with these files. */
async function open(t, files, { change = true, more = false } = {}) {
  const list = { files, more, change };
  const all = await openStudio(t, browser, (mock) => {
    mock.methods["media/find_all"] = () => list;
    mock.methods["media/upload"] = () => 200;
    mock.methods["media/remove"] = () => 200;
  });
  const { page } = all;
  const row = (name) => page.locator("#media-list li").filter({ hasText: name });
  const shown = () => page.waitForFunction((n) => document.querySelectorAll("#media-list li").length === n, list.files.length);
  const unfold = async () => {
    await page.locator("#media summary").click();
    await page.locator(change ? "#media-change" : "#media-list li").first().waitFor(); // the script of this part is loaded, and the list has come
    await shown();
  };
  return { ...all, list, row, shown, unfold };
}

test("the list says what each file is, and what is wrong with it", async (t) => {
  const files = [picture("away.png"), sound("bad.wav", { durationMs: 0, fault: "cannot be played: it is no RIFF WAV file" }), sound(hostile), sound("jingle.wav")];
  const { errors, mock, page, row, unfold } = await open(t, files, { more: true });
  assert.equal(mock.count("POST /rest-api/media/find_all"), 0); // nobody has looked
  await unfold();
  assert.match(await row("jingle").innerText(), /^\s*jingle\.wav\s+0:01, 96 kB\s+Listen\s+Remove\s*$/);
  assert.match(await row("away").innerText(), /^\s*away\.png\s+1280 × 720, 512 kB\s+Show\s+Remove\s*$/);
  assert.match(await row("bad").innerText(), /^\s*bad\.wav\s+It cannot be played: it is no RIFF WAV file\s+Remove\s*$/);
  assert.equal(await row("onerror").locator("img:not([data-part])").count(), 0);
  assert.notEqual(await page.title(), "hit");
  assert.match(await row("onerror").innerText(), /\ufffdgnp\.wav/); // its end is not turned around
  assert.equal(await page.locator("#media-more").isVisible(), true);
  assert.equal(await page.locator("#media-none").isVisible(), false);
  await page.locator("#media-keys").check();
  assert.equal(await row("jingle").locator("kbd").innerText(), "2"); // of those that can be played
  await looks(page, "media");
  assert.deepEqual(errors, []);
});

test("whoever may not change the folder has no buttons for it", async (t) => {
  const { page, row, unfold } = await open(t, [sound("jingle.wav")], { change: false });
  await unfold();
  assert.equal(await row("jingle").getByRole("button", { name: "Remove" }).isVisible(), false);
  assert.equal(await page.locator("#media-upload").isVisible(), false);
  assert.equal(await page.locator("#media-keys").isVisible(), true);
});

test("sounds are played to the viewers of every destination, by button and by key", async (t) => {
  const { mock, page, phase, row, start, unfold } = await open(t, [sound("applause.wav"), sound("jingle.wav")]);
  await unfold();
  assert.equal(await row("jingle").getByRole("button", { name: "Play to viewers" }).isVisible(), false); // nobody views
  await start();
  await phase("live");
  await row("jingle").getByRole("button", { name: "Play to viewers" }).click();
  await until(() => mock.count("POST /rest-api/push/sound_on") === 1, "the sound is asked for");
  assert.deepEqual(JSON.parse(mock.last("POST /rest-api/push/sound_on").body), { mediaSessionId: push().mediaSessionId, soundFile: "jingle.wav", loop: false });
  mock.find = () => push({ soundEnabled: true, soundFile: "jingle.wav" });
  await page.waitForFunction(() => /Playing to viewers/.test(document.getElementById("media-list").textContent));

  await page.keyboard.press("1"); // keys play nothing before somebody has switched them on
  await page.locator("#media-keys").check();
  await page.keyboard.press("1");
  await until(() => mock.count("POST /rest-api/push/sound_on") === 2, "the key plays");
  assert.equal(JSON.parse(mock.last("POST /rest-api/push/sound_on").body).soundFile, "applause.wav");
  await page.keyboard.press("3"); // there is no third sound
  await page.locator("#max-bitrate").evaluate((field) => field.closest("details").open = true);
  await page.locator("#max-bitrate").focus();
  await page.keyboard.press("2"); // somebody types a number
  await page.locator("#media-keys").focus();
  await page.keyboard.press("Control+2");
  await page.keyboard.press("0");
  await until(() => mock.count("POST /rest-api/push/sound_off") === 1, "0 ends the sound");
  await page.locator("#media-end").click();
  await until(() => mock.count("POST /rest-api/push/sound_off") === 2, "the button ends the sound");
  assert.equal(mock.count("POST /rest-api/push/sound_on"), 2);
  await page.reload();
  await page.waitForFunction(() => document.getElementById("media").open && document.getElementById("media-keys").checked);
});

test("files are sent, replaced and removed, each after a question if something is lost", async (t) => {
  const { errors, list, mock, page, row, shown, text, unfold } = await open(t, []);
  await unfold();
  assert.equal(await page.locator("#media-none").isVisible(), true);
  const send = (name, content = wav(1)) => page.locator("#media-file").setInputFiles({ name, mimeType: "audio/wav", buffer: content });
  const asked = [];
  mock.methods["media/upload"] = (_, query) => {
    asked.push([query.get("name"), query.get("replace")]);
    if (query.get("replace") !== "true" && list.files.some(({ name }) => name === query.get("name"))) {
      return 409;
    }
    list.files = [sound(query.get("name"))];
    return sound(query.get("name"));
  };
  mock.api = ((api) => function (method, pathname, body, ...rest) { // the body of an upload is no JSON
    return api.call(this, method, pathname, pathname.endsWith("/media/upload") ? "" : body, ...rest);
  })(mock.api);
  const note = (wanted) => page.waitForFunction((words) => document.getElementById("media-note").textContent === words, wanted);
  await send("jingle & bell.wav");
  await note("jingle & bell.wav is on the server.");
  await shown();
  const sent = mock.last("POST /rest-api/media/upload");
  assert.equal(sent.headers["content-length"], String(wav(1).length));

  await send("jingle & bell.wav");
  await page.locator("#confirm-no").click();
  await send("jingle & bell.wav");
  await page.locator("#confirm-yes").click();
  await until(() => asked.at(-1)[1] === "true", "it is replaced");
  assert.equal(asked.filter(([, replace]) => replace === "true").length, 1);
  await note("jingle & bell.wav is on the server.");
  assert.equal(await page.locator("#media-problem").isVisible(), false);

  mock.methods["media/upload"] = () => 400;
  await send("bad.wav");
  await page.locator("#media-problem").waitFor();
  assert.match(await text("media-problem"), /does not take this file.*WAV.*the mock says 400/s);
  mock.methods["media/upload"] = () => 507;
  await send("full.wav");
  await page.waitForFunction(() => /the mock says 507/.test(document.getElementById("media-problem").textContent));

  await row("jingle").getByRole("button", { name: "Remove" }).click();
  await page.locator("#confirm-no").click();
  assert.equal(mock.count("POST /rest-api/media/remove"), 0);
  mock.methods["media/remove"] = ({ name }) => {
    assert.equal(name, "jingle & bell.wav");
    list.files = [];
    return 200;
  };
  await row("jingle").getByRole("button", { name: "Remove" }).click();
  await page.locator("#confirm-yes").click();
  await note("jingle & bell.wav is removed.");
  await shown();
  assert.deepEqual(errors.filter((error) => !/409|400|507/.test(error)), []);
});

test("a file that is too large is not sent", async (t) => {
  const { mock, page, text, unfold } = await open(t, []);
  await unfold();
  await page.evaluate(() => {
    const data = new DataTransfer();
    data.items.add(new File([new Blob(Array(101).fill(new Uint8Array(1 << 20)))], "long.wav"));
    const input = document.getElementById("media-file");
    input.files = data.files;
    input.dispatchEvent(new Event("change"));
  });
  await page.locator("#media-problem").waitFor();
  assert.match(await text("media-problem"), /at most 100 MB.*long\.wav has 106 MB/s);
  assert.equal(mock.count("POST /rest-api/media/upload"), 0);
});

test("a sound is heard here only, and a picture seen", async (t) => {
  const { errors, mock, page, row, unfold } = await open(t, [picture("away.png"), sound("jingle.wav"), sound("law.wav")]);
  await page.route("**/media/download?name=*", (route) => {
    const name = new URL(route.request().url()).searchParams.get("name");
    return route.fulfill({ body: name === "away.png" ? png : name === "jingle.wav" ? wav(60) : Buffer.from("no sound") });
  });
  await unfold();
  const listen = row("jingle").locator("[data-part=listen]");
  await listen.click();
  assert.equal(await listen.innerText(), "Stop");
  await row("law").locator("[data-part=listen]").click();
  await page.locator("#media-problem").waitFor();
  assert.match(await page.locator("#media-problem").innerText(), /This browser cannot play the file/);
  assert.equal(await listen.innerText(), "Listen"); // one at a time
  await listen.click();
  await listen.click();
  assert.equal(await listen.innerText(), "Listen");
  assert.equal(mock.count("POST /rest-api/push/sound_on"), 0);

  await row("away").locator("[data-part=look]").click();
  await row("away").locator("img").waitFor();
  await page.waitForFunction(() => document.querySelector("#media-list img:not([hidden])").naturalWidth === 1);
  await looks(page, "media-picture");
  await row("away").locator("[data-part=look]").click();
  assert.equal(await row("away").locator("img").isVisible(), false);
  assert.deepEqual(errors, []);
});

test("viewers see the last picture while the stream is away, or one of the server", async (t) => {
  const { list, mock, page, phase, row, start, unfold } = await open(t, [picture("away.png"), picture("bad.png", { fault: "cannot be shown: it is no picture" }), sound("jingle.wav")]);
  const options = (method) => JSON.parse(mock.last(`POST /rest-api/${method}`).body).options;
  mock.methods["destination/create"] = () => 200;
  mock.methods["media/remove"] = () => {
    list.files = [sound("jingle.wav")];
    return 200;
  };
  await unfold();
  assert.deepEqual(await page.locator("#media-slate option").allInnerTexts(), ["The last picture", "away.png"]);
  await page.getByLabel("While your stream is away, viewers see").selectOption("away.png");
  await page.reload();
  await page.waitForFunction(() => document.getElementById("address-1"));
  await start(); // the list need not be open
  await phase("live");
  assert.deepEqual(options("push/startup"), { onSourceLoss: "hold", slate: "away.png" });
  await page.locator("#go").click();
  await phase("idle");

  await page.locator("#save-1").click();
  await page.locator("#save-name-1").fill("main");
  await page.locator("#save-go-1").click();
  await until(() => mock.count("POST /rest-api/destination/create") === 1, "the destination is saved");
  assert.deepEqual(options("destination/create"), { onSourceLoss: "hold", slate: "away.png" });

  await unfold();
  await row("away").getByRole("button", { name: "Remove" }).click();
  await page.locator("#confirm-yes").click();
  await page.waitForFunction(() => document.getElementById("media-slate").options.length === 1); // nobody can see it any more
  assert.equal(await page.locator("#media-slate").inputValue(), "");
});

test("a picture that somebody has removed from the server keeps nobody off the air", async (t) => {
  const { mock, page, phase, start, text } = await open(t, [picture("away.png")]);
  await page.evaluate(() => localStorage.setItem("transponder.slate", JSON.stringify("away.png")));
  const asked = () => JSON.parse(mock.last("POST /rest-api/push/startup").body).options;
  const good = mock.startup;
  const refuse = (message) => (to) => to.writeHead(400, { "Content-Type": "application/json" }).end(JSON.stringify({ status: 400, message }));
  mock.startup = () => (asked().slate ? refuse("options.slate: there is no file away.png") : good.call(mock));
  await start();
  await phase("live");
  assert.deepEqual(asked(), { onSourceLoss: "hold" });
  assert.match(await text("note-1"), /cannot show the picture that you have chosen\. .* viewers see its last picture/);
  assert.equal(mock.count("POST /rest-api/push/startup"), 2);
  await page.locator("#go").click();
  await phase("idle");

  mock.startup = () => refuse("rtmpUrl: it is too long"); // another mistake is told as before
  await page.locator("#go").click();
  await page.waitForFunction(() => /too long/.test(document.getElementById("failure-1").textContent));
  assert.equal(mock.count("POST /rest-api/push/startup"), 3);
});
