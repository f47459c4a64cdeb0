import { sleep } from "../sdk/src/backoff.ts";
import { Failure, message } from "./failure.ts";
import { errorText, inTime, patienceMs } from "./http.ts";
import { iceServersOf } from "./ice-servers.ts";
import { bearer, restReason } from "./rest.ts";

export interface PlaybackOptions {
  name: string;
  /** An access token; "" for none. */
  token: string;
  /** The server lets this page play. Media come some moments later. */
  onAccepted: () => void;
  /** The publisher has left, and the server waits for it; or it is back. */
  onAway: (away: boolean) => void;
}

/** How long ICE and DTLS may take after the answer. */
const connectTimeoutMs = 15_000;

/** Host candidates come within a few milliseconds. The server can do without: it learns the address from the first packet. */
const gatherTimeoutMs = 300;

/**
 * Plays one stream of the server by WHEP (draft-ietf-wish-whep), from its answer to the end of the session. The SDK's player comes by the
 * WebSocket, which does not say whether a stream is missing, not allowed, or gone for a moment.
 */
export class Playback {
  readonly stream = new MediaStream();
  private readonly pc = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
  private readonly over = new AbortController();
  private events: EventSource | null = null;
  private resource = "";

  private constructor(private readonly options: PlaybackOptions) {}

  /** Resolves when media can flow. If it fails, the session is ended. */
  static async open(options: PlaybackOptions, signal: AbortSignal): Promise<Playback> {
    const playback = new Playback(options);
    try {
      await playback.begin(signal);
      return playback;
    } catch (error) {
      void playback.close();
      throw error;
    }
  }

  /** Resolves when the session has ended, whoever has ended it. */
  async ended(signal: AbortSignal): Promise<void> {
    const either = AbortSignal.any([signal, this.over.signal]);
    if (!either.aborted) {
      await new Promise((resolve) => either.addEventListener("abort", resolve, { once: true }));
    }
  }

  stats(): Promise<RTCStatsReport> {
    return this.pc.getStats();
  }

  /** Ends the session on the server and here. It never fails: if the server is gone, the session has ended anyway. */
  async close(): Promise<void> {
    this.over.abort();
    this.events?.close();
    const { resource } = this;
    this.resource = "";
    if (resource !== "") {
      // This comes before pc.close(), which would also end the session, so that the server would no longer know it.
      // keepalive: the browser sends the request even if the page is closed meanwhile.
      const goodbye = { method: "DELETE", headers: this.headers, keepalive: true };
      await inTime(patienceMs.quick, undefined, (signal) => fetch(resource, { ...goodbye, signal })).catch(() => undefined);
    }
    this.pc.close();
  }

  private get headers(): Record<string, string> {
    return bearer(this.options.token);
  }

  private async begin(signal: AbortSignal): Promise<void> {
    const offers = `/whep/${encodeURIComponent(this.options.name)}`;
    this.pc.addEventListener("track", ({ track }) => this.stream.addTrack(track));
    this.pc.addTransceiver("video", { direction: "recvonly" });
    this.pc.addTransceiver("audio", { direction: "recvonly" });
    const iceServers = await iceServersOf(offers, this.headers, signal);
    if (iceServers.length > 0) {
      this.pc.setConfiguration({ ...this.pc.getConfiguration(), iceServers });
    }
    await this.pc.setLocalDescription();
    await this.gathered(signal);
    const { answer, events } = await this.post(offers, signal);
    this.options.onAccepted();
    try {
      await this.pc.setRemoteDescription({ type: "answer", sdp: answer });
    } catch (error) {
      throw new Failure("no_common_codecs", message(error));
    }
    await this.connected(signal);
    const check = (): void => {
      if (this.pc.connectionState === "failed" || this.transport?.state === "closed" || this.transport?.state === "failed") {
        this.over.abort();
      }
    };
    this.pc.addEventListener("connectionstatechange", check);
    this.transport?.addEventListener("statechange", check);
    check();
    void this.follow(events).catch(() => undefined); // without events, the end is noticed some seconds later
  }

  private get transport(): RTCDtlsTransport | null {
    return this.pc.getReceivers()[0]?.transport ?? null;
  }

  private async gathered(signal: AbortSignal): Promise<void> {
    const done = new AbortController();
    const check = (): void => void (this.pc.iceGatheringState === "complete" && done.abort());
    this.pc.addEventListener("icegatheringstatechange", check);
    check();
    await sleep(gatherTimeoutMs, AbortSignal.any([signal, done.signal])).catch(() => signal.throwIfAborted());
  }

  private post(offers: string, signal: AbortSignal): Promise<{ answer: string; events: string }> {
    return inTime(patienceMs.slow, signal, async (either) => {
      const response = await fetch(offers, {
        method: "POST", headers: { "Content-Type": "application/sdp", ...this.headers }, body: this.pc.localDescription?.sdp ?? "", signal: either,
      });
      if (response.status !== 201) {
        throw new Failure(whepReason(response.status), await errorText(response));
      }
      const here = (path: string | undefined): string => (path === undefined ? "" : new URL(path, response.url).href);
      this.resource = here(response.headers.get("Location") ?? undefined);
      const events = /<([^>]*)>[^<]*rel="urn:ietf:params:whep:ext:core:server-sent-events"/.exec(response.headers.get("Link") ?? "")?.[1];
      return { answer: await response.text(), events: here(events) };
    });
  }

  private async connected(signal: AbortSignal): Promise<void> {
    const settled = new AbortController();
    const check = (): void => void (["connected", "failed", "closed"].includes(this.pc.connectionState) && settled.abort());
    this.pc.addEventListener("connectionstatechange", check);
    check();
    await sleep(connectTimeoutMs, AbortSignal.any([signal, settled.signal])).catch(() => signal.throwIfAborted());
    if (this.pc.connectionState !== "connected") {
      throw new Failure("ice_failed");
    }
  }

  /** Follows the events of the session. When they break off, the server or the session is gone. */
  private async follow(address: string): Promise<void> {
    if (address === "") {
      return;
    }
    const signal = AbortSignal.any([this.over.signal, AbortSignal.timeout(patienceMs.slow)]);
    const response = await fetch(address, { method: "POST", headers: this.headers, signal });
    const location = response.headers.get("Location");
    if (!response.ok || location === null || this.over.signal.aborted) {
      return;
    }
    const events = this.events = new EventSource(new URL(location, response.url));
    events.addEventListener("active", () => this.options.onAway(false));
    events.addEventListener("inactive", () => this.options.onAway(true));
    events.addEventListener("error", () => void this.probe());
  }

  private async probe(): Promise<void> {
    const signal = AbortSignal.any([this.over.signal, AbortSignal.timeout(patienceMs.quick)]);
    const known = await fetch(this.resource, { headers: this.headers, cache: "no-store", signal })
      .then(({ ok }) => ok, () => false);
    if (!known) {
      this.over.abort();
    }
  }
}

function whepReason(status: number): Failure["reason"] {
  switch (status) {
    case 401: return "unauthorized";
    case 404: return "not_found";
    case 406:
    case 415:
    case 422: return "no_common_codecs";
    default: return restReason(status);
  }
}
