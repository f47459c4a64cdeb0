// The React hooks in a real browser, by their examples, which React runs in strict mode. Each test decides what the server answers.
// Needs web/dist: run `make build` first.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { launch } from "./lib/browser.mjs";
import { push as pushOf } from "./lib/mock-server.mjs";
import { newSDKPage } from "./lib/sdk-page.mjs";
import { until } from "./lib/studio-page.mjs";

const root = fileURLToPath(new URL("../../../", import.meta.url));
let browser, work, script;

before(async () => {
  work = await mkdtemp(path.join(tmpdir(), "react-"));
  await promisify(execFile)(path.join(root, "scripts/go"), ["run", "./web/build", "-react-examples", work], { cwd: root });
  script = await readFile(path.join(work, "index.js"), "utf8");
  browser = await launch();
}, { timeout: 180_000 });
after(async () => {
  await browser?.close();
  await rm(work, { recursive: true, force: true });
});

async function open(t, hash, setUp) {
  const { mock, page, errors, socket } = await newSDKPage(t, browser, { setUp });
  await page.route(`${mock.address}react`, (route) => route.fulfill({
    contentType: "text/html", body: `<!doctype html><html lang="en"><title>React</title><link rel="icon" href="/icon.svg"><body><script type="module" src="/react.js"></script>`,
  }));
  await page.route(`${mock.address}react.js`, (route) => route.fulfill({ contentType: "text/javascript", body: script }));
  await page.addInitScript(() => {
    globalThis.cameras = [];
    const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
    navigator.mediaDevices.getUserMedia = async (wanted) => {
      const stream = await open(wanted);
      globalThis.cameras.push(stream);
      return stream;
    };
  });
  await page.goto(`${mock.address}react#${hash}`);
  const says = (pattern) => page.waitForFunction((text) => new RegExp(text).test(document.querySelector("[role=status]").textContent), pattern.source);
  const go = (to) => page.evaluate((where) => location.hash = where, to);
  return { mock, page, errors, socket, says, go };
}

test("usePlayer plays once in strict mode, follows the name and the publisher, and ends with the component", { timeout: 60_000 }, async (t) => {
  const { page, errors, socket, says, go } = await open(t, "player/show");
  const plays = () => page.waitForFunction(() => document.querySelector("video").currentTime > 0 && document.querySelector("[role=status]").textContent === "");
  await plays();
  assert.deepEqual([socket.count("connection"), socket.count("playStream")], [1, 1]);
  socket.end();
  await says(/over for now/);
  socket.live = true;
  await plays();
  await go("player/other");
  await until(() => socket.last("playStream").name === "other", "the other stream");
  await plays();
  assert.equal(socket.open.size, 1);
  socket.status(...socket.player, "FAILED", "Restricted access");
  await says(/does not allow/);
  await page.getByRole("button", { name: "Try again" }).click();
  await plays();
  await go("");
  await until(() => socket.open.size === 0, "the socket is closed");
  assert.deepEqual(errors, []);
});

test("usePublisher and usePush open nothing before they are asked, and end with the component", { timeout: 60_000 }, async (t) => {
  const { mock, page, errors, socket, says, go } = await open(t, "broadcast/show");
  await says(/^idle, push: idle$/);
  assert.equal(socket.count("connection"), 0);
  await page.getByRole("button", { name: "Go live" }).click();
  await says(/^live, push: idle$/);
  assert.deepEqual(await page.evaluate(() => [globalThis.cameras.length, document.querySelector("video").muted]), [1, true]);
  await page.getByRole("button", { name: "Mute" }).click();
  await page.getByRole("button", { name: "Unmute" }).waitFor();
  await page.getByRole("button", { name: "Push", exact: true }).click();
  await says(/^live, push: PUBLISHING$/);
  assert.equal(JSON.parse(mock.last("POST /rest-api/push/startup").body).rtmpUrl, "rtmp://far.example/live");
  await page.getByRole("button", { name: "End the push" }).click();
  await says(/^live, push: idle$/);
  await until(() => mock.count("POST /rest-api/push/terminate") === 1, "the push is ended");
  mock.startup = () => 503;
  await page.getByRole("button", { name: "Push", exact: true }).click();
  await says(/^live, push: .*Busy/);
  mock.startup = () => pushOf();
  await page.getByRole("button", { name: "End the push" }).click();
  await page.getByRole("button", { name: "Push", exact: true }).click();
  await says(/^live, push: PUBLISHING$/);
  await go("");
  await until(() => socket.open.size === 0 && mock.count("POST /rest-api/push/terminate") === 2, "stream and push are ended");
  assert.equal(socket.count("unPublishStream"), 1);
  assert.deepEqual(await page.evaluate(() => globalThis.cameras.flatMap((stream) => stream.getTracks().map(({ readyState }) => readyState))), ["ended", "ended"]);
  assert.deepEqual(errors.filter((error) => !error.includes("503")), []);
});

test("usePublisher in a component that goes while the camera is opened leaves no camera open", { timeout: 60_000 }, async (t) => {
  const { page, socket, go } = await open(t, "broadcast/show");
  await page.getByRole("button", { name: "Go live" }).click();
  await go("");
  await until(() => socket.open.size === 0, "the socket is closed");
  await page.waitForFunction(() => globalThis.cameras.every((stream) => stream.getTracks().every(({ readyState }) => readyState === "ended")));
  assert.equal(socket.count("publishStream"), socket.count("unPublishStream"));
});

test("the components of the manual are the examples, of less than 60 lines each", async () => {
  const manual = await readFile(path.join(root, "docs/elements.md"), "utf8");
  const names = (await readdir(path.join(root, "web/react/examples"))).filter((name) => name.endsWith(".tsx"));
  const examples = await Promise.all(names.map((name) => readFile(path.join(root, "web/react/examples", name), "utf8")));
  examples.forEach((code, i) => assert.ok(code.split("\n").length <= 60, names[i]));
  const shown = [...manual.matchAll(/```tsx\n(.*?)```/gs)].map(([, code]) => code);
  assert.equal(shown.length, 2);
  for (const code of shown) {
    assert.ok(examples.some((example) => example.includes(code)), code);
  }
});
