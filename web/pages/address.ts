import type { PushRequest } from "../sdk/src/rest.ts";
import type { Picture } from "./destination-picture.ts";
import { t } from "./language.ts";
import { kinds, presets, type Kind, type Preset } from "./presets.ts";

/** A destination of the stream, as people enter it. */
export interface Destination {
  kind: Kind;
  /** Ignored for kinds that have a fixed address. Of "named": the name of a destination that the server keeps. */
  address: string;
  /** The stream key: the name to publish under, which a platform gives out. */
  key: string;
}

/** A destination as the page keeps it, with the picture that it gets. */
export interface Saved extends Destination {
  id: string;
  /** The name that the user gave it; "" for none. */
  name: string;
  /** The stream goes there in this show. */
  on: boolean;
  picture: Picture;
}

const calm = ["amber", "brisk", "calm", "clear", "early", "gentle", "golden", "lucky", "quiet", "silver", "swift", "warm"];
const things = ["bay", "brook", "field", "harbor", "hill", "lake", "lark", "meadow", "pine", "river", "sky", "wave"];

/** A name that is easy to say and unlikely to be taken. */
export function randomName(random: () => number = Math.random): string {
  const pick = (words: string[]): string => words[Math.floor(random() * words.length)] ?? "";
  return `${pick(calm)}-${pick(things)}-${100 + Math.floor(random() * 900)}`;
}

/** The server takes 255 bytes, and puts a prefix before the name. A letter has up to four bytes. */
const mostBytes = 200;

/** The problem with a stream's name; "" if there is none. */
export function nameProblem(name: string): string {
  if (name === "") {
    return t("Give the stream a name.");
  }
  // The server takes any name, but people copy addresses with the name in them. Letters of every script survive that, other characters get lost.
  if (!/^[\p{L}\p{M}\p{N}._~-]{1,100}$/u.test(name)) {
    return t("Use only letters, digits, and - . _ ~, without spaces, 100 at most.");
  }
  if (new TextEncoder().encode(name).length > mostBytes) {
    return t("Give the stream a shorter name.");
  }
  if (name === "." || name === "..") {
    return t("Use at least one letter or digit: a name of dots alone cannot stand in an address.");
  }
  return "";
}

/** The problem with an RTMP address; "" if there is none. */
export function addressProblem(address: string): string {
  if (address === "") {
    return t("Give the address of an RTMP server, such as rtmp://example.com/live.");
  }
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(address)?.[1]?.toLowerCase();
  if (scheme !== "rtmp" && scheme !== "rtmps") {
    return t("The address must start with rtmp:// or rtmps://.");
  }
  if (/\s/.test(address)) {
    return t("The address must not contain spaces.");
  }
  return parse(address) ? "" : t("After the // there must be a host, such as rtmp://example.com/live.");
}

/** The problem with a key; "" if there is none. */
export function keyProblem(to: Destination): string {
  const preset: Preset = presets[to.kind];
  const key = to.key.trim();
  if (preset.key === "needed" && key === "") {
    return t("Give the stream key of {platform}.", { platform: preset.label });
  }
  if (/\s/.test(key)) {
    return t("The key must not contain spaces.");
  }
  if (/^rtmps?:\/\//i.test(key)) {
    return preset.key === "needed" ? t("Give the key alone, or choose Custom for a whole address.") : t("Give the key alone; the address goes above.");
  }
  if (/^[^?]*\//.test(key)) {
    return t("The key must not contain a slash; the part before the slash belongs to the address.");
  }
  return "";
}

/** The problems with a destination, by field. */
export function destinationProblems(to: Destination): { address: string; key: string } {
  if (to.kind === "named") {
    return { address: to.address === "" ? t("Choose a destination.") : "", key: "" };
  }
  const preset: Preset = presets[to.kind];
  return {
    address: preset.address === "" ? addressProblem(to.address) : "",
    key: preset.key === "none" ? "" : keyProblem(to),
  };
}

/** The request that sends the stream of this name to a destination. */
export function pushRequest(name: string, to: Destination): PushRequest {
  if (to.kind === "named") {
    return { streamName: name, rtmpUrl: `destination://${to.address}` };
  }
  const preset: Preset = presets[to.kind];
  const key = preset.key === "none" ? "" : to.key.trim();
  const address = preset.address || to.address.trim();
  return {
    streamName: name,
    rtmpUrl: key === "" ? address : withKey(address, key),
    rtmpTransponderFullUrl: preset.key !== "none",
  };
}

/** The destination of a push that the server has, as people would enter it. */
export function destinationOf({ rtmpUrl, secretName, streamName }: { rtmpUrl: string; secretName: boolean; streamName: string }): Destination {
  const name = /^destination:\/\/([^/?#]+)$/.exec(rtmpUrl)?.[1];
  if (name !== undefined) {
    return { kind: "named", address: name, key: "" };
  }
  for (const kind of kinds) {
    const { address } = presets[kind];
    const before = withKey(address, "");
    if (address !== "" && rtmpUrl.startsWith(before)) {
      return { kind, address: "", key: rtmpUrl.slice(before.length) };
    }
  }
  if (!secretName) {
    return { kind: "server", address: rtmpUrl, key: "" };
  }
  const end = `/${streamName}`; // the key stands in its own field, which does not show it
  return rtmpUrl.endsWith(end) ? { kind: "custom", address: rtmpUrl.slice(0, -end.length), key: streamName }
    : { kind: "custom", address: rtmpUrl, key: "" };
}

/**
 * Appends a key to an address, in the form that the server splits again. The query of the address must not become part of the
 * key: after app it stays with the address (app?a=b/KEY), after app/instance only if a slash precedes it (app/instance/?a=b/KEY).
 */
export function withKey(address: string, key: string): string {
  const [path = "", ...query] = address.replace(/\/+$/, "").split("?");
  const instance = /^[^/]*\/\/[^/]*\/[^/]+\/[^/]/.test(path) && !path.endsWith("/");
  return `${path}${query.length === 0 ? "" : `${instance ? "/" : ""}?${query.join("?")}`}/${key}`;
}

/** The name of a destination for people: the platform, or the host of the address. */
export function nameOf(to: Destination): string {
  if (to.kind === "named") {
    return to.address || t("A saved destination");
  }
  return to.kind === "server" || to.kind === "custom" ? hostOf(to.address) : presets[to.kind].label;
}

/** A name that somebody has entered, without characters that could turn or hide the text around it. */
export function plainName(text: string): string {
  return text.replace(/\s+/g, " ").replace(/[\p{Cc}\p{Cf}\p{Co}]/gu, "").trim().slice(0, 60);
}

/** Whether a destination has a key or a password, or may have one in its address. */
export function holdsSecret(to: Destination): boolean {
  return to.kind !== "named" && (presets[to.kind].key !== "none" || /[@?]/.test(to.address));
}

/** The destination without key and password, and without an address that holds one. */
export function withoutKey({ kind, address, key }: Destination): Destination {
  const inside = kind !== "named" && (/[@?]/.test(address) || (kind === "custom" && key === ""));
  return { kind, address: inside ? "" : address, key: "" };
}

/**
 * A command that plays the stream at the destination, for the machine on which the page is open. It is "" for platforms: they
 * do not let anybody play a stream key, and the key should not be shown.
 */
export function playCommand(push: { rtmpUrl: string; streamName: string }, to: Destination, pageHost: string): string {
  const url = parse(push.rtmpUrl);
  if (to.kind !== "server" || !url) {
    return "";
  }
  const host = ["localhost", "127.0.0.1", "[::1]"].includes(url.host) ? pageHost : url.host;
  const address = `${url.scheme}://${host}${url.port}${url.path.replace(/\/+$/, "")}/${push.streamName}${url.query}`;
  return `ffplay ${/^[\w:/.~[\]-]+$/.test(address) ? address : `'${address.replaceAll("'", "%27")}'`}`;
}

/** The host of an address, to be shown to people: the whole address may hold secrets. */
export function hostOf(address: string): string {
  const url = parse(address.trim());
  return url ? url.host + url.port : t("the server");
}

/** The target of a push, to be shown to people. Only the server knows which part of an address is secret. */
export function shownTarget(push: { target: string; streamName: string; secretName: boolean; rtmpUrl: string }): string {
  const target = push.target.replace(/^rtmps?:\/\//, "");
  const address = target.replace(/\*{3}$/, () => (push.secretName ? "•••" : push.streamName));
  const saved = /^destination:\/\/([^/?#]+)/.exec(push.rtmpUrl)?.[1] ?? "";
  return [saved, address].filter((part) => part !== "").join(", ") || t("an address");
}

interface Parts {
  scheme: string;
  host: string;
  /** With the colon, or "". */
  port: string;
  path: string;
  /** With the question mark, or "". */
  query: string;
}

/** Splits an address, and leaves out user and password. The class URL cannot do it: browsers parse rtmp:// in different ways. */
function parse(address: string): Parts | null {
  const parts = /^(rtmps?):\/\/(?:[^@/?#\s]*@)?(\[[0-9a-f:.]+\]|[^:/?#@\s[\]]+)(:\d{1,5})?(\/[^?#\s]*)?(\?[^#\s]*)?$/i.exec(address);
  const [, scheme = "", host = "", port = "", path = "", query = ""] = parts ?? [];
  return parts && { scheme: scheme.toLowerCase(), host: host.toLowerCase(), port, path, query };
}
