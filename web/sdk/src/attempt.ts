import type { ConnectionQuality } from "./constants.ts";
import { SdkError } from "./errors.ts";
import { type AudioConstraints, details, type VideoConstraints } from "./media.ts";
import { QualityMeter } from "./quality.ts";
import { addFormat } from "./sdp.ts";
import { type StreamStats, summarize } from "./stats.ts";
import type { StreamOptions } from "./stream-options.ts";

/** The settings of `stream.updateVideoSettings`. */
export interface VideoSettings {
  /** kbit/s. */
  maxBitrate?: number;
  frameRate?: number;
  /** With 2, the stream sends half the width and half the height. */
  scaleResolutionDownBy?: number;
}

/** What a session knows of the network. */
export interface Network {
  readonly _options: { mediaOptions?: RTCConfiguration };
  /** The STUN and TURN servers that the server has told, undefined if it has told none. The page's own take their place. */
  readonly _iceServers: RTCIceServer[];
}

/** One attempt to publish or play a stream: a peer connection, from the offer to the end. A stream that is restored makes another attempt. */
export class Attempt {
  readonly _connection: RTCPeerConnection;
  private readonly _quality = new QualityMeter();

  constructor({ _iceServers: iceServers, _options: { mediaOptions } }: Network, readonly _options: StreamOptions) {
    this._connection = new RTCPeerConnection({ bundlePolicy: "max-bundle", iceServers, ...mediaOptions });
  }

  /** Makes the offer to send these tracks. It has no candidates: the server learns our addresses from our packets. */
  async _offerToSend(stream: MediaStream): Promise<string> {
    for (const track of stream.getTracks()) {
      this._prefer(this._connection.addTransceiver(track, { direction: "sendonly", streams: [stream] }), RTCRtpSender);
    }
    return this._offer();
  }

  /** Makes the offer to receive the media that the page wants. onTrack gets each track when it arrives. */
  async _offerToReceive(onTrack: (event: RTCTrackEvent) => void): Promise<string> {
    this._connection.ontrack = onTrack;
    const { constraints, receiveAudio = true, receiveVideo = true } = this._options;
    for (const [kind, wanted] of [["audio", constraints?.audio ?? receiveAudio], ["video", constraints?.video ?? receiveVideo]] as const) {
      if (wanted) {
        this._prefer(this._connection.addTransceiver(kind, { direction: "recvonly" }), RTCRtpReceiver);
      }
    }
    return this._offer();
  }

  /** Takes the server's answer. The page's `sdpHook` can change it first. */
  async _accept(answer: string): Promise<void> {
    const { maxBitrate, minBitrate } = details<VideoConstraints>(this._options.constraints?.video);
    let sdp = this._options.sdpHook?.({ sdpString: answer }) || answer;
    if (this._opus) {
      sdp = addFormat(sdp, ["opus"], this._opus);
    }
    if (minBitrate) { // there is no other way to ask for it; only Chromium and Safari obey
      sdp = addFormat(sdp, ["H264", "VP8"], `x-google-min-bitrate=${minBitrate}`);
    }
    try {
      await this._connection.setRemoteDescription({ type: "answer", sdp });
    } catch (error) {
      throw new SdkError("no_common_codecs", (error as Error).message, { cause: error });
    }
    if (maxBitrate) {
      await this._set({ maxBitrate }).catch(() => undefined); // the stream works without this limit
    }
  }

  /** Changes how the picture is encoded, and returns the settings that the browser then has. */
  async _set({ frameRate, maxBitrate, scaleResolutionDownBy }: VideoSettings): Promise<RTCRtpEncodingParameters[]> {
    const sender = this._sender("video");
    const parameters = sender?.getParameters();
    if (!sender || !parameters) {
      throw new SdkError("invalid_state", "no pictures are sent");
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

  _sender(kind: string): RTCRtpSender | undefined {
    return this._connection.getTransceivers().find(({ sender }) => sender.track?.kind === kind)?.sender;
  }

  async _stats(): Promise<StreamStats> {
    return summarize([...(await this._connection.getStats()).values()]);
  }

  /** Compares our bit/s of pictures with the server's count. Returns null if there is nothing to compare yet. */
  async _measure(serverBPS: number): Promise<[ConnectionQuality, number, number] | null> {
    const { inboundStream, outboundStream } = await this._stats();
    const bytes = Number(outboundStream.video?.["bytesSent"] ?? inboundStream.video?.["bytesReceived"] ?? 0);
    return bytes ? this._quality._measure(bytes, serverBPS) : null;
  }

  close(): void {
    this._connection.ontrack = null;
    this._connection.close();
  }

  /** Makes the offer. With `iceRestart`, it is for another network; sound and pictures go on. */
  async _offer(options?: RTCOfferOptions): Promise<string> {
    let { sdp = "" } = await this._connection.createOffer(options);
    if (this._opus.includes("stereo")) {
      sdp = addFormat(sdp, ["opus"], "stereo=1;sprop-stereo=1");
    }
    await this._connection.setLocalDescription({ type: "offer", sdp });
    return sdp;
  }

  /** The format parameters of Opus that the page asks for. */
  private get _opus(): string {
    const { bitrate, fec, stereo } = details<AudioConstraints>(this._options.constraints?.audio);
    return [bitrate && `maxaveragebitrate=${bitrate}`, stereo && "stereo=1;sprop-stereo=1", fec && "useinbandfec=1"].filter(Boolean).join(";");
  }

  /** Removes the codecs that the page does not want. */
  _prefer(transceiver: RTCRtpTransceiver, side: typeof RTCRtpSender | typeof RTCRtpReceiver): void {
    const { stripCodecs } = this._options;
    // Pages of the vendor's SDK pass anything here, even the event of a click.
    const unwanted = String(stripCodecs).toLowerCase().split(/[\s,]+/);
    const codecs = stripCodecs && side.getCapabilities(transceiver.receiver.track.kind)?.codecs || [];
    const wanted = codecs.filter(({ mimeType }) => !unwanted.includes(mimeType.toLowerCase().split("/")[1] ?? ""));
    if (wanted.length < codecs.length) {
      transceiver.setCodecPreferences(wanted);
    }
  }
}
