// Firefox and Chromium as WHIP publishers and WHEP players of the bundle policy max-bundle, as RFC 9725 wants them.
//
//   node whip.mjs http://localhost:8081/ [--seconds 120]
//
// Firefox publishes "firefox", with all candidates in its offer; Chromium publishes "chromium", and sends its candidates later, as
// MediaMTX's pages do, with If-Match: *. Says {"event":"live"} when each plays the other's. Then each line on standard input is a
// command, after which {"event":"done"} is said:
//
//   play NAME    both browsers play a stream by WHEP, and Chromium by our SDK
//   watch NAME   Chromium plays a stream with a page that begins anew two seconds after it lost its connection
//   goes on      that page shows pictures that it did not show before; says how often it has begun, and which events it has heard
//   lost         that page has seen that the stream is gone
//
// When standard input closes it ends.

import { launch } from "./lib/browser.mjs";
import { launchFirefox } from "./lib/firefox.mjs";
import { commands, main, readArguments, say, step } from "./lib/script.mjs";

const options = readArguments(["seconds"]);

/** In the page: what publishes and plays. */
function install() {
  const until = async (what, condition) => {
    for (const end = Date.now() + 30_000; !(await condition()); await new Promise((resolve) => setTimeout(resolve, 100))) {
      if (Date.now() > end) {
        throw new Error(`no ${what} in 30 s`);
      }
    }
  };

  /** Posts the offer; candidates that come later are sent later. */
  async function exchange(pc, url, trickle) {
    const early = [];
    let session = null;
    const send = async (candidates) => {
      const [, ufrag] = /a=ice-ufrag:(\S+)/.exec(pc.localDescription.sdp);
      const [, password] = /a=ice-pwd:(\S+)/.exec(pc.localDescription.sdp);
      const [, line] = /m=(.*)/.exec(pc.localDescription.sdp);
      const body = [`a=ice-ufrag:${ufrag}`, `a=ice-pwd:${password}`, `m=${line}`, "a=mid:0", ...candidates.map((c) => `a=${c}`), ""].join("\r\n");
      const response = await fetch(session, {
        method: "PATCH", headers: { "Content-Type": "application/trickle-ice-sdpfrag", "If-Match": "*" }, body,
      });
      if (response.status !== 204) {
        throw new Error(`candidates: ${response.status} ${await response.text()}`);
      }
    };
    pc.failed = new Promise((_, reject) => {
      pc.onicecandidate = ({ candidate }) => {
        if (!trickle || !candidate?.candidate || candidate.sdpMLineIndex !== 0) {
          return;
        }
        session ? send([candidate.candidate]).catch(reject) : early.push(candidate.candidate);
      };
    });
    pc.failed.catch(() => {});
    const offer = await pc.createOffer();
    await pc.setLocalDescription(offer);
    if (!trickle) {
      await until("candidates", () => pc.iceGatheringState === "complete");
    }
    const response = await fetch(url, {
      method: "POST", headers: { "Content-Type": "application/sdp" }, body: trickle ? offer.sdp : pc.localDescription.sdp,
    });
    const text = await response.text();
    if (response.status !== 201) {
      throw new Error(`${response.status} ${text}`);
    }
    await pc.setRemoteDescription({ type: "answer", sdp: text });
    session = new URL(response.headers.get("Location"), url).href;
    if (early.length > 0) {
      await send(early);
    }
    return session;
  }

  const connected = (pc) => Promise.race([pc.failed, until("connection", () => pc.connectionState === "connected")]);

  async function publish({ url, trickle }) {
    const pc = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
    window.publishing = pc; // a connection that nothing refers to is closed when the browser collects its garbage
    const stream = await navigator.mediaDevices.getUserMedia({ audio: true, video: { width: 640, height: 360 } });
    for (const track of stream.getTracks()) {
      pc.addTransceiver(track, { direction: "sendonly", streams: [stream] });
    }
    await exchange(pc, url, trickle);
    await connected(pc);
  }

  /** What came by now. */
  async function received(pc) {
    const count = { audio: 0, video: 0 };
    (await pc.getStats()).forEach((s) => {
      if (s.type === "inbound-rtp") {
        count[s.kind] = s.kind === "video" ? s.framesDecoded : s.packetsReceived;
      }
    });
    return count;
  }

  function receive(first = "audio") {
    const pc = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
    const video = document.body.appendChild(Object.assign(document.createElement("video"), { autoplay: true, muted: true, srcObject: new MediaStream() }));
    pc.ontrack = ({ track }) => video.srcObject.addTrack(track);
    for (const kind of first === "audio" ? ["audio", "video"] : ["video", "audio"]) {
      pc.addTransceiver(kind, { direction: "recvonly" });
    }
    return { pc, video };
  }

  /** Plays until what is wanted has come, and ends. */
  async function play({ url, want, trickle, first }) {
    const { pc, video } = receive(first);
    const session = await exchange(pc, url, trickle);
    await connected(pc);
    await until(want.join(" and "), async () => {
      const count = await received(pc);
      return want.every((kind) => count[kind] > 30);
    });
    const response = await fetch(session, { method: "DELETE" });
    if (response.status !== 200) {
      throw new Error(`DELETE: ${response.status}`);
    }
    pc.close();
    video.remove();
  }

  /** A page that begins anew two seconds after it lost its connection or was refused. */
  function watch({ url }) {
    const page = { begun: 0, losses: [], heard: [] };
    const begin = async () => {
      page.begun++;
      const { pc, video } = receive("video");
      const again = (why) => {
        if (page.pc === pc) {
          page.pc = null;
          page.losses.push(why);
          pc.close();
          video.remove();
          setTimeout(begin, 2000);
        }
      };
      page.pc = pc;
      pc.onconnectionstatechange = () => ["failed", "closed"].includes(pc.connectionState) && again(pc.connectionState);
      try {
        page.session = await exchange(pc, url, true);
        const created = await fetch(`${page.session}/events`, { method: "POST" });
        const events = new EventSource(new URL(created.headers.get("Location"), page.session));
        ["active", "inactive"].forEach((name) => events.addEventListener(name, () => page.heard.push(name)));
        events.onerror = () => events.close();
        pc.failed.catch((error) => again(String(error)));
      } catch (error) {
        again(String(error));
      }
    };
    void begin();
    globalThis.watched = page;
  }

  /** The pages' pictures go on from now. */
  async function goesOn() {
    const page = globalThis.watched;
    const count = async () => (page.pc ? (await received(page.pc)).video : 0);
    let before = await count();
    let pc = page.pc;
    await until("further pictures", async () => {
      if (page.pc !== pc) {
        [pc, before] = [page.pc, 0];
      }
      return (await count()) > before + 15;
    });
    return { begun: page.begun, losses: page.losses, heard: page.heard };
  }

  /** The session's address is known to the server no more. */
  async function lost() {
    const page = globalThis.watched;
    await until("loss", async () => !page.session || (await fetch(page.session)).status === 404);
    return { begun: page.begun, losses: page.losses };
  }

  return { publish, play, watch, goesOn, lost };
}

/** Runs one of the tools in a window. Firefox keeps nothing between two scripts, and has what it needs in each. */
function run(window, tool, argument) {
  return window.evaluate(new Function("call", `const [name, given] = call; return (${install})()[name](given);`), [tool, argument]);
}

const whip = (name) => `${options.address}whip/${name}`;
const whep = (name) => `${options.address}whep/${name}`;

/** In the page: plays a stream by our SDK until it shows pictures. */
async function playBySDK({ urlServer, name }) {
  const { Flashphoner } = await import("/sdk/transponder.js");
  const session = Flashphoner.createSession({ urlServer });
  await session.connected;
  const display = document.body.appendChild(document.createElement("div"));
  const player = session.createStream({ name, display });
  await player.play({ signal: AbortSignal.timeout(30_000) });
  while (!(player.video?.getVideoPlaybackQuality().totalVideoFrames > 30)) {
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  session.disconnect();
}

await main(async () => {
  const browser = await step("start Chromium", 40, launch);
  const chromium = await browser.newPage();
  const firefox = await step("start Firefox", 60, launchFirefox);
  for (const window of [chromium, firefox]) {
    await step("open the page", 30, () => window.goto(options.address));
  }
  await step("publish from Firefox", 40, () => run(firefox, "publish", { url: whip("firefox") }));
  await step("publish from Chromium", 40, () => run(chromium, "publish", { url: whip("chromium"), trickle: true }));
  const both = ["audio", "video"];
  await step("play Firefox's in Chromium", 40, () => run(chromium, "play", { url: whep("firefox"), want: both, trickle: true, first: "video" }));
  await step("play Firefox's in Firefox", 40, () => run(firefox, "play", { url: whep("firefox"), want: both }));
  await step("play Chromium's in Chromium", 40, () => run(chromium, "play", { url: whep("chromium"), want: both }));
  say("live");
  for await (const line of commands(Number(options.seconds ?? 120))) {
    const [command, name] = line.split(" ");
    let facts = {};
    if (command === "play") {
      await step(`play ${name} in Chromium`, 40, () => run(chromium, "play", { url: whep(name), want: ["video"] }));
      await step(`play ${name} in Firefox`, 40, () => run(firefox, "play", { url: whep(name), want: ["video"] }));
      await step(`play ${name} by the SDK`, 40, () => chromium.evaluate(playBySDK, { urlServer: `${options.address.replace("http", "ws")}ws`, name }));
    } else if (command === "watch") {
      await run(chromium, "watch", { url: whep(name) });
    } else if (command === "goes") {
      facts = await step("see pictures go on", 40, () => run(chromium, "goesOn"));
    } else if (command === "lost") {
      facts = await step("see that the stream is gone", 40, () => run(chromium, "lost"));
    }
    say("done", { displayed: Object.fromEntries(Object.entries(facts).map(([key, value]) => [key, String(value)])) });
  }
  say("stopped");
  await step("close the browsers", 30, () => Promise.all([browser.close(), firefox.close()]));
});
