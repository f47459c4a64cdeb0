// A page of a stranger tries what it can do to a server on its visitor's machine, in all the ways that pages have.
//
//   node strangers.mjs http://localhost:8081/ --socket ws://localhost:8080 [--password NAME:PASSWORD | --login NAME:PASSWORD]
//
// --password has the browser send a name and a password with every request by itself, as it does with one that a person gave it. --login has
// the person sign in on the server's page before, so that the browser has a cookie; the server then asks everybody else who he is.
// Says {"event":"done","faults":[…]} with what should not have worked, or should have.

import { createServer } from "node:http";

import { launch } from "./lib/browser.mjs";
import { main, readArguments, say, step } from "./lib/script.mjs";

const options = readArguments(["socket", "password", "login", "seconds"]);
const stranger = "evil.test";
const faults = [];

/** Serves an empty page to all who ask, whatever name they call it by. */
async function serveEmpty() {
  const server = createServer((_, response) => {
    response.setHeader("Content-Type", "text/html");
    response.end("<!doctype html><title>stranger</title>");
  });
  await new Promise((resolve, reject) => server.once("error", reject).listen(0, "127.0.0.1", resolve));
  return server.address().port;
}

const basic = (login) => `Basic ${Buffer.from(login).toString("base64")}`;

/** Notes what is not as it should be. */
function expect(what, got, ...wanted) {
  if (!wanted.includes(got)) {
    faults.push(`${what}: ${got}, not ${wanted.join(" or ")}`);
  }
}

/** The forms that a page can send without asking. JSON hides in the name of a field. */
const forms = {
  "text/plain": (body) => [`${body.slice(0, -1)},"x":"`, '"}'],
  "application/x-www-form-urlencoded": (body) => [body, ""],
  "multipart/form-data": (body) => [body, ""],
};

/** Sends a form to an address by a navigation of a new page, and returns the status. */
async function sendForm(context, from, address, type, body, policy) {
  const [name, value] = forms[type](body);
  const page = await context.newPage();
  await page.goto(from);
  const answered = page.waitForResponse((response) => response.url() === address);
  await page.evaluate(([action, enctype, field, content, referrer]) => {
    const form = document.createElement("form");
    Object.assign(form, { action, enctype, method: "post" });
    if (referrer) {
      document.head.append(Object.assign(document.createElement("meta"), { name: "referrer", content: referrer }));
    }
    form.append(Object.assign(document.createElement("input"), { name: field, value: content }));
    document.body.append(form);
    form.submit();
  }, [address, type, name, value, policy]);
  const response = await answered;
  await page.close();
  return response.status();
}

/** What a fetch of a page gets: the status, "opaque", or "blocked" by the browser. */
const ask = (page, address, init) => page.evaluate(([url, settings]) => fetch(url, settings)
  .then((response) => response.type === "opaque" ? "opaque" : response.status, () => "blocked"), [address, init]);

/** What becomes of a WebSocket of a page that connects without a token: "let in" or "refused". */
const socket = (page, address) => page.evaluate((url) => new Promise((resolve) => {
  const opened = new WebSocket(url);
  const end = (what) => { opened.close(); resolve(what); };
  opened.onopen = () => opened.send(JSON.stringify({ message: "connection", data: [{ appKey: "defaultApp", mediaProviders: ["WebRTC"], clientVersion: "2.0" }] }));
  opened.onmessage = ({ data }) => JSON.parse(data).message === "getUserData" && end("let in");
  opened.onerror = opened.onclose = () => end("refused");
}), address);

/** What becomes of an EventSource of a page. */
const follow = (page, address) => page.evaluate((url) => new Promise((resolve) => {
  const events = new EventSource(url);
  events.onopen = () => { events.close(); resolve("open"); };
  events.onerror = () => { events.close(); resolve("refused"); };
}), address);

/** How many requests of pages REST has refused. The frame's own process does not tell what it was answered. */
async function refusals(server) {
  const known = options.password ?? options.login;
  const figures = await (await fetch(`${server.origin}/metrics`, known ? { headers: { Authorization: basic(known) } } : {})).text();
  return figures.match(/transponder_turned_away_total\{door="rest",reason="origin"\} (\d+)/)?.[1];
}

const push = JSON.stringify({ streamName: "victim", rtmpUrl: "rtmp://127.0.0.1:1/live" });
const all = JSON.stringify({ all: true });
const json = { "Content-Type": "application/json" };
const sdp = { method: "POST", headers: { "Content-Type": "application/sdp" }, body: "v=0" };

await main(async () => {
  const port = await serveEmpty();
  const server = new URL(options.address);
  const rest = `${server.origin}/rest-api`;
  const passwords = Boolean(options.password);
  const browser = await launch({ args: [`--host-resolver-rules=MAP *.test 127.0.0.1`] });
  const context = await browser.newContext(!passwords ? {} : {
    extraHTTPHeaders: { Authorization: basic(options.password) },
  });
  const page = await context.newPage();
  const visit = (address) => page.goto(address);
  const evil = `http://${stranger}:${port}/`;

  if (options.login) {
    await step("sign in", 30, async () => {
      const [name, password] = options.login.split(":");
      await visit(`${server.origin}/login`);
      await page.locator("#user").fill(name);
      await page.locator("#password").fill(password);
      await page.keyboard.press("Enter");
      await page.waitForURL("**/console");
      const [cookie] = await context.cookies();
      expect("the cookie's flags", `${cookie.httpOnly} ${cookie.sameSite}`, "true Strict");
      expect("the person's own page", await ask(page, "/rest-api/stream/find", { method: "POST", headers: json, body: JSON.stringify({ name: "victim" }) }), 200);
    });
  }

  await step("forms", 60, async () => {
    for (const type of Object.keys(forms)) {
      for (const [path, body] of [["/push/startup", push], ["/stream/terminate", all]]) {
        for (const policy of ["", "no-referrer"]) {
          expect(`form ${type} ${policy} to ${path}`, await sendForm(context, evil, rest + path, type, body, policy), 403);
        }
      }
    }
  });

  await step("requests of a page of another host", 60, async () => {
    await visit(evil);
    for (const [path, body] of [["/push/startup", push], ["/stream/terminate", all]]) {
      const type = { "Content-Type": "text/plain" };
      expect(`JSON to ${path}`, await ask(page, rest + path, { method: "POST", headers: json, body }), "blocked");
      expect(`text to ${path}`, await ask(page, rest + path, { method: "POST", headers: type, body }), "blocked");
      // The browser says nothing of what became of it: the server's own list does.
      await ask(page, rest + path, { method: "POST", mode: "no-cors", headers: type, body, credentials: "include" });
      await page.evaluate(([url, text]) => navigator.sendBeacon(url, text), [rest + path, body]);
    }
    expect("history", await ask(page, `${rest}/push/history`, {}), "blocked");
    expect("figures", await ask(page, `${server.origin}/?action=stat`, {}), "blocked");
    expect("metrics", await ask(page, `${server.origin}/metrics`, {}), "blocked");
    expect("events", await follow(page, `${rest}/push/events?after=0`), "refused");
    if (!passwords) { // the browser asks WHIP's consent to another header than the page's
      expect("WHIP", await ask(page, `${server.origin}/whip/mine`, sdp), 403);
      expect("WHEP", await ask(page, `${server.origin}/whep/victim`, sdp), 403);
    }
    expect("WebSocket", await socket(page, options.socket), "refused");
    expect("WebSocket on the HTTP port", await socket(page, `ws://${server.host}/ws`), "refused");
  });

  await step("sandbox", 30, async () => {
    await visit(evil);
    const before = await refusals(server);
    await page.evaluate(([action, body]) => {
      const frame = document.createElement("iframe");
      frame.sandbox = "allow-scripts allow-forms";
      frame.srcdoc = `<form action="${action}" method="post" enctype="text/plain"><input name='${body.slice(0, -1)},"x":"' value='"}'>` +
        "</form><script>document.forms[0].submit()</script>";
      document.body.append(frame);
    }, [`${rest}/push/startup`, push]);
    while (await refusals(server) === before) { // the step has its limit
      await page.waitForTimeout(50);
    }
  });

  await step("a name that leads here", 60, async () => {
    await visit(`http://${stranger}:${server.port}/`); // the pages are no secret
    // Whoever has the password may use any name. The cookie is for another name.
    const refused = passwords ? [200, 404] : options.login ? [401] : [403];
    for (const path of ["/push/history", "/push/find_all", "/connection/find_all"]) {
      expect(`stolen name, ${path}`, await ask(page, `/rest-api${path}`, {}), ...refused);
    }
    for (const path of ["/metrics", "/?action=stat"]) {
      expect(`stolen name, ${path}`, await ask(page, path, { credentials: "omit" }), passwords ? 200 : 403);
    }
    expect("stolen name, /config.json", await ask(page, "/config.json", {}), 403);
    if (!passwords) {
      expect("stolen name, start", await ask(page, "/rest-api/push/startup", { method: "POST", headers: json, body: push }), ...refused);
      expect("stolen name, events", await follow(page, "/rest-api/push/events"), "refused");
    }
    expect("stolen name, WHIP", await ask(page, "/whip/mine", sdp), 403);
    expect("stolen name, WHEP", await ask(page, "/whep/victim", sdp), 403);
    const signalling = new URL(options.socket);
    expect("stolen name, WebSocket", await socket(page, `ws://${stranger}:${signalling.port}/`), "refused");
    expect("stolen name, WebSocket on the HTTP port", await socket(page, `ws://${stranger}:${server.port}/ws`), "refused");
  });

  await step("a page of the same host", 30, async () => {
    await visit(`http://localhost:${port}/`);
    if (options.login) { // scripts of another port are of another origin, so the browser sends no cookie
      expect("other port, streams", await ask(page, `${rest}/stream/find`, { method: "POST", headers: json, body: JSON.stringify({ name: "victim" }) }), 401);
      return;
    }
    const found = await ask(page, `${rest}/stream/find`, { method: "POST", headers: json, body: JSON.stringify({ name: "victim" }) });
    expect("own page, the victim", found, 200);
    expect("own page, jQuery's type", await ask(page, `${rest}/push/find_all`, {
      method: "POST", headers: { "Content-Type": "application/x-www-form-urlencoded; charset=UTF-8" }, body: "{}",
    }), 404);
    expect("own page, events", await follow(page, `${rest}/push/events`), "open");
    expect("own page, WebSocket", await socket(page, options.socket), "let in");
    expect("own page, WHIP", await ask(page, `${server.origin}/whip/mine`, sdp), 400);
  });
  await browser.close();
  say("done", { faults });
});
