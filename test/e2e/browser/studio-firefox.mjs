// Publishes from the server's studio in Firefox, as a person does.
//
//   node studio-firefox.mjs http://localhost:8081/ --name N --rtmp URL [--seconds 120]
//
// Says {"event":"live"} with the texts of the page when the destination is live and all numbers are there. Each line on standard input is a
// command, after which it says {"event":"done"} with the texts:
//
//   quality NAME WIDTHxHEIGHT   picks a quality, and waits for its picture
//   mute, unmute                the microphone
//   share, unshare              the screen
//   watch                       watches what arrives, until pictures move and the page says what it knows of the delay
//
// When standard input closes, it presses Stop and says {"event":"stopped"}.

import { launchFirefox } from "./lib/firefox.mjs";
import { commands, main, readArguments, say, step } from "./lib/script.mjs";

const options = readArguments(["name", "rtmp", "seconds"]);
let firefox;

const displayed = async () => ({
  displayed: await firefox.evaluate(() => Object.fromEntries(["state", "failure", "device-problem", "source-problem", "source-note", "picture", "fps", "upload", "loss",
    "round-trip", "interval", "advice", "arrival-note", "arrival-delay"].map((id) => [id, document.getElementById(id).textContent.trim()]))),
  consoleErrors: await firefox.evaluate(() => globalThis.faults),
});

/** Waits until an element has a text. */
const says = (id, pattern) => firefox.until(([i, source]) => new RegExp(source).test(document.getElementById(i).textContent.trim()), [id, pattern.source]);

const tasks = {
  async quality(name, size) {
    await firefox.evaluate((wanted) => {
      const list = document.getElementById("quality");
      list.value = wanted;
      list.dispatchEvent(new Event("change", { bubbles: true }));
    }, name);
    await says("picture", new RegExp(`^${size.replace("x", " × ")}$`));
  },
  async mute() {
    await firefox.click("#mute");
    await says("mute", /^Unmute microphone$/);
  },
  async unmute() {
    await firefox.click("#mute");
    await says("mute", /^Mute microphone$/);
  },
  async share() {
    await firefox.click("#screen");
    await says("screen", /^Stop sharing$/);
  },
  async unshare() {
    await firefox.click("#screen");
    await says("screen", /^Share screen$/);
  },
  async watch() {
    await firefox.click("#arrives > summary");
    await firefox.until(() => document.getElementById("arrival")?.options.length > 0);
    await firefox.click("#arrival-watch");
    for (let i = 0; i < 5; i++) { // Firefox does not count the frames of a stream
      await firefox.until(() => {
        const video = document.getElementById("arrival-video");
        const context = Object.assign(document.createElement("canvas"), { width: 32, height: 18 }).getContext("2d");
        context.drawImage(video, 0, 0, 32, 18);
        const picture = String(context.getImageData(0, 0, 32, 18).data);
        const moved = video.videoWidth > 0 && globalThis.picture !== undefined && globalThis.picture !== picture;
        globalThis.picture = picture;
        return moved;
      });
    }
    await says("arrival-delay", /./);
  },
};

await main(async () => {
  const input = commands(Number(options.seconds ?? 120));
  firefox = await step("start Firefox", 60, launchFirefox);
  await step("open the page", 40, async () => {
    await firefox.goto(options.address);
    await firefox.evaluate(() => {
      globalThis.faults = [];
      addEventListener("error", ({ message }) => globalThis.faults.push(message));
      addEventListener("unhandledrejection", ({ reason }) => globalThis.faults.push(String(reason)));
      navigator.mediaDevices.getDisplayMedia = async () => { // a Firefox without a screen has none to share
        const canvas = Object.assign(document.createElement("canvas"), { width: 1280, height: 720 });
        const context = canvas.getContext("2d");
        let hue = 0;
        setInterval(() => {
          context.fillStyle = `hsl(${hue += 5} 80% 50%)`;
          context.fillRect(0, 0, canvas.width, canvas.height);
        }, 50);
        return canvas.captureStream();
      };
    });
  });
  await step("go live", 60, async () => { // Firefox does not say whether the camera is permitted, so the page opens it when Start is pressed
    await firefox.fill("#name", options.name);
    await firefox.fill("#address-1", options.rtmp);
    await firefox.click("#go");
    await says("state", /^Live on/);
    await says("upload", /bit\/s$/);
    await says("loss", /%$/);
    await says("round-trip", /ms$/);
    await says("interval", /^every/);
  });
  say("live", await displayed());
  for await (const line of input) {
    const [task, ...rest] = line.split(" ");
    await step(line, 60, () => tasks[task](...rest));
    say("done", await displayed());
  }
  await step("stop", 20, async () => {
    await firefox.click("#go");
    await firefox.until(() => ["idle", "failed"].includes(document.getElementById("status").dataset.phase));
  });
  say("stopped", await displayed());
  await step("close Firefox", 30, () => firefox.close());
}, displayed);
