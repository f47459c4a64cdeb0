// The backend of an application, as those who integrate the vendor's server write it: a web server that takes the method from the last part
// of the path, mirrors the body, adds restClientConfig to the answer to connect, and answers 403 to what it does not like. Nothing but Node.
//
//   node backend.mjs [--secret KEY] [--port N] [--seconds 120]
//
// Says {"event":"listening","displayed":{"url":URL}}, and {"event":"hook","hook":{method,path,headers,body,status,at}} for each request that
// it has answered. Each line on standard input is an object that changes what it does from now on:
//
//   {"config":{"publishStream":{"restOnError":"FAIL"}}}   restClientConfig
//   {"tokens":["good"]}                                   connect is refused unless custom.token is one of them
//   {"method":"publishStream","status":403}               status of the answer; 0: none, the connection is closed
//   {"method":"publishStream","delay":15000}              ms before the answer
//   {"method":"publishStream","set":{"name":"real"}}      members that are changed in the mirrored body

import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";
import path from "node:path";
import { commands, main, readArguments, say, step } from "./lib/script.mjs";

const options = readArguments(["secret", "port", "seconds"]);
const state = { config: undefined, tokens: undefined, methods: new Map() };

/** The check of the vendor's samples: Authorization holds the HMAC-MD5 of the body. */
function isGenuine(request, text) {
  if (!options.secret) {
    return true;
  }
  const want = Buffer.from(`WCS ${createHmac("md5", options.secret).update(text).digest("hex")}`);
  const got = Buffer.from(request.headers.authorization ?? "");
  return got.length === want.length && timingSafeEqual(got, want);
}

function statusOf(method, body, request, text) {
  if (!isGenuine(request, text)) {
    return 403;
  }
  if (method === "connect" && state.tokens && !state.tokens.includes(body.custom?.token)) {
    return 403;
  }
  return state.methods.get(method)?.status ?? 200;
}

const server = createServer(async (request, response) => {
  const at = Date.now();
  const chunks = [];
  for await (const chunk of request) {
    chunks.push(chunk);
  }
  const text = Buffer.concat(chunks);
  const method = path.basename(new URL(request.url, "http://backend").pathname);
  const body = JSON.parse(text.toString());
  const { delay, set } = state.methods.get(method) ?? {};
  if (delay) {
    await new Promise((resolve) => setTimeout(resolve, delay));
  }
  const status = statusOf(method, body, request, text);
  const answer = { ...body, ...set };
  if (method === "connect" && state.config) {
    answer.restClientConfig = state.config;
  }
  if (status === 0) {
    request.socket.destroy();
  } else {
    response.writeHead(status, { "Content-Type": "application/json" }).end(status === 200 ? JSON.stringify(answer) : "");
  }
  say("hook", { hook: { method, path: request.url, headers: request.headers, body, text: text.toString(), status, at } });
});

await main(async () => {
  await step("listen", 10, () => new Promise((resolve, reject) => {
    server.once("error", reject).listen(Number(options.port ?? 0), "127.0.0.1", resolve);
  }));
  say("listening", { displayed: { url: `http://127.0.0.1:${server.address().port}/apps/EchoApp` } });
  for await (const line of commands(Number(options.seconds ?? 120))) {
    const command = JSON.parse(line);
    if ("config" in command) {
      state.config = command.config;
    }
    if ("tokens" in command) {
      state.tokens = command.tokens;
    }
    if (command.method) {
      state.methods.set(command.method, command);
    }
    say("understood");
  }
  say("stopped");
});
