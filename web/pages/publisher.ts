import { sleep } from "../sdk/src/backoff.ts";
import { Failure, message, type PageReason } from "./failure.ts";
import { errorText, inTime, patienceMs } from "./http.ts";
import { restReason } from "./rest.ts";
import type { Ticket } from "./ticket.ts";

export interface PublishOptions {
  name: string;
  stream: MediaStream;
  /** Ends with the publisher. */
  ticket: Ticket;
  maxBitrateKbps: number;
  /** Called once if the connection is lost after it was established. */
  onLost: (failure: Failure) => void;
}

/** How long ICE and DTLS may take after the answer. The server itself gives up after 15 s. */
const connectTimeoutMs = 15_000;

/** Host candidates come within a few milliseconds. The server can do without: it learns the address from the first packet. */
const gatherTimeoutMs = 300;

/** Publishes one stream to the server by WHIP (RFC 9725), preferably as H.264. */
export class Publisher {
  private readonly pc = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
  private resource = "";
  private closed = false; // by us or by the server: later changes are not reported

  private constructor(private readonly options: PublishOptions) {}

  /** Resolves when media can flow. If it fails, the session is ended. */
  static async connect(options: PublishOptions, signal: AbortSignal): Promise<Publisher> {
    const publisher = new Publisher(options);
    try {
      await publisher.open(signal);
      return publisher;
    } catch (error) {
      await publisher.close();
      throw error;
    }
  }

  /** Replaces the camera or the microphone that is sent. */
  async replaceTrack(track: MediaStreamTrack): Promise<void> {
    for (const { receiver, sender } of this.pc.getTransceivers()) {
      if (receiver.track.kind === track.kind && sender.track !== track) {
        await sender.replaceTrack(track);
      }
    }
  }

  stats(): Promise<RTCStatsReport> {
    return this.pc.getStats();
  }

  /** Ends the session on the server and here. It never fails: if the server is gone, the session has ended anyway. */
  async close(): Promise<void> {
    this.closed = true;
    const resource = this.resource;
    this.resource = "";
    if (resource !== "") {
      // This comes before pc.close(), which would also end the session, but the server would call it lost.
      // keepalive: the browser sends the request even if the page is closed meanwhile.
      const goodbye = { method: "DELETE", headers: this.options.ticket.headers(), keepalive: true };
      await inTime(patienceMs.quick, undefined, (signal) => fetch(resource, { ...goodbye, signal })).catch(() => undefined);
    }
    this.options.ticket.release();
    this.pc.close();
  }

  private async open(signal: AbortSignal): Promise<void> {
    for (const track of this.options.stream.getTracks()) {
      this.addTrack(track);
    }
    await this.pc.setLocalDescription();
    await this.gathered(signal);
    const answer = await this.post(this.pc.localDescription?.sdp ?? "", signal);
    try {
      await this.pc.setRemoteDescription({ type: "answer", sdp: answer });
    } catch (error) {
      throw new Failure("no_common_codecs", message(error));
    }
    await this.limitBitrate();
    await this.connected(signal);
  }

  private addTrack(track: MediaStreamTrack): void {
    const transceiver = this.pc.addTransceiver(track, { direction: "sendonly", streams: [this.options.stream] });
    if (track.kind === "video") {
      const codecs = RTCRtpSender.getCapabilities("video")?.codecs ?? [];
      transceiver.setCodecPreferences(preferH264(codecs));
    }
  }

  private async gathered(signal: AbortSignal): Promise<void> {
    if (this.pc.iceGatheringState === "complete") {
      return;
    }
    const done = new AbortController();
    this.pc.addEventListener("icegatheringstatechange", () => {
      if (this.pc.iceGatheringState === "complete") {
        done.abort();
      }
    });
    await sleep(gatherTimeoutMs, AbortSignal.any([signal, done.signal])).catch(() => signal.throwIfAborted());
  }

  private post(offer: string, signal: AbortSignal): Promise<string> {
    return inTime(patienceMs.slow, signal, async (either) => {
      const response = await fetch(`/whip/${encodeURIComponent(this.options.name)}`, {
        method: "POST",
        headers: { "Content-Type": "application/sdp", ...this.options.ticket.headers() },
        body: offer,
        signal: either,
      });
      if (response.status !== 201) {
        throw new Failure(whipReason(response.status), await errorText(response));
      }
      const location = response.headers.get("Location");
      this.resource = location ? new URL(location, response.url).href : "";
      return response.text();
    });
  }

  private async limitBitrate(): Promise<void> {
    for (const sender of this.pc.getSenders()) {
      if (sender.track?.kind !== "video") {
        continue;
      }
      const parameters: RTCRtpSendParameters & { degradationPreference?: string } = sender.getParameters();
      for (const encoding of parameters.encodings) {
        encoding.maxBitrate = this.options.maxBitrateKbps * 1000;
      }
      // Players and platforms can handle a lower frame rate, but many fail if the size of the picture changes.
      parameters.degradationPreference = "maintain-resolution";
      await sender.setParameters(parameters).catch(() => undefined); // the stream works without it
    }
  }

  private async connected(signal: AbortSignal): Promise<void> {
    const settled = new AbortController();
    const check = (): void => {
      if (this.pc.connectionState !== "connecting" && this.pc.connectionState !== "new") {
        settled.abort();
      }
    };
    this.pc.addEventListener("connectionstatechange", check);
    check();
    await sleep(connectTimeoutMs, AbortSignal.any([signal, settled.signal])).catch(() => signal.throwIfAborted());
    this.pc.removeEventListener("connectionstatechange", check);
    if (this.pc.connectionState !== "connected") {
      throw new Failure("ice_failed");
    }
    this.watch();
  }

  /** Reports the end of the connection: at once if the server closes it, after some seconds if the server falls silent. */
  private watch(): void {
    const transport = this.pc.getSenders()[0]?.transport;
    const check = (): void => {
      const over = this.pc.connectionState === "failed" || transport?.state === "closed" || transport?.state === "failed";
      if (over && !this.closed) {
        this.closed = true;
        this.options.onLost(new Failure("disconnected"));
      }
    };
    this.pc.addEventListener("connectionstatechange", check);
    transport?.addEventListener("statechange", check);
  }
}

function whipReason(status: number): PageReason {
  switch (status) {
    case 401: return "token_needed"; // in REST, this status asks for a name and a password
    case 409: return "name_in_use";
    case 400:
    case 404:
    case 406:
    case 413:
    case 415:
    case 422: return "offer_refused";
    default: return restReason(status);
  }
}

type Codec = Pick<RTCRtpCodec, "mimeType" | "sdpFmtpLine">;

/** Sorts H.264 first, because RTMP carries it unchanged. Within H.264, packetization mode 1 and baseline profiles come first. */
export function preferH264<C extends Codec>(codecs: C[]): C[] {
  const rank = (codec: C): number => {
    if (codec.mimeType.toLowerCase() !== "video/h264") {
      return 4;
    }
    const format = codec.sdpFmtpLine ?? "";
    return (format.includes("packetization-mode=1") ? 0 : 2) + (format.includes("profile-level-id=42e0") ? 0 : 1);
  };
  return [...codecs].sort((a, b) => rank(a) - rank(b));
}
