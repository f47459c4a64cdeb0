// A server whose answers a test decides. A second page of the same browser is the other end of WebRTC, so that the page under
// test really connects.

import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import path from "node:path";
import { fileURLToPath } from "node:url";

const dist = fileURLToPath(new URL("../../../../web/dist/", import.meta.url));
const mediaTypes = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml" };

// The same policy as in package webui.
const policy = "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'none'; " +
  "frame-ancestors 'none'";

/** A push as the server's REST API describes it. */
export function push(fields = {}) {
  return {
    mediaSessionId: "eume87rjk3df1i9u14elffga6t", streamName: "rtmp_test", rtmpUrl: "rtmp://localhost:1935/live", target: "rtmp://localhost/live/***",
    secretName: false, width: 1280, height: 720, muted: false, soundEnabled: false, options: {}, sourceStreamName: "test",
    status: "PUBLISHING", since: 1, reason: "", reasonClass: "", info: "", attempts: 1, startedAt: 1, bytesSent: 1e6,
    bytesAcked: 1e6, videoFramesSent: 1234, audioFramesSent: 99, droppedFrames: 0, queuedBytes: 0, queuedMs: 0,
    bitrate: 2480, keyFrameIntervalMs: 2000, ...fields,
  };
}

/** A stream as the server's REST API describes it. */
export function stream(fields = {}) {
  return {
    appKey: "defaultApp", sessionId: "5f0c1d5e", mediaSessionId: "56141d10", name: "test", published: true, hasVideo: true,
    hasAudio: true, status: "PUBLISHING", audioCodec: "opus", videoCodec: "H264", width: 1280, height: 720, bitrate: 2480,
    audioBitrate: 42, fps: 30, gop: 60, transport: "UDP", createDate: Date.now() - 61_000, mediaType: "publish",
    audioState: { muted: false }, videoState: { muted: false }, mediaProvider: "WebRTC", ...fields,
  };
}

/** A call as the server's REST API describes it. */
export function call(fields = {}) {
  return {
    appKey: "", sessionId: "", callId: "c-1", parentCallId: null, incoming: false, status: "ESTABLISHED", sipStatus: 200, caller: "1000",
    callee: "1001", visibleName: "", hasAudio: true, hasVideo: true, sdp: null, inviteParameters: null, sipMessageRaw: null,
    mediaProvider: "SIP", isMsrp: false, target: null, holdForTransfer: false, streamName: "phone", rtmpUrl: null, rtmpStream: null,
    rtmpStreamStatus: null, custom: null, reason: "", info: "", startedAt: Date.now() - 70_000, answeredAt: Date.now() - 61_000,
    audioCodec: "PCMU", videoCodec: "H264", packetsReceived: 997, packetsLost: 3, packetsRefused: 0, keyFrameRequests: 1, ...fields,
  };
}

export class MockServer {
  /** Every request to the API, as "METHOD path", with its body and headers. */
  requests = [];

  // The answers, for tests to replace. Each function gets the number of requests so far, and returns a status or an object.
  whip = () => 201;
  startup = () => push({ status: "STARTING", width: 0, height: 0, bitrate: 0, videoFramesSent: 0, keyFrameIntervalMs: 0 });
  find = () => push(); // or a list of them
  history = () => [];
  sound = () => 200;
  terminate = () => 200;
  streams = () => 404;
  sessions = () => 404;
  calls = () => [];
  digits = () => 200;
  config = { version: "1.0.0", rtmpPort: 1935, httpsPort: 8444 };
  /** The login that REST asks for, as "name:password"; "" for none: then everybody is on the server's machine. */
  login = "";
  /** What GET session says of whoever has signed in, or needs no login. */
  me = { kind: "local", name: "", role: "admin", actions: ["publish", "play", "push", "read", "control", "admin"], streams: ["*"], app: "", mode: "auto" };
  /** The answer to a login: a status, or undefined to check the password. */
  refuseLogin = () => undefined;
  token = (n) => ({ token: `ticket-${n}`, jti: `jti-${n}`, expiresAt: Date.now() + 600_000 });
  destinations = () => [];
  /** An access token that REST takes in place of a login. */
  bearer = "";
  /** Further methods of REST, by their path, such as "user/find_all". Each gets the body, and returns an answer. */
  methods = { "node/find_all": () => [] };

  cookies = new Set();

  followers = new Set();
  events = 0;

  static async start(browser) {
    const mock = new MockServer();
    mock.far = await browser.newPage();
    await mock.far.evaluate(() => {
      globalThis.answer = async (offer) => {
        globalThis.peer?.close();
        const peer = globalThis.peer = new RTCPeerConnection();
        await peer.setRemoteDescription({ type: "offer", sdp: offer });
        await peer.setLocalDescription();
        while (peer.iceGatheringState !== "complete") {
          await new Promise((resolve) => peer.addEventListener("icegatheringstatechange", resolve, { once: true }));
        }
        return peer.localDescription.sdp;
      };
    });
    mock.server = createServer((request, response) => void mock.handle(request, response));
    await new Promise((resolve, reject) => mock.server.once("error", reject).listen(0, "127.0.0.1", resolve));
    mock.address = `http://localhost:${mock.server.address().port}/`;
    return mock;
  }

  /** Stops at once, like a server that was killed. */
  async close() {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
    await this.far.close();
  }

  /** Sends an event about a push to all followers. */
  tell(fields) {
    const number = ++this.events;
    const data = { number, sequence: number, id: push().mediaSessionId, at: new Date().toISOString(), sourceStreamName: "test",
      target: "rtmp://localhost:1935/live/***", from: "PUBLISHING", to: "PUBLISHING", reason: "", class: "", info: "", attempt: 1,
      bytesAcked: 0, ...fields };
    for (const response of this.followers) {
      response.write(`id: ${number}\nevent: push\ndata: ${JSON.stringify(data)}\n\n`);
    }
  }

  /** The number of requests with this method and path. */
  count(what) {
    return this.requests.filter((request) => request.what === what).length;
  }

  last(what) {
    return this.requests.filter((request) => request.what === what).at(-1);
  }

  /** The number of frames that the other end has decoded. */
  framesReceived() {
    return this.far.evaluate(async () => {
      const stats = [...(await globalThis.peer.getStats()).values()];
      return stats.find((s) => s.type === "inbound-rtp" && s.kind === "video")?.framesDecoded ?? 0;
    });
  }

  async handle(request, response) {
    const { pathname, searchParams } = new URL(request.url, "http://localhost");
    const body = await new Promise((resolve) => {
      const parts = [];
      request.on("data", (part) => parts.push(part)).on("end", () => resolve(Buffer.concat(parts).toString()));
    });
    const api = pathname.startsWith("/whip/") || pathname.startsWith("/rest-api/");
    if (api) {
      this.requests.push({ what: `${request.method} ${pathname}`, body, headers: request.headers });
    }
    try {
      await (api ? this.api(request.method, pathname, body, response, searchParams) : this.page(pathname, response));
    } catch (error) {
      response.writeHead(500).end(String(error));
    }
  }

  async page(pathname, response) {
    if (pathname === "/config.json") {
      this.json(response, 200, this.config);
      return;
    }
    const name = pathname === "/" ? "/index.html" : path.extname(pathname) === "" ? `${pathname}.html` : pathname;
    const content = await readFile(path.join(dist, path.normalize(name))).catch(() => null);
    if (!content && name === "/index.html") {
      throw new Error("web/dist is empty: run make build first");
    }
    response.writeHead(content ? 200 : 404, {
      "Content-Type": mediaTypes[path.extname(name)] ?? "text/plain", "Content-Security-Policy": policy,
    }).end(content ?? "");
  }

  async api(method, pathname, body, response, query) {
    if (method === "DELETE") {
      if (pathname === "/rest-api/session") {
        this.cookies.clear();
      }
      response.writeHead(200).end();
    } else if (pathname.startsWith("/whip/")) {
      const status = this.whip(this.count(`POST ${pathname}`));
      if (status !== 201) {
        this.json(response, status, { title: "Refused", status, detail: `whip says ${status}` }, "application/problem+json");
        return;
      }
      const answer = await this.far.evaluate((offer) => globalThis.answer(offer), body);
      response.writeHead(201, { "Content-Type": "application/sdp", Location: `${pathname}/session-1` }).end(answer);
    } else if (pathname === "/rest-api/session" && method === "POST") {
      this.signIn(JSON.parse(body), response);
    } else if (!this.knows(this.requests.at(-1).headers)) {
      this.reply(response, pathname, 401);
    } else if (pathname === "/rest-api/push/events") {
      response.writeHead(200, { "Content-Type": "text/event-stream" }).write("retry: 2000\nid: 0\n: heartbeat\n\n");
      this.followers.add(response);
      response.on("close", () => this.followers.delete(response));
    } else {
      const list = (found) => (typeof found === "number" || Array.isArray(found) ? found : [found]);
      const count = this.count(`${method} ${pathname}`);
      const answers = {
        "push/startup": () => this.startup(count, JSON.parse(body)),
        "push/find": () => list(this.find(count)),
        "push/history": () => this.history(count),
        "push/sound_on": () => this.sound(count),
        "push/terminate": () => this.terminate(count),
        "stream/find_all": () => this.streams(count),
        "connection/find_all": () => this.sessions(count),
        "call/find_all": () => this.calls(count),
        "call/send_dtmf": () => this.digits(count),
        "session": () => this.me,
        "token/create": () => this.token(count, JSON.parse(body)),
        "destination/find_all": () => this.destinations(count),
      };
      const path = pathname.slice("/rest-api/".length);
      const other = this.methods[path];
      this.reply(response, pathname, await (answers[path]?.() ?? other?.(body === "" ? {} : JSON.parse(body), query) ?? 200));
    }
  }

  /** Whether a request comes from somebody who has signed in with the password that there is now, or shows a bearer token. */
  knows(headers) {
    if (this.login === "" || headers.authorization === `Bearer ${this.bearer}`) {
      return true;
    }
    const session = /transponder=(\w+)/.exec(headers.cookie ?? "")?.[1];
    return this.cookies.has(`${session} ${this.login}`);
  }

  signIn({ name, password }, response) {
    const refused = this.refuseLogin(this.count("POST /rest-api/session"));
    if (refused || (this.login !== "" && `${name}:${password}` !== this.login)) {
      this.reply(response, "/rest-api/session", refused ?? 401);
      return;
    }
    const session = `s${this.cookies.size + 1}`;
    this.cookies.add(`${session} ${this.login}`);
    this.me = { ...this.me, kind: "user", name };
    response.setHeader("Set-Cookie", `transponder=${session}; HttpOnly; SameSite=Strict; Path=/`);
    this.json(response, 200, this.me);
  }

  reply(response, pathname, answer) {
    if (typeof answer !== "number") {
      this.json(response, 200, answer);
      return;
    }
    if (answer === 200) {
      response.writeHead(200).end();
      return;
    }
    this.json(response, answer, {
      status: answer, error: "Error", message: `the mock says ${answer}`, path: pathname, timestamp: Date.now(),
    });
  }

  json(response, status, value, type = "application/json;charset=UTF-8") {
    response.writeHead(status, { "Content-Type": type }).end(JSON.stringify(value));
  }
}
