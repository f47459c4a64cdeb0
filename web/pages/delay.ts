// What the browser itself measures of the delay of a stream. No clock of another machine is used, so nothing has to be in step. Camera, server and
// screen are not in it.

type Report = Record<string, unknown>;

/** The delay of pictures between this page and the server, in one direction. */
export class DelayMeter {
  private last: Report = {};

  /** Whether the page sends pictures, or gets them. */
  constructor(private readonly way: "outbound-rtp" | "inbound-rtp") {}

  /** The mean since the last reading, in ms: half the round trip, and the work on each picture here. null if something of it is not known. */
  read(reports: Iterable<Report>): number | null {
    const all = [...reports];
    const video = all.find(({ kind, type }) => type === this.way && kind === "video");
    const pair = all.find(({ nominated, state, type }) => type === "candidate-pair" && nominated === true && state === "succeeded");
    const roundTrip = pair?.["currentRoundTripTime"];
    if (!video || typeof roundTrip !== "number") {
      this.last = {};
      return null;
    }
    const mean = (total: string, count: string): number | null => {
      const [sum, n] = [total, count].map((key) => Number(video[key]) - Number(this.last[key]));
      return sum !== undefined && n !== undefined && n > 0 && Number.isFinite(sum) ? sum / n : null;
    };
    const parts = this.way === "outbound-rtp" ? [mean("totalEncodeTime", "framesEncoded"), mean("totalPacketSendDelay", "packetsSent")]
      : [mean("totalProcessingDelay", "framesDecoded")]; // from the first packet of a picture to its end of decoding
    this.last = video;
    return parts.some((part) => part === null) ? null : parts.reduce<number>((sum, part) => sum + (part ?? 0) * 1000, (roundTrip / 2) * 1000);
  }
}
