// The SDK's REST client in a page of another server, with a login.
//
//   node rest-elsewhere.mjs http://localhost:8081/ --page http://elsewhere.test:3000/ --user NAME --password PASSWORD [--seconds 60]
//
// Says {"event":"done"} with what came of a login that is right, of one that is wrong, and of one with other headers of the page's.

import { launch } from "./lib/browser.mjs";
import { main, readArguments, say, step } from "./lib/script.mjs";

const options = readArguments(["page", "user", "password", "seconds"]);

await main(async () => {
  const browser = await step("start the browser", 40, () => launch({ args: ["--host-resolver-rules=MAP elsewhere.test 127.0.0.1"] }));
  const page = await browser.newPage();
  await step("ask", 30, async () => {
    await page.goto(options.page);
    const displayed = await page.evaluate(async ({ address, user, password }) => {
      const { RestApi } = await import(new URL("/sdk/transponder.js", address).href);
      const ask = (login) => new RestApi({ url: new URL(address).origin, ...login }).history()
        .then((list) => `${list.length} pushes`, ({ info, reason }) => `${reason}: ${info}`);
      return { right: await ask({ user, password }), wrong: await ask({ user, password: "wrong" }), none: await ask({}) };
    }, options);
    say("done", { displayed });
  });
  say("stopped");
  await step("close the browser", 20, () => browser.close());
});
