// The links of the studio: what is in them, and what a link can do and cannot do.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { leftOutOf, proposalIn, proposalLink, viewerLink } from "./.build/web/pages/link.js";
import { launch } from "./lib/browser.mjs";
import { push } from "./lib/mock-server.mjs";
import { scan } from "./lib/scan.mjs";
import { looks, openStudio, until } from "./lib/studio-page.mjs";

let browser;

before(async () => {
  browser = await launch();
}, { timeout: 60_000 });
after(() => browser?.close());

const open = (t, search = "", setUp = () => undefined) => openStudio(t, browser, setUp, { address: (base) => base + search });

const to = (kind, address = "", key = "") => ({ kind, address, key });

test("a link says the same again, without keys", () => {
  const destinations = [to("named", "main"), to("youtube", "", "SECRET"), to("kick", "rtmps://a.example/app", "SECRET"), to("kick", "", "SECRET"),
    to("server", "rtmp://one.example/live"), to("custom", "rtmps://b.example/app", "SECRET")];
  const link = proposalLink("https://studio.example/x", { name: "show", destinations });
  assert.doesNotMatch(link, /SECRET/);
  assert.deepEqual(proposalIn(new URL(link).search), { name: "show", destinations: destinations.map((one) => ({ ...one, key: "" })) });
  const secret = [to("server", "rtmp://me:SECRET@one.example/live"), to("server", "rtmp://one.example/live?token=SECRET"), to("custom", "rtmp://one.example/app/SECRET")];
  assert.equal(proposalLink("https://studio.example/", { name: "", destinations: secret }), "https://studio.example/");
  assert.equal(viewerLink("https://s.example", "acme/live show", "a+b"), "https://s.example/watch/acme%2Flive%20show#token=a%2Bb");
});

test("what of a link is left out", () => {
  for (const [search, ...words] of [["?name=show&to=youtube&to=rtmp://a.example/b&utm_source=x"], ["?"], ["?name="], ["?name=..", /name.*dots alone/], ["?to=custom", /A destination/],
    ["?to=rtmp://", /A destination/], [`?${"to=youtube&".repeat(10)}to=bad`, /first 10/], ["?name=a b&to=nowhere&key=", /name/, /A destination/, /key/]]) {
    const said = leftOutOf(search);
    assert.equal(said.length, words.length, search);
    words.forEach((wanted, i) => assert.match(said[i], wanted));
  }
});

test("what is no proposal", () => {
  for (const search of ["", "?", "?name=", "?name=two words", "?name=..", "?to=javascript:alert(1)", "?to=http://host/app", "?to=rtmp://", "?to=named:main",
    "?to=constructor", "?to=destination://a/b", "?to=custom", "?to=server", "?to=custom:ftp://x", "?key=abc",
    "?to=rtmp://\u202Emoc.elbatsurt/app", "?to=rtmp://yоutube.com/app", "?to=rtmp://host/app\u2066", `?to=rtmp://h/${"x".repeat(1001)}`]) {
    assert.equal(proposalIn(search), null, search);
  }
  assert.equal(proposalIn(`?${"to=youtube&".repeat(50)}`).destinations.length, 10);
  assert.deepEqual(proposalIn("?to=youtube:rtmp://evil.example/app&key=k"), { name: "", destinations: [to("youtube")] });
});

describe("a link that was opened", () => {
  const hostile = `?name=show&to=${encodeURIComponent("rtmp://youtube.com@evil.example/app/<img/src=x>")}&to=custom:rtmps://evil.example/app/KEY&key=abc`;

  test("is shown, and waits for the person", async (t) => {
    const { mock, page, phase, start, errors } = await open(t, hostile);
    await page.locator("#proposal").waitFor();
    const words = await page.locator("#proposal").innerText();
    assert.match(words, /^evil\.example, by rtmp:\/\/youtube\.com@evil\.example\/app.* may hold its key or password$/m);
    assert.match(words, /evil\.example, by rtmps:\/\/evil\.example\/app\/KEY\. The link may hold its key/);
    assert.match(words, /names the stream show/);
    assert.equal(await page.locator("#proposal img").count(), 0);
    assert.equal(new URL(page.url()).search, ""); // a reload does not propose it again
    assert.equal(await page.locator("#name").inputValue(), "show");
    assert.equal(await page.locator(".destination").count(), 1);
    await looks(page, "proposal");
    await start("show"); // whoever does not look at it sends nothing there
    await phase("live");
    const started = mock.requests.filter(({ what }) => what === "POST /rest-api/push/startup").map(({ body }) => JSON.parse(body).rtmpUrl);
    assert.deepEqual(started, ["rtmp://localhost:1935/live"]);
    assert.deepEqual(errors, []);
  });

  test("and says nothing that can be used", async (t) => {
    const spoken = "Call+0800+now", { page, errors } = await open(t, `?name=${spoken}&to=http://${spoken}.example&key=${spoken}`);
    const box = page.locator("#proposal");
    await box.waitFor();
    const words = await box.innerText();
    for (const wanted of [/cannot be used as it is/, /name of its stream is left out\. Use only letters/, /A destination is left out/, /key is left out/]) {
      assert.match(words, wanted);
    }
    assert.doesNotMatch(words, /0800/); // whoever makes a link has no voice on this page
    await looks(page, "link-left-out");
    await box.getByRole("button", { name: "OK" }).click();
    assert.equal(await box.isVisible(), false);
    await page.goto(`${page.url()}?name=show&${"to=youtube&".repeat(11)}`);
    await box.waitFor();
    assert.match(await box.innerText(), /Only its first 10 destinations are taken/);
    assert.deepEqual(errors, []);
  });

  test("is taken, or left", async (t) => {
    const { mock, page, phase } = await open(t, "?to=destination://main&to=twitch&to=rtmp://one.example/live", (mock) => (mock.destinations = () => [{ name: "other" }]));
    await page.getByRole("button", { name: "Add to this show" }).click();
    assert.equal(await page.locator("#proposal").isVisible(), false);
    assert.deepEqual(await page.locator(".destination h3").allInnerTexts(), ["localhost:1935", "main", "Destination", "one.example"].map((name, i) => (i === 2 ? "Twitch" : name)));
    assert.equal(await page.locator("#named-2").inputValue(), "main"); // it is gone: the server will say so, and "other" is not taken for it
    assert.equal(mock.count("POST /whip/test"), 0);
    assert.equal(mock.count("POST /rest-api/push/startup"), 0);
    await page.locator("#go").click();
    assert.match(await page.locator("#key-3-problem").innerText(), /stream key of Twitch/);
    await phase("idle");

    await page.goto(`${mock.address}?to=rtmp://two.example/live`);
    await page.getByRole("button", { name: "Ignore" }).click();
    assert.equal(await page.locator("#proposal").isVisible(), false);
    assert.doesNotMatch(await page.locator("body").innerText(), /two\.example/);
  });
});

describe("a link to a show that runs", () => {
  const pushes = ["rtmp://one.example/live", "rtmp://two.example/live"].map((rtmpUrl, i) => push({ mediaSessionId: `id-${i}`, sourceStreamName: "show", rtmpUrl }));
  const live = (mock) => (mock.find = () => pushes);
  const taken = (words) => words === "Another device or window sends this show";

  test("lets the person take it over, and lose it again", async (t) => {
    const { mock, page, phase, state, text, errors } = await open(t, "?name=show&to=youtube", live);
    await phase("waiting");
    assert.ok(taken(await text("state")));
    assert.equal(await text("go"), "Take over");
    assert.equal(await text("pill"), "On air");
    assert.equal(await page.locator("#badge").isVisible(), false); // it would stand on the picture of this page
    assert.equal(await page.locator("#proposal").isVisible(), false);
    assert.deepEqual(await page.locator(".destination h3").allInnerTexts(), ["one.example", "two.example"]);
    assert.equal(mock.count("POST /whip/show"), 0, "nothing is sent yet");
    await looks(page, "elsewhere");

    await page.setViewportSize({ width: 360, height: 780 });
    await page.reload();
    await phase("waiting");
    assert.ok(taken(await text("state")));
    await page.waitForFunction(() => document.getElementById("go").getBoundingClientRect().bottom <= innerHeight); // it can be pressed without a search
    await page.waitForFunction(() => document.getElementById("video").videoWidth > 0);
    await page.locator("#go").click();
    await state("Live on all 2 destinations");
    assert.equal(mock.last("POST /whip/show").query.get("takeover"), "true");
    assert.deepEqual(JSON.parse(mock.last("POST /rest-api/token/create").body).grants, [{ actions: ["publish", "control"], streams: ["show"] }]);
    assert.equal(mock.count("POST /rest-api/push/startup"), 0, "the pushes are the same");

    mock.known = false; // the other device takes it back
    mock.whip = () => 409;
    await mock.far.evaluate(() => globalThis.peer.close());
    await phase("waiting");
    assert.ok(taken(await text("state")));
    assert.match(await page.locator("#events").innerText(), /Another device sends the show\./);
    assert.ok(mock.requests.filter(({ what }) => what === "POST /whip/show").slice(1).every(({ query }) => !query.has("takeover")), "the page does not fight for it");
    assert.equal(mock.count("POST /rest-api/push/terminate"), 0);

    const more = [{ ...pushes[0], mediaSessionId: "id-8" }, pushes[1], { ...pushes[1], mediaSessionId: "id-9", rtmpUrl: "rtmp://three.example/live" }];
    mock.find = () => more; // the other device starts one push again, and one to another destination
    await until(async () => (await page.locator(".destination h3").allInnerTexts()).join() === "one.example,two.example,three.example", "what the other device has started");
    mock.find = () => more.map((one) => ({ ...one, status: "HOLDING" })); // the other device is away
    await state("Your show is interrupted");
    assert.equal(await text("go"), "Go on");
    mock.find = () => more;
    mock.whip = () => 201;
    await state("Another device or window sends this show");
    await page.locator("#finish").click();
    await phase("idle");
    assert.equal(mock.count("POST /rest-api/push/terminate"), 3);
    assert.deepEqual(errors.filter((error) => !/409|404/.test(error)), []);
  });

  test("says so if the person may not take it over", async (t) => {
    const { mock, page, phase, text } = await open(t, "?name=show", (mock) => {
      live(mock);
      mock.whip = () => 409;
    });
    await phase("waiting");
    await page.waitForFunction(() => document.getElementById("video").videoWidth > 0);
    await page.locator("#go").click();
    await phase("failed");
    assert.match(await text("failure"), /you may not take it over/);
    assert.ok(taken(await text("state")));
    assert.equal(await text("go"), "Take over");
    assert.equal(mock.count("POST /whip/show"), 1);
    assert.equal(mock.count("POST /rest-api/push/terminate"), 0);
  });

  test("shows it after the person has signed in", async (t) => {
    const { mock, page, phase, text } = await open(t, "?name=show&to=youtube", (mock) => {
      live(mock);
      mock.login = "anna:sesame";
    });
    await page.locator("#login").waitFor();
    await page.locator("#user").fill("anna");
    await page.locator("#password").fill("sesame");
    await page.keyboard.press("Enter");
    await phase("waiting");
    assert.ok(taken(await text("state")));
    assert.equal(await page.locator("#proposal").isVisible(), false);
    assert.equal(mock.count("POST /whip/show"), 0);
  });

  test("has ended", async (t) => {
    const { page, phase } = await open(t, "?name=show&to=youtube", (mock) => (mock.find = () => pushes.map((one) => ({ ...one, status: "ENDED", endedAt: 2 }))));
    await page.locator("#proposal").waitFor();
    await phase("idle");
  });
});

test("codes for viewers and for a phone", async (t) => {
  const { mock, page, text, errors } = await open(t);
  await page.locator("#name").fill("show");
  await page.locator("#share > summary").click();
  await page.locator("#share-link").waitFor(); // the script of this part is loaded now
  assert.equal(await text("share-link"), `${mock.address}watch/show`);
  assert.equal(await scan(page, "share-code"), `${mock.address}watch/show`);
  assert.match(await text("share-local"), /cannot open these links/);
  assert.match(await text("share-embed"), /^<iframe src="http:.*\/watch\/show" .*><\/iframe>$/);

  mock.methods["token/create"] = undefined;
  mock.token = () => ({ token: "tok-1" });
  await page.locator("label:has(#share-pass)").click();
  await page.waitForFunction(() => document.getElementById("share-link").textContent.endsWith("/watch/show#token=tok-1"));
  assert.deepEqual(JSON.parse(mock.last("POST /rest-api/token/create").body), { grants: [{ actions: ["play"], streams: ["show"] }], expiresIn: 86_400 });
  assert.equal(await scan(page, "share-code"), `${mock.address}watch/show#token=tok-1`);
  assert.doesNotMatch(await text("share-embed"), /tok-1/);
  await page.locator("#name").fill("other"); // the token is for another stream
  await until(async () => (await text("share-link")) === `${mock.address}watch/other`, "the link of the other stream");
  assert.equal(await page.locator("#share-pass").isChecked(), false);
  mock.token = () => 403;
  await page.locator("label:has(#share-pass)").click();
  await page.locator("#share-problem").waitFor();
  assert.equal(await page.locator("#share-pass").isChecked(), false);

  await page.locator("#add").click();
  await page.locator("label:has(#kind-youtube-2)").click();
  await page.locator("#key-2").fill("abcd-1234");
  const phone = "https://localhost:8444/?name=other&to=rtmp%3A%2F%2Flocalhost%3A1935%2Flive&to=youtube";
  await until(async () => (await text("phone-link")) === phone, "the link for the phone");
  assert.equal(await scan(page, "phone-code"), phone);
  await looks(page, "share");
  assert.deepEqual(errors.filter((error) => !/403/.test(error)), []);
});
