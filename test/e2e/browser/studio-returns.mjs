// Goes live by the server's studio, and looks how it comes back.
//
//   node studio-returns.mjs http://localhost:8081/ --name N --rtmp URL [--slate FILE] [--seconds 60]
//
// --slate: viewers shall see this picture of the server while the stream is away. Says {"event":"live"} when the destination is live. Each line on standard input is a command:
//
//   away     waits until the page says that the server does not answer, and says {"event":"away"}; the picture of the camera must go on
//   back     waits until the page is live again, and says {"event":"back"}; the camera must be the same, and nothing was pressed
//   reload   reloads the page, presses "Go on", waits until the page is live, and says {"event":"back"}
//   crash    ends the process of the page, which cannot tell anybody, and says {"event":"gone"}
//   restore  opens the page again, as a browser brings back a tab that has crashed; then it is as with reload
//   note     notes from now on what the page says of the show, and says {"event":"noting"}
//   noted    says {"event":"noted"} with that
//
// What the page displays has the number of connections that it has made, too. When standard input closes, it presses Stop and says {"event":"stopped"}.

import { launch } from "./lib/browser.mjs";
import { commands, main, readArguments, say, step } from "./lib/script.mjs";

const options = readArguments(["name", "rtmp", "slate", "seconds"]);
let browser, context, page, tab;

async function displayed() {
  const ids = ["state", "note", "failure", "state-1", "note-1", "failure-1"];
  const texts = await Promise.all(ids.map(async (id) => [id, (await page.locator(`#${id}`).innerText()).trim()]));
  return { displayed: { ...Object.fromEntries(texts), peers: await page.evaluate(() => String(globalThis.peers)) } };
}

/** In the page: counts its connections. */
function count() {
  globalThis.peers = 0;
  globalThis.RTCPeerConnection = class extends globalThis.RTCPeerConnection {
    constructor(...all) {
      super(...all);
      globalThis.peers++;
    }
  };
}

const phase = (wanted) => page.waitForFunction((p) => document.getElementById("status").dataset.phase === p, wanted);
const says = (id, pattern) => page.waitForFunction(([i, text]) => new RegExp(text).test(document.getElementById(i).textContent), [id, pattern.source]);
const camera = () => page.evaluate(() => document.getElementById("video").srcObject.getVideoTracks()[0].id);

async function live() {
  await says("state", /^Live on/);
  await phase("live");
}

async function openPage() {
  page = await context.newPage();
  page.setDefaultTimeout(0); // steps have their limits
  page.on("dialog", (dialog) => void dialog.accept());
  await page.goto(options.address);
}

async function goOn() {
  await phase("waiting");
  await page.locator("#go").click();
  await live();
  used = await camera();
  say("back", await displayed());
}

const tasks = {
  async away() {
    await says("state", /No answer from this server|Reconnecting to this server/);
    say("away", await displayed());
    await page.evaluate(async () => {
      const video = document.getElementById("video");
      for (let pictures = 0; pictures < 10; pictures++) {
        await new Promise((resolve) => video.requestVideoFrameCallback(resolve));
      }
    });
  },
  async back() {
    await live();
    if (await camera() !== used) {
      throw new Error("the page has opened the camera again");
    }
    say("back", await displayed());
  },
  async note() {
    await page.evaluate(() => {
      const state = document.getElementById("state");
      globalThis.said = [state.textContent];
      new MutationObserver(() => said.push(state.textContent)).observe(state, { subtree: true, childList: true, characterData: true });
    });
    say("noting");
  },
  async noted() {
    say("noted", { displayed: { said: await page.evaluate(() => said.join("; ")), peers: await page.evaluate(() => String(peers)) } });
  },
  async reload() {
    await page.reload();
    await goOn();
  },
  async crash() {
    tab = await page.evaluate(() => ({ ...sessionStorage }));
    const crashed = page.waitForEvent("crash");
    page.goto("chrome://crash").catch(() => undefined);
    await crashed;
    say("gone");
  },
  async restore() {
    await page.close();
    await context.addInitScript((kept) => {
      Object.assign(sessionStorage, kept);
    }, tab);
    await openPage();
    await goOn();
  },
};

let used;

await main(async () => {
  const input = commands(Number(options.seconds ?? 60));
  const args = [`--unsafely-treat-insecure-origin-as-secure=${new URL(options.address).origin}`]; // another address than this machine's own has no camera
  browser = await step("start the browser", 40, () => launch({ args }));
  context = await browser.newContext({ viewport: { width: 1280, height: 860 } });
  await context.addInitScript(count);
  await step("open the page", 20, async () => {
    await openPage();
    await page.waitForFunction(() => document.getElementById("video").videoWidth > 0);
  });
  if (options.slate) {
    await step("choose the picture", 20, async () => {
      await page.locator("#media summary").click();
      await page.locator("#media-slate").selectOption(options.slate); // waits for it
    });
  }
  await step("go live", 40, async () => {
    await page.locator("#name").fill(options.name);
    await page.locator("#address-1").fill(options.rtmp);
    await page.locator("#go").click();
    await live();
  });
  used = await camera();
  say("live", await displayed());
  for await (const line of input) {
    await step(line, 30, tasks[line]);
  }
  await step("stop", 20, async () => {
    await page.locator("#go").click();
    await phase("idle");
  });
  say("stopped", await displayed());
  await step("close the browser", 20, () => browser.close());
}, displayed);
