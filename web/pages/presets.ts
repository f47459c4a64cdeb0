/** A kind of destination that people may choose. */
export interface Preset {
  label: string;
  /** The address of the platform; "" if people enter one, or choose a name. */
  address: string;
  /** Whether there is a stream key. "optional": without it, the address ends with the key. */
  key: "none" | "needed" | "optional";
  /** Where people find the stream key. */
  hint: string;
}

export const presets = {
  named: { // the server has the address and the key; people choose the name
    label: "Saved here", address: "", key: "none",
    hint: "",
  },
  server: {
    label: "RTMP server", address: "", key: "none",
    hint: "",
  },
  youtube: {
    label: "YouTube", address: "rtmps://a.rtmps.youtube.com/live2", key: "needed",
    hint: "In YouTube Studio: Create, Go live, Stream key.",
  },
  facebook: {
    label: "Facebook", address: "rtmps://live-api-s.facebook.com:443/rtmp/", key: "needed",
    hint: "At facebook.com/live/producer: Streaming software, Stream key.",
  },
  twitch: {
    label: "Twitch", address: "rtmps://live.twitch.tv/app", key: "needed",
    hint: "At dashboard.twitch.tv: Settings, Stream, Primary stream key.",
  },
  custom: {
    label: "Custom", address: "", key: "optional",
    hint: "Leave it empty if the address already ends with it.",
  },
} as const satisfies Record<string, Preset>;

export type Kind = keyof typeof presets;

export const kinds = Object.keys(presets) as Kind[];
