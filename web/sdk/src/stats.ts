/** The statistics of sound or pictures in one direction: the browser's own counters, as far as the browser has them. */
export interface TrackStats {
  codec?: string;
  codecRate?: number;
  width?: number;
  height?: number;
  [counter: string]: number | string | undefined;
}

/** The result of `stream.getStats`. */
export interface StreamStats {
  outboundStream: { audio?: TrackStats; video?: TrackStats };
  inboundStream: { audio?: TrackStats; video?: TrackStats };
  otherStats: { availableOutgoingBitrate?: number; availableIncomingBitrate?: number };
}

/** Makes the statistics for pages from the reports of a peer connection. */
export function summarize(reports: any[]): StreamStats {
  const stats: StreamStats = { outboundStream: {}, inboundStream: {}, otherStats: {} };
  for (const report of reports) {
    if (report.type === "outbound-rtp") {
      stats.outboundStream[report.kind as "video"] = describe(report, reports);
    } else if (report.type === "inbound-rtp") {
      stats.inboundStream[report.kind as "video"] = describe(report, reports);
    } else if (report.type === "candidate-pair" && report.nominated) {
      const { availableIncomingBitrate, availableOutgoingBitrate } = report;
      Object.assign(stats.otherStats, availableIncomingBitrate && { availableIncomingBitrate },
        availableOutgoingBitrate && { availableOutgoingBitrate });
    }
  }
  return stats;
}

/** Picks the counters that the vendor's SDK has, under the same names. */
function describe(report: Record<string, unknown>, all: Record<string, unknown>[]): TrackStats {
  const stats: TrackStats = {};
  for (const [key, value] of Object.entries(report)) {
    if (/^(bytes|packets)|Count|audioLevel|^framesPerSecond$|^qualityLimitationReason$/.test(key)) {
      stats[key] = value as number;
    }
  }
  const codec = all.find(({ id }) => id === report["codecId"]);
  return Object.assign(stats, codec && { codec: String(codec["mimeType"]).split("/")[1], codecRate: codec["clockRate"] },
    report["frameWidth"] !== undefined && { width: report["frameWidth"], height: report["frameHeight"] });
}
