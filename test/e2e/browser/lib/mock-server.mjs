// A server whose answers a test decides. A second page of the same browser is the other end of WebRTC, so that the page under
// test really connects.

import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import path from "node:path";
import { fileURLToPath } from "node:url";

const dist = fileURLToPath(new URL("../../../../web/dist/", import.meta.url));
export const mediaTypes = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml" };

// The same policy as in package webui.
export const policy = "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'none'; " +
  "media-src 'self' blob:; frame-ancestors 'none'";

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
  /** Every request to the API, as "METHOD path", with its body, headers and query. */
  requests = [];

  // The answers, for tests to replace. Each function gets the number of requests so far, and returns a status or an object.
  whip = () => 201;
  known = false; // whether WHIP knows a session
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
  /** The addresses of the files that were asked for. */
  files = [];
  /** Files that the server does not have. */
  missing = () => false;
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
  /** Values of the header Link that tells STUN and TURN servers. */
  iceServers = undefined;
  /**
   * Further methods of REST, by their path, such as "user/find_all". Each gets the body, and returns an answer, or a function that writes the answer
   * to the response.
   */
  methods = { "node/find_all": () => [] };

  cookies = new Set();

  followers = new Set();
  events = 0;

  /** The status of an offer to play; 201 plays pictures and sound that the far end makes. */
  whep = () => 404;
  viewers = new Set(); // the answers with events about the session that plays

  static async start(browser) {
    const mock = new MockServer();
    mock.far = await browser.newPage();
    await mock.far.evaluate(() => {
      globalThis.answer = async (offer) => {
        globalThis.peer?.close();
        const peer = globalThis.peer = new RTCPeerConnection();
        await peer.setRemoteDescription({ type: "offer", sdp: offer });
        const { sdp } = await peer.createAnswer();
        const stereo = ";stereo=1"; // Chromium decodes both channels only so; the server always does, and does not say it
        await peer.setLocalDescription({ type: "answer", sdp: sdp.replace("useinbandfec=1", `useinbandfec=1${stereo}`) });
        while (peer.iceGatheringState !== "complete") {
          await new Promise((resolve) => peer.addEventListener("icegatheringstatechange", resolve, { once: true }));
        }
        return peer.localDescription.sdp.replace(stereo, "");
      };
      globalThis.perform = async (offer) => {
        globalThis.player?.close();
        const player = globalThis.player = new RTCPeerConnection();
        await player.setRemoteDescription({ type: "offer", sdp: offer });
        const canvas = Object.assign(document.createElement("canvas"), { width: 320, height: 180 });
        const paint = canvas.getContext("2d");
        clearInterval(globalThis.painter);
        globalThis.painter = setInterval(() => {
          paint.fillStyle = `hsl(${Date.now() / 10 % 360} 80% 50%)`;
          paint.fillRect(0, 0, 320, 180);
        }, 40);
        const sound = new AudioContext();
        const [video] = canvas.captureStream(25).getTracks();
        const [audio] = sound.createMediaStreamDestination().stream.getTracks();
        for (const track of [video, audio]) {
          player.addTrack(track);
        }
        await player.setLocalDescription();
        while (player.iceGatheringState !== "complete") {
          await new Promise((resolve) => player.addEventListener("icegatheringstatechange", resolve, { once: true }));
        }
        return player.localDescription.sdp;
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

  /** Stops like close, and can come back. */
  async crash() {
    this.port = this.server.address().port;
    this.server.closeAllConnections();
    await Promise.all([new Promise((resolve) => this.server.close(resolve)), this.far.evaluate(() => globalThis.peer?.close())]);
  }

  /** Starts again at the same address, without the sessions of before. */
  async comeBack() {
    this.known = false;
    await new Promise((resolve, reject) => this.server.once("error", reject).listen(this.port, "127.0.0.1", resolve));
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

  /** Tells those who watch that the publisher is away ("inactive") or back ("active"). */
  tellViewers(event) {
    for (const response of this.viewers) {
      response.write(`event: ${event}\ndata: {}\n\n`);
    }
  }

  /** Ends the session that plays, as the server does when nobody publishes any more. */
  async endShow(status = 404) {
    this.whep = () => status;
    this.playing = false;
    await this.far.evaluate(() => globalThis.player?.close());
    for (const response of this.viewers) {
      response.end();
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
    const api = /^\/(whip|whep|rest-api)\//.test(pathname);
    if (api) {
      this.requests.push({ what: `${request.method} ${pathname}`, body, headers: request.headers, query: searchParams });
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
    const watch = pathname.startsWith("/watch/");
    const name = watch ? "/watch.html" : pathname === "/" ? "/index.html" : path.extname(pathname) === "" ? `${pathname}.html` : pathname;
    this.files.push(pathname);
    const content = this.missing(pathname) ? null : await readFile(path.join(dist, path.normalize(name))).catch(() => null);
    if (!content && name === "/index.html") {
      throw new Error("web/dist is empty: run make build first");
    }
    response.writeHead(content ? 200 : 404, {
      "Content-Type": mediaTypes[path.extname(name)] ?? "text/plain", "Content-Security-Policy": watch ? policy.replace("media-src 'self' blob:; frame-ancestors 'none'", "frame-ancestors *") : policy,
    }).end(content ?? "");
  }

  async api(method, pathname, body, response, query) {
    if (method === "DELETE") {
      if (pathname === "/rest-api/session") {
        this.cookies.clear();
      }
      response.writeHead(200).end();
    } else if (pathname.startsWith("/whep/")) {
      await this.play(method, pathname, body, response);
    } else if (pathname.startsWith("/whip/") && method === "OPTIONS") {
      response.writeHead(204, this.iceServers ? { Link: this.iceServers } : {}).end();
    } else if (pathname.startsWith("/whip/") && method === "GET") {
      response.writeHead(this.known ? 204 : 404).end();
    } else if (pathname.startsWith("/whip/")) {
      const status = this.whip(this.count(`POST ${pathname}`));
      if (status !== 201) {
        this.json(response, status, { title: "Refused", status, detail: `whip says ${status}` }, "application/problem+json");
        return;
      }
      const answer = await this.far.evaluate((offer) => globalThis.answer(offer), body);
      this.known = true;
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
        "push/history": () => this.history(count, query),
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
      const answer = await (answers[path]?.() ?? other?.(body === "" ? {} : JSON.parse(body), query) ?? 200);
      if (typeof answer === "function") {
        answer(response);
        return;
      }
      this.reply(response, pathname, answer);
    }
  }

  async play(method, pathname, body, response) {
    const session = /^\/whep\/[^/]+\/session/.test(pathname);
    if (method === "OPTIONS") {
      response.writeHead(204).end();
    } else if (pathname.endsWith("/events")) {
      response.writeHead(201, { Location: `${pathname}/1` }).end();
    } else if (pathname.endsWith("/events/1")) {
      response.writeHead(this.playing ? 200 : 404, { "Content-Type": "text/event-stream" }).write("event: active\ndata: {}\n\n");
      this.viewers.add(response);
      response.on("close", () => this.viewers.delete(response));
    } else if (session) {
      response.writeHead(this.playing ? 204 : 404).end();
    } else {
      const status = this.whep(this.count(`POST ${pathname}`), this.requests.at(-1).headers);
      if (status !== 201) {
        this.json(response, status, { title: "Refused", status, detail: `whep says ${status}` }, "application/problem+json");
        return;
      }
      const answer = await this.far.evaluate((offer) => globalThis.perform(offer), body);
      this.playing = true;
      response.writeHead(201, {
        "Content-Type": "application/sdp", Location: `${pathname}/session-1`,
        Link: `<${pathname}/session-1/events>; rel="urn:ietf:params:whep:ext:core:server-sent-events"; events="active,inactive"`,
      }).end(answer);
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
    if (Buffer.isBuffer(answer)) { // a picture
      response.writeHead(200, { "Content-Type": "image/jpeg" }).end(answer);
      return;
    }
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
