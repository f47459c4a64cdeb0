// What the browser itself measures of the delay of a stream. No clock of another machine is used, so nothing has to be in step. Camera, server and
// screen are not in it.

type Report = Record<string, unknown>;

/** In seconds; null: not known this time. */
type Part = number | null | "untold";

/** The delay of pictures between this page and the server, in one direction. */
export class DelayMeter {
  /** The parts of the last reading that this browser tells, in ms; null if it tells them all, or if one of them was not known this time. */
  part: number | null = null;
  private last: Report = {};

  /** Whether the page sends pictures, or gets them. */
  constructor(private readonly way: "outbound-rtp" | "inbound-rtp") {}

  /** The mean since the last reading, in ms: half the round trip, and the work on each picture here. null if something of it is not known. */
  read(reports: Iterable<Report>): number | null {
    const all = [...reports];
    const video = all.find(({ kind, type }) => type === this.way && kind === "video");
    const pair = all.find(({ nominated, state, type }) => type === "candidate-pair" && nominated === true && state === "succeeded");
    this.part = null;
    if (!video) {
      this.last = {};
      return null;
    }
    const mean = (total: string, count: string): Part => {
      if (typeof video[total] !== "number" || typeof video[count] !== "number") {
        return "untold";
      }
      const [sum, n] = [total, count].map((key) => Number(video[key]) - Number(this.last[key]));
      return sum !== undefined && n !== undefined && n > 0 && Number.isFinite(sum) ? sum / n : null;
    };
    const heard = this.way === "outbound-rtp" ? all.find(({ kind, type }) => type === "remote-inbound-rtp" && kind === "video") : undefined;
    const roundTrip = pair?.["currentRoundTripTime"] ?? heard?.["roundTripTime"]; // Firefox has only the latter
    const work = this.way === "outbound-rtp" ? [mean("totalEncodeTime", "framesEncoded"), mean("totalPacketSendDelay", "packetsSent")]
      : [mean("totalProcessingDelay", "framesDecoded")]; // from the first packet of a picture to its end of decoding
    const parts: Part[] = [typeof roundTrip === "number" ? roundTrip / 2 : "untold", ...work];
    this.last = video;
    const told = parts.filter((part) => part !== "untold");
    if (told.includes(null)) {
      return null;
    }
    const ms = told.reduce<number>((sum, part) => sum + (part ?? 0) * 1000, 0);
    if (told.length < parts.length) {
      this.part = ms;
      return null;
    }
    return ms;
  }
}
