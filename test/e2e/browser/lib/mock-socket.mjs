// The server's WebSocket for pages of the SDK, whose answers a test decides. Sound and pictures come from the far end of a MockServer, or go there.

export class MockSocket {
  /** All messages of pages, as [name, object]. */
  sent = [];
  /** The sockets that are open. */
  open = new Set();
  /** Whether somebody publishes what is played. */
  live = true;
  /** Words with which publishers are refused; undefined: they are not. */
  refusal;

  static async install(page, mock) {
    const socket = new MockSocket();
    socket.mock = mock;
    await page.routeWebSocket(/\/ws$/, (ws) => {
      socket.open.add(ws);
      ws.onClose(() => {
        socket.open.delete(ws);
        ws.close();
      });
      ws.onMessage((text) => {
        const { message, data: [data] } = JSON.parse(text);
        socket.sent.push([message, data]);
        socket.answer(ws, message, data).catch(() => undefined); // the test has ended meanwhile
      });
    });
    return socket;
  }

  count(name) {
    return this.sent.filter(([message]) => message === name).length;
  }

  last(name) {
    return this.sent.filter(([message]) => message === name).at(-1)?.[1];
  }

  say(ws, message, ...data) {
    ws.send(JSON.stringify({ message, data }));
  }

  /** Tells the page a status of the stream that it plays or publishes. */
  status(ws, mediaSessionId, status, info = "") {
    this.say(ws, "notifyStreamStatusEvent", { mediaSessionId, status, info });
  }

  async answer(ws, message, data) {
    const id = data?.mediaSessionId;
    switch (message) {
      case "connection":
        this.say(ws, "getUserData", { ...data, authToken: "token" });
        break;
      case "playStream":
        this.player = [ws, id];
        if (!this.live) {
          this.status(ws, id, "FAILED", "Stream not found");
          break;
        }
        this.say(ws, "setRemoteSDP", id, await this.mock.far.evaluate((sdp) => globalThis.perform(sdp), data.sdp));
        this.status(ws, id, "PLAYING");
        break;
      case "publishStream":
        if (this.refusal) {
          this.status(ws, id, "FAILED", this.refusal);
          break;
        }
        this.say(ws, "setRemoteSDP", id, await this.mock.far.evaluate((sdp) => globalThis.answer(sdp), data.sdp));
        this.status(ws, id, "PUBLISHING");
        break;
      case "stopStream":
        this.status(ws, id, "STOPPED");
        break;
      case "unPublishStream":
        this.status(ws, id, "UNPUBLISHED");
        break;
    }
  }

  /** The publisher ends the stream that the page plays. */
  end() {
    this.live = false;
    this.status(...this.player, "FAILED", "Stopped by publisher stop");
  }

  /** The publisher sends nothing, or sends again, while the stream goes on. */
  silence(silent) {
    return this.mock.far.evaluate(async (quiet) => {
      globalThis.tracks ??= globalThis.player.getSenders().map(({ track }) => track);
      await Promise.all(globalThis.player.getSenders().map((sender, i) => sender.replaceTrack(quiet ? null : globalThis.tracks[i])));
    }, silent);
  }
}
