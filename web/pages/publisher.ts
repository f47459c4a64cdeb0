import { sleep } from "../sdk/src/backoff.ts";
import { Failure, message, type PageReason } from "./failure.ts";
import { errorText, inTime, patienceMs } from "./http.ts";
import { iceServersOf } from "./ice-servers.ts";
import type { Codec as CodecName, Sending } from "./quality.ts";
import { restReason } from "./rest.ts";
import type { Ticket } from "./ticket.ts";

export interface PublishOptions extends Sending {
  name: string;
  /** What is sent now. */
  stream: MediaStream;
  /** "audio", "video" or both. A kind that has no track now may get one later. */
  kinds: readonly string[];
  ticket: Ticket;
  /** Takes the name from another publisher, if the ticket allows that. */
  takeOver?: boolean;
  /** By how much a picture is made smaller before it is sent; 1: not at all. Missing: none is. */
  scale?: (track: MediaStreamTrack) => number;
  /** The state of the connection has changed after it was established. */
  onChange: () => void;
}

/** How long ICE and DTLS may take after the answer. The server itself gives up after 15 s. */
const connectTimeoutMs = 15_000;

/** How long ICE may take after a restart: where it fails, a new connection is made. */
const restartTimeoutMs = 6000;

/** Host candidates come within a few milliseconds. The server can do without: it learns the address from the first packet. */
const gatherTimeoutMs = 300;

/** Publishes one stream to the server by WHIP (RFC 9725), preferably as H.264. */
export class Publisher {
  private readonly pc = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
  private resource = "";
  private answer = "";
  private stereo = false;
  private sending: Sending;
  private closed = false;

  private constructor(private readonly options: PublishOptions) {
    this.sending = options;
  }

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
        if (track.kind === "video" && this.scale(track) !== this.scale(sender.track)) {
          await sender.replaceTrack(null); // no picture is sent in a size of neither
          await this.limit(sender, track);
        }
        await sender.replaceTrack(track);
      }
    }
  }

  /** Sends at this bit rate and frame rate, in stereo or mono, over the same connection. The codec stays. */
  async change(sending: Sending): Promise<void> {
    const { stereo = false } = sending;
    this.sending = sending;
    if (stereo !== this.stereo) {
      this.stereo = stereo;
      await this.describe().catch(() => undefined); // the stream works as it is
    }
    for (const { receiver, sender } of this.pc.getTransceivers()) {
      if (receiver.track.kind === "video") {
        await this.limit(sender, sender.track);
      }
    }
  }

  private scale(track: MediaStreamTrack | null): number {
    return (track && this.options.scale?.(track)) ?? 1;
  }

  /** Holds the encoder to what is to be sent of a picture. */
  private async limit(sender: RTCRtpSender, picture: MediaStreamTrack | null): Promise<void> {
    const { frameRate, maxBitrateKbps } = this.sending;
    const parameters: RTCRtpSendParameters & { degradationPreference?: string } = sender.getParameters();
    for (const encoding of parameters.encodings) {
      encoding.maxBitrate = maxBitrateKbps * 1000;
      encoding.scaleResolutionDownBy = this.scale(picture);
      if (frameRate !== undefined) {
        encoding.maxFramerate = frameRate;
      }
    }
    // Players and platforms can handle a lower frame rate, but many fail if the size of the picture changes.
    parameters.degradationPreference = "maintain-resolution";
    await sender.setParameters(parameters).catch(() => undefined); // the stream works without it
  }

  stats(): Promise<RTCStatsReport> {
    return this.pc.getStats();
  }

  get connected(): boolean {
    return this.pc.connectionState === "connected" && !this.over;
  }

  /** Whether the connection has ended for good. */
  get over(): boolean {
    const transport = this.pc.getSenders()[0]?.transport; // it is closed when the server says goodbye
    return this.closed || this.pc.connectionState === "closed" || transport?.state === "closed" || transport?.state === "failed";
  }

  /** Asks the server whether it still has the session. */
  async isKnown(signal: AbortSignal): Promise<boolean> {
    return this.resource !== "" && inTime(patienceMs.quick, signal, async (either) => {
      const response = await fetch(this.resource, { headers: this.options.ticket.headers(), cache: "no-store", signal: either });
      if (!response.ok && response.status !== 404) {
        throw new Failure(whipReason(response.status), await errorText(response));
      }
      return response.ok;
    });
  }

  /** Finds another way to the server, such as over another network, for the same session (RFC 9725, 4.3.3). */
  async restartIce(signal: AbortSignal): Promise<void> {
    const { sdp = "" } = await this.pc.createOffer({ iceRestart: true });
    await this.pc.setLocalDescription({ type: "offer", sdp });
    const answer = await inTime(patienceMs.quick, signal, async (either) => {
      const response = await fetch(this.resource, {
        method: "PATCH",
        headers: { "Content-Type": "application/trickle-ice-sdpfrag", "If-Match": "*", ...this.options.ticket.headers() },
        body: credentials(sdp).join("\r\n") + "\r\n",
        signal: either,
      });
      if (!response.ok) {
        throw new Failure(whipReason(response.status), await errorText(response));
      }
      return response.text();
    });
    this.answer = withCredentials(this.answer, answer);
    await this.pc.setRemoteDescription(this.remote);
    await this.becomesConnected(restartTimeoutMs, signal);
  }

  /** Closes the connection, and does not tell the server, which has another one or none. */
  drop(): void {
    this.closed = true;
    this.pc.close();
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
    this.pc.close();
  }

  /** The address for offers. */
  private get offers(): string {
    return `/whip/${encodeURIComponent(this.options.name)}`;
  }

  private async open(signal: AbortSignal): Promise<void> {
    for (const kind of this.options.kinds) {
      this.add(kind);
    }
    const iceServers = await iceServersOf(this.offers, this.options.ticket.headers(), signal);
    if (iceServers.length > 0) {
      this.pc.setConfiguration({ ...this.pc.getConfiguration(), iceServers });
    }
    await this.pc.setLocalDescription();
    await this.gathered(signal);
    this.stereo = this.options.stereo ?? false;
    this.answer = await this.post(this.pc.localDescription?.sdp ?? "", signal);
    try {
      await this.pc.setRemoteDescription(this.remote);
    } catch (error) {
      throw new Failure("no_common_codecs", message(error));
    }
    await this.change(this.options);
    await this.becomesConnected(connectTimeoutMs, signal);
    this.pc.addEventListener("connectionstatechange", this.options.onChange);
    this.pc.getSenders()[0]?.transport?.addEventListener("statechange", this.options.onChange);
  }

  /** Gives the browser the answer anew. Nothing that the server must know has changed. While ICE restarts, the browser will get the answer anyway. */
  private async describe(): Promise<void> {
    if (this.pc.signalingState === "stable") {
      await this.pc.setLocalDescription(await this.pc.createOffer());
      await this.pc.setRemoteDescription(this.remote);
    }
  }

  /** The answer of the server, as the browser is to understand it. */
  private get remote(): RTCSessionDescriptionInit {
    return { type: "answer", sdp: this.stereo ? withStereo(this.answer) : this.answer };
  }

  private add(kind: string): void {
    const { stream } = this.options;
    const track = stream.getTracks().find((one) => one.kind === kind);
    const transceiver = this.pc.addTransceiver(track ?? kind, { direction: "sendonly", streams: [stream] });
    if (kind === "video") {
      const codecs = RTCRtpSender.getCapabilities("video")?.codecs ?? [];
      transceiver.setCodecPreferences(prefer(preferH264(codecs), this.options.codec));
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
      const response = await fetch(this.options.takeOver ? `${this.offers}?takeover=true` : this.offers, {
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

  private async becomesConnected(limitMs: number, signal: AbortSignal): Promise<void> {
    const settled = new AbortController();
    const check = (): void => {
      if (["connected", "failed", "closed"].includes(this.pc.connectionState)) {
        settled.abort();
      }
    };
    this.pc.addEventListener("connectionstatechange", check);
    check();
    await sleep(limitMs, AbortSignal.any([signal, settled.signal])).catch(() => signal.throwIfAborted());
    this.pc.removeEventListener("connectionstatechange", check);
    if (this.pc.connectionState !== "connected") {
      throw new Failure("ice_failed");
    }
  }
}

/** The lines with the ICE credentials in a description or a fragment. */
function credentials(sdp: string): string[] {
  return ["ufrag", "pwd"].flatMap((key) => new RegExp(`^a=ice-${key}:.*`, "m").exec(sdp) ?? []);
}

/** The description with the ICE credentials of a fragment. */
export function withCredentials(sdp: string, fragment: string): string {
  return credentials(fragment).reduce((text, line) => text.replace(new RegExp(`^${line.split(":")[0]}:.*`, "gm"), () => line), sdp);
}

/**
 * The description in which the far end wishes Opus in stereo, at a bit rate for music (RFC 7587, 6.1). Every decoder of Opus takes stereo, but browsers
 * send one channel where nobody wishes two.
 */
export function withStereo(sdp: string): string {
  const format = /^a=rtpmap:(\d+) opus\//m.exec(sdp)?.[1];
  return sdp.replace(new RegExp(`^a=fmtp:${format} .*`, "m"), (line) => `${line};stereo=1;maxaveragebitrate=128000`);
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

/** Sorts one codec first. The others stay, in case the server does not take it. */
export function prefer<C extends Codec>(codecs: C[], wanted: CodecName = "video/H264"): C[] {
  const first = ({ mimeType }: C): boolean => mimeType.toLowerCase() === wanted.toLowerCase();
  return [...codecs.filter(first), ...codecs.filter((codec) => !first(codec))];
}

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
