import { Attempt } from "./attempt.ts";
import { SdkError } from "./errors.ts";

/** Which media of the other side the page wants. */
export interface Wanted {
  audio: boolean;
  video: boolean;
}

/** The peer connection of a call: it sends and receives over the same sections. */
export class CallAttempt extends Attempt {
  /** Makes the offer to send these tracks and to receive what is wanted. It has no candidates, as that of a publisher. */
  async _offerToTalk(stream: MediaStream, wanted: Wanted, onTrack: (event: RTCTrackEvent) => void): Promise<string> {
    this._connection.ontrack = onTrack;
    for (const kind of ["audio", "video"] as const) {
      const track = stream.getTracks().find((track) => track.kind === kind);
      if (track || wanted[kind]) {
        this._prefer(this._connection.addTransceiver(track ?? kind, {
          direction: direction(!!track, wanted[kind]), streams: track ? [stream] : [],
        }), RTCRtpReceiver);
      }
    }
    return this._offer();
  }

  /** Takes the server's offer, and makes the answer with these tracks. */
  async _answerOffer(sdp: string, stream: MediaStream, wanted: Wanted, onTrack: (event: RTCTrackEvent) => void): Promise<string> {
    this._connection.ontrack = onTrack;
    try {
      await this._connection.setRemoteDescription({ type: "offer", sdp: this._options.sdpHook?.({ sdpString: sdp }) || sdp });
    } catch (error) {
      throw new SdkError("no_common_codecs", (error as Error).message, { cause: error });
    }
    for (const transceiver of this._connection.getTransceivers()) {
      const { kind } = transceiver.receiver.track;
      const track = stream.getTracks().find((track) => track.kind === kind);
      this._prefer(transceiver, RTCRtpReceiver);
      transceiver.direction = direction(!!track, wanted[kind as "audio"]);
      await transceiver.sender.replaceTrack(track ?? null);
      transceiver.sender.setStreams?.(stream);
    }
    const answer = await this._connection.createAnswer();
    await this._connection.setLocalDescription(answer);
    return answer.sdp ?? "";
  }
}

function direction(sends: boolean, receives: boolean): RTCRtpTransceiverDirection {
  return sends ? (receives ? "sendrecv" : "sendonly") : receives ? "recvonly" : "inactive";
}
