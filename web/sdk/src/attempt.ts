import { SdkError } from "./errors.ts";
import { addFormat } from "./sdp.ts";
import { type StreamStats, summarize } from "./stats.ts";

/** What is wished of an offer and its answer. */
export interface PeerWishes {
  stripCodecs?: string[];
  /** Format parameters of Opus, such as stereo=1. */
  opus?: string;
  /** kbit/s. */
  minBitrate?: number;
  /** kbit/s. */
  maxBitrate?: number;
}

/** The bandwidth, frame rate and scale that `stream.updateVideoSettings` sets. */
export interface VideoSettings {
  /** kbit/s. */
  maxBitrate?: number;
  frameRate?: number;
  /** 2 sends half the width and half the height. */
  scaleResolutionDownBy?: number;
}

/** One peer connection, from its offer to its end. */
export class Attempt {
  readonly connection: RTCPeerConnection;

  constructor(config: RTCConfiguration | undefined, private readonly wishes: PeerWishes) {
    this.connection = new RTCPeerConnection({ bundlePolicy: "max-bundle", ...config });
  }

  /** The offer to send what the stream has. Candidates are not waited for: the server learns them by being reached. */
  async offerToSend(stream: MediaStream): Promise<string> {
    for (const track of stream.getTracks()) {
      this.prefer(this.connection.addTransceiver(track, { direction: "sendonly", streams: [stream] }), RTCRtpSender);
    }
    return this.offer();
  }

  /** The offer to receive; each track is handed to onTrack when it comes. */
  async offerToReceive(kinds: ("audio" | "video")[], onTrack: (event: RTCTrackEvent) => void): Promise<string> {
    this.connection.ontrack = onTrack;
    for (const kind of kinds) {
      this.prefer(this.connection.addTransceiver(kind, { direction: "recvonly" }), RTCRtpReceiver);
    }
    return this.offer();
  }

  /** Takes the server's answer. */
  async accept(answer: string): Promise<void> {
    const { maxBitrate, minBitrate, opus } = this.wishes;
    let sdp = opus ? addFormat(answer, ["opus"], opus) : answer;
    if (minBitrate) { // Chromium and Safari read it; there is no other way to say it
      sdp = addFormat(sdp, ["H264", "VP8"], `x-google-min-bitrate=${minBitrate}`);
    }
    try {
      await this.connection.setRemoteDescription({ type: "answer", sdp });
    } catch (error) {
      throw new SdkError("no_common_codecs", (error as Error).message, { cause: error });
    }
    if (maxBitrate) {
      await this.set({ maxBitrate }).catch(() => undefined); // a wish: the stream works without it
    }
  }

  /** Changes how the picture is encoded, and gives back what the browser made of it. */
  async set({ frameRate, maxBitrate, scaleResolutionDownBy }: VideoSettings): Promise<RTCRtpEncodingParameters[]> {
    const sender = this.sender("video");
    const parameters = sender?.getParameters();
    if (!sender || !parameters) {
      throw new SdkError("invalid_state", "no picture is sent");
    }
    for (const encoding of parameters.encodings) {
      if (maxBitrate) {
        encoding.maxBitrate = maxBitrate * 1000;
      } else {
        delete encoding.maxBitrate;
      }
      Object.assign(encoding, frameRate && { maxFramerate: frameRate }, scaleResolutionDownBy && { scaleResolutionDownBy });
    }
    await sender.setParameters(parameters);
    return parameters.encodings;
  }

  sender(kind: string): RTCRtpSender | undefined {
    return this.connection.getTransceivers().find(({ sender }) => sender.track?.kind === kind)?.sender;
  }

  /** Bytes of the picture, sent or received. */
  async videoBytes(): Promise<number> {
    const { inboundStream, outboundStream } = await this.stats();
    return Number(outboundStream.video?.["bytesSent"] ?? inboundStream.video?.["bytesReceived"] ?? 0);
  }

  async stats(): Promise<StreamStats> {
    return summarize([...(await this.connection.getStats()).values()]);
  }

  close(): void {
    this.connection.ontrack = null;
    this.connection.close();
  }

  private async offer(): Promise<string> {
    const offer = await this.connection.createOffer();
    const sdp = this.wishes.opus?.includes("stereo") ? addFormat(offer.sdp ?? "", ["opus"], "stereo=1;sprop-stereo=1") : offer.sdp;
    await this.connection.setLocalDescription({ type: "offer", sdp: sdp ?? "" });
    return sdp ?? "";
  }

  /** Leaves out the codecs that the page does not want. */
  private prefer(transceiver: RTCRtpTransceiver, side: typeof RTCRtpSender | typeof RTCRtpReceiver): void {
    const unwanted = this.wishes.stripCodecs?.map((name) => name.trim().toLowerCase()) ?? [];
    const { kind } = transceiver.receiver.track;
    const codecs = unwanted.length > 0 ? side.getCapabilities(kind)?.codecs : undefined;
    if (codecs) {
      transceiver.setCodecPreferences(codecs.filter(({ mimeType }) => !unwanted.includes(mimeType.toLowerCase().split("/")[1] ?? "")));
    }
  }
}
