// A page of the vendor's SDK, as it comes in the npm package, that does what it is told on standard input and says what it hears.
//
//   node hooks.mjs ws://localhost:8080 [--seconds 120]
//
// Each line on standard input is one of
//
//   {"do":"connect","session":"a","options":{"appKey":…,"custom":…,"keepAlive":…}}
//   {"do":"publish"|"play","session":"a","stream":"s1","options":{"name":…,"rtmpUrl":…,"custom":…}}
//   {"do":"stop"|"snapshot","stream":"s1"}
//   {"do":"data","session":"a","payload":…}
//   {"do":"disconnect","session":"a"}
//
// Says {"event":"ready"}, and then {"event":"session"|"stream"|"data","displayed":{id,status,info}} for each status that the SDK tells.

import { launch } from "./lib/browser.mjs";
import { servePackage } from "./lib/package-server.mjs";
import { commands, main, readArguments, say, step } from "./lib/script.mjs";

const options = readArguments(["seconds"]);

/** In the page: does what one line says. */
async function act(command, urlServer) {
  const { Flashphoner, tell } = globalThis;
  const { SESSION_STATUS, STREAM_STATUS } = Flashphoner.constants;
  const kept = globalThis.kept ??= { sessions: {}, streams: {} };
  const { session, stream } = command;
  switch (command.do) {
    case "connect": {
      const s = kept.sessions[session] = Flashphoner.createSession({ urlServer, ...command.options });
      for (const status of ["ESTABLISHED", "DISCONNECTED", "FAILED", "WARN"]) {
        s.on(SESSION_STATUS[status], (subject) => tell("session", { id: session, status, info: String(subject?.info ?? "") }));
      }
      break;
    }
    case "publish":
    case "play": {
      const display = document.body.appendChild(document.createElement("div"));
      const s = kept.streams[stream] = kept.sessions[session].createStream({ display, ...command.options });
      for (const status of ["PUBLISHING", "PLAYING", "UNPUBLISHED", "STOPPED", "FAILED", "SNAPSHOT_COMPLETE"]) {
        s.on(STREAM_STATUS[status], (subject) => tell("stream", { id: stream, status, info: String(subject.getInfo?.() ?? ""), name: subject.name() }));
      }
      s[command.do]();
      break;
    }
    case "stop":
      kept.streams[stream].stop();
      break;
    case "snapshot":
      kept.streams[stream].snapshot();
      break;
    case "data":
      kept.sessions[session].sendData(command.payload).then(
        () => tell("data", { id: session, status: "ACCEPTED" }), () => tell("data", { id: session, status: "FAILED" }));
      break;
    case "disconnect":
      kept.sessions[session].disconnect();
      break;
    default:
      throw new Error(`no such command: ${command.do}`);
  }
}

await main(async () => {
  const base = await step("serve the SDK", 10, servePackage);
  const browser = await step("start the browser", 40, launch);
  const page = await step("open the page", 30, async () => {
    const opened = await browser.newPage();
    await opened.goto(`${base}/examples/demo/streaming/two_way_streaming/two_way_streaming.html`);
    await opened.exposeFunction("tell", (event, facts) => say(event, { displayed: facts }));
    await opened.evaluate(() => {
      document.body.innerHTML = "";
      return globalThis.Flashphoner.init({});
    });
    return opened;
  });
  say("ready");
  for await (const line of commands(Number(options.seconds ?? 120))) {
    await step(line, 20, () => page.evaluate(([command, url, source]) => {
      globalThis.act ??= (0, eval)(`(${source})`);
      return globalThis.act(command, url);
    }, [JSON.parse(line), options.address, act.toString()]));
  }
  say("stopped");
  await step("close the browser", 20, () => browser.close());
});
