// A server that answers the page as a test wants it to. Its WebRTC side is a second page of the same browser, so that the
// page under test connects for real.

import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import path from "node:path";
import { fileURLToPath } from "node:url";

const dist = fileURLToPath(new URL("../../../../web/dist/", import.meta.url));
const mediaTypes = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml" };

// As package webui sets it.
const policy = "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'none'; " +
  "frame-ancestors 'none'";

/** A push as the server's REST API describes it. */
export function push(fields = {}) {
  return {
    mediaSessionId: "eume87rjk3df1i9u14elffga6t", streamName: "rtmp_test", rtmpUrl: "rtmp://localhost:1935/live",
    width: 1280, height: 720, muted: false, soundEnabled: false, options: {}, sourceStreamName: "test",
    status: "PUBLISHING", since: 1, reason: "", reasonClass: "", info: "", attempts: 1, startedAt: 1, bytesSent: 1e6,
    bytesAcked: 1e6, videoFramesSent: 1234, audioFramesSent: 99, droppedFrames: 0, queuedBytes: 0, queuedMs: 0,
    bitrate: 2480, keyFrameIntervalMs: 2000, ...fields,
  };
}

export class MockServer {
  /** Every request to the API, as "METHOD path", with its body and headers. */
  requests = [];

  // What a test may set, each a function of the number of requests so far: a status or, for a push, its description.
  whip = () => 201;
  startup = () => push({ status: "STARTING", width: 0, height: 0, bitrate: 0, videoFramesSent: 0, keyFrameIntervalMs: 0 });
  find = () => push();
  config = { version: "1.0.0", rtmpPort: 1935, httpsPort: 8444 };

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

  /** Stops answering, as a server does that was killed. */
  async close() {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
    await this.far.close();
  }

  /** How many requests there were of this method and path. */
  count(what) {
    return this.requests.filter((request) => request.what === what).length;
  }

  last(what) {
    return this.requests.filter((request) => request.what === what).at(-1);
  }

  /** Frames that the far page has decoded. */
  framesReceived() {
    return this.far.evaluate(async () => {
      const stats = [...(await globalThis.peer.getStats()).values()];
      return stats.find((s) => s.type === "inbound-rtp" && s.kind === "video")?.framesDecoded ?? 0;
    });
  }

  async handle(request, response) {
    const { pathname } = new URL(request.url, "http://localhost");
    const body = await new Promise((resolve) => {
      const parts = [];
      request.on("data", (part) => parts.push(part)).on("end", () => resolve(Buffer.concat(parts).toString()));
    });
    const api = pathname.startsWith("/whip/") || pathname.startsWith("/rest-api/");
    if (api) {
      this.requests.push({ what: `${request.method} ${pathname}`, body, headers: request.headers });
    }
    try {
      await (api ? this.api(request.method, pathname, body, response) : this.page(pathname, response));
    } catch (error) {
      response.writeHead(500).end(String(error));
    }
  }

  async page(pathname, response) {
    if (pathname === "/config.json") {
      this.json(response, 200, this.config);
      return;
    }
    const name = pathname === "/" ? "/index.html" : pathname;
    const content = await readFile(path.join(dist, path.normalize(name))).catch(() => null);
    if (!content && name === "/index.html") {
      throw new Error("web/dist is empty: run make build first");
    }
    response.writeHead(content ? 200 : 404, {
      "Content-Type": mediaTypes[path.extname(name)] ?? "text/plain", "Content-Security-Policy": policy,
    }).end(content ?? "");
  }

  async api(method, pathname, body, response) {
    if (method === "DELETE") {
      response.writeHead(200).end();
    } else if (pathname.startsWith("/whip/")) {
      const status = this.whip(this.count(`POST ${pathname}`));
      if (status !== 201) {
        response.writeHead(status, { "Content-Type": "text/plain" }).end(`whip says ${status}`);
        return;
      }
      const answer = await this.far.evaluate((offer) => globalThis.answer(offer), body);
      response.writeHead(201, { "Content-Type": "application/sdp", Location: `${pathname}/session-1` }).end(answer);
    } else if (pathname === "/rest-api/push/startup") {
      this.reply(response, pathname, this.startup(this.count(`POST ${pathname}`)));
    } else if (pathname === "/rest-api/push/find") {
      const found = this.find(this.count(`POST ${pathname}`));
      this.reply(response, pathname, typeof found === "number" ? found : [found]);
    } else if (pathname === "/rest-api/push/terminate") {
      response.writeHead(200).end();
    }
  }

  reply(response, pathname, answer) {
    if (typeof answer !== "number") {
      this.json(response, 200, answer);
      return;
    }
    this.json(response, answer, {
      status: answer, error: "Error", message: `the mock says ${answer}`, path: pathname, timestamp: Date.now(),
    });
  }

  json(response, status, value) {
    response.writeHead(status, { "Content-Type": "application/json;charset=UTF-8" }).end(JSON.stringify(value));
  }
}
