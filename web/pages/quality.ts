import { qualities, type Quality, type QualityName } from "./devices.ts";
import { t } from "./language.ts";

/** The codecs of pictures that the server takes by WebRTC, by their MIME types. RTMP carries H.264 unchanged. */
export const codecLabels = {
  "video/H264": t("H.264, for every destination"),
  "video/VP8": "VP8",
  "video/VP9": "VP9",
  "video/AV1": "AV1",
  "video/H265": "H.265",
} as const;

export type Codec = keyof typeof codecLabels;

/** How pictures are sent. The codec is settled when the connection is made; the others may change at any time. */
export interface Sending {
  maxBitrateKbps: number;
  /** Undefined: as many pictures as the camera gives. */
  frameRate?: number;
  /** Undefined: H.264, if the browser has it. */
  codec?: Codec;
  /** Both channels of the sound, as music needs; otherwise one, which is half as much for speech. */
  stereo?: boolean;
}

/** What people may set beside the quality. */
export interface Wishes {
  /** null: the one of the quality. */
  bitrateKbps: number | null;
  frameRate: number;
  codec: Codec;
}

export const frameRates = [15, 24, 25, 30, 50, 60];

export const usualWishes: Wishes = { bitrateKbps: null, frameRate: 30, codec: "video/H264" };

/** Less than this is no picture; more than this is no browser's. */
export const bitrateBounds = { min: 100, max: 20_000 };

/** The stored wishes, without what another version of this page may have stored. */
export function validWishes(stored: unknown): Wishes {
  const { bitrateKbps = null, codec, frameRate } = (stored ?? {}) as Partial<Wishes>;
  return {
    bitrateKbps: typeof bitrateKbps === "number" && bitrateProblem(String(bitrateKbps)) === "" ? bitrateKbps : null,
    frameRate: frameRates.find((one) => one === frameRate) ?? usualWishes.frameRate,
    codec: codec !== undefined && Object.hasOwn(codecLabels, codec) ? codec : usualWishes.codec,
  };
}

/** The problem with a bit rate that was entered; "" if there is none. */
export function bitrateProblem(text: string): string {
  const { max, min } = bitrateBounds;
  return text === "" || (/^\d+$/.test(text) && Number(text) >= min && Number(text) <= max) ? "" : t("Enter a number from {min} to {max}, or nothing.", { min: String(min), max: String(max) });
}

/** The quality with the wishes in place of its own numbers. */
export function withWishes(name: QualityName, { bitrateKbps, frameRate }: Wishes): Quality {
  return { ...qualities[name], maxBitrateKbps: bitrateKbps ?? qualities[name].maxBitrateKbps, frameRate };
}

/** Sound, and what goes with each packet. */
const besidesKbps = 150;

/** A line that is used up delays and loses pictures, so a quarter of it stays free. */
const used = 0.75;

/** The best quality that a line carries; null if it carries none. */
export function fitting(kbps: number): QualityName | null {
  const names = Object.keys(qualities) as QualityName[];
  return names.filter((name) => qualities[name].maxBitrateKbps + besidesKbps <= kbps * used).at(-1) ?? null;
}

/** The codecs that this browser can send and the server takes. */
export function sendableCodecs(): Codec[] {
  const has = RTCRtpSender.getCapabilities?.("video")?.codecs.map(({ mimeType }) => mimeType.toLowerCase()) ?? [];
  return (Object.keys(codecLabels) as Codec[]).filter((codec) => has.includes(codec.toLowerCase()));
}
