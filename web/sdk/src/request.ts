import { details, type VideoConstraints } from "./media.ts";
import type { StreamOptions } from "./stream-options.ts";
import { withToken } from "./token.ts";

/** The part of a request to publish or play that depends on the page's options. media is the stream to publish; null to play. */
export function request(options: Omit<StreamOptions, "token"> & { token: string | undefined }, sdp: string, media: MediaStream | null): object {
  const { constraints, cvoExtension, playHeight, playWidth, rtmpUrl, transport } = options;
  const custom = withToken(options.custom, options.token);
  const { bitrate = 0, height, maxBitrate = 0, minBitrate = 0, quality = 0, width } = details<VideoConstraints>(constraints?.video);
  const common = { mediaProvider: "WebRTC", sdp, custom, bitrate, minBitrate, maxBitrate, constraints, transport, cvoExtension };
  return media
    ? { ...common, rtmpUrl, hasAudio: media.getAudioTracks().length > 0, hasVideo: media.getVideoTracks().length > 0 }
    : { ...common, quality, width: playWidth ?? width ?? 0, height: playHeight ?? height ?? 0 };
}
