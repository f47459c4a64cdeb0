import { t } from "./language.ts";

/** A kind of destination that people may choose. */
export interface Preset {
  label: string;
  /** The address of the platform; "" if people enter one, or choose a name. */
  address: string;
  /** Whether there is a stream key. "optional": without it, the address ends with the key. */
  key: "none" | "needed" | "optional";
  /** Where people find the stream key. */
  hint: string;
  /** For a platform without a common address: where people find theirs. */
  where?: string;
}

export const presets = {
  named: { // the server has the address and the key; people choose the name
    label: t("Saved here"), address: "", key: "none",
    hint: "",
  },
  server: {
    label: t("RTMP server"), address: "", key: "none",
    hint: "",
  },
  youtube: {
    label: "YouTube", address: "rtmps://a.rtmps.youtube.com/live2", key: "needed",
    hint: t("In YouTube Studio: Create, Go live, Stream key."),
  },
  facebook: {
    label: "Facebook", address: "rtmps://live-api-s.facebook.com:443/rtmp/", key: "needed",
    hint: t("At facebook.com/live/producer: Streaming software, Stream key."),
  },
  twitch: {
    label: "Twitch", address: "rtmps://live.twitch.tv/app", key: "needed",
    hint: t("At dashboard.twitch.tv: Settings, Stream, Primary stream key."),
  },
  kick: {
    label: "Kick", address: "", key: "needed",
    hint: t("At kick.com, Creator dashboard: Settings, Stream URL and key."),
    where: t("The Stream URL beside the key. It ends with /app here; add that if Kick shows none."),
  },
  linkedin: {
    label: "LinkedIn", address: "", key: "needed",
    hint: t("LinkedIn shows it with the address of the event."),
    where: t("LinkedIn makes an address for each event and region: on the event's page, choose your region and “Get URL”."),
  },
  x: {
    label: "X", address: "", key: "needed",
    hint: t("In Media Studio, Producer: the RTMP stream key of your source."),
    where: t("X makes an address for each source: in Media Studio, Producer, the RTMPS URL of your source, such as rtmps://va.pscp.tv:443/x"),
  },
  tiktok: {
    label: "TikTok", address: "", key: "needed",
    hint: t("TikTok makes a new key for each broadcast."),
    where: t("TikTok makes an address for each broadcast, for accounts that may use it: in LIVE Producer, the Server URL."),
  },
  instagram: {
    label: "Instagram", address: "rtmps://live-upload.instagram.com:443/rtmp/", key: "needed",
    hint: t("Instagram makes a new key for each broadcast: at instagram.com, Create, Live video. Press Go live there when you see your picture."),
  },
  vimeo: {
    label: "Vimeo", address: "rtmps://rtmp-global.cloud.vimeo.com:443/live", key: "needed",
    hint: t("At vimeo.com, in the event: Connect an encoder, Stream key."),
  },
  restream: {
    label: "Restream", address: "rtmp://live.restream.io/live", key: "needed",
    hint: t("At restream.io: Settings, RTMP, Stream key. Restream takes it without encryption."),
  },
  custom: {
    label: t("Custom"), address: "", key: "optional",
    hint: t("Leave it empty if the address already ends with it."),
  },
} as const satisfies Record<string, Preset>;

export type Kind = keyof typeof presets;

export const kinds = Object.keys(presets) as Kind[];

/** The platforms of the list; the other kinds have a button each. */
export const listed: Kind[] = ["kick", "linkedin", "x", "tiktok", "instagram", "vimeo", "restream"];
