import type { PushRequest } from "../sdk/src/rest.ts";
import { presets, type Kind, type Preset } from "./presets.ts";

/** Where the stream is to go, as people enter it. */
export interface Destination {
  kind: Kind;
  /** Of no meaning where the kind has one of its own. */
  address: string;
  /** What a platform gives out: the name to publish under. */
  key: string;
}

const calm = ["amber", "brisk", "calm", "clear", "early", "gentle", "golden", "lucky", "quiet", "silver", "swift", "warm"];
const things = ["bay", "brook", "field", "harbor", "hill", "lake", "lark", "meadow", "pine", "river", "sky", "wave"];

/** A name that is easy to say and unlikely to be taken. */
export function randomName(random: () => number = Math.random): string {
  const pick = (words: string[]): string => words[Math.floor(random() * words.length)] ?? "";
  return `${pick(calm)}-${pick(things)}-${100 + Math.floor(random() * 900)}`;
}

/** Says what is wrong with a stream's name; "" if nothing is. */
export function nameProblem(name: string): string {
  if (name === "") {
    return "Give the stream a name.";
  }
  // Any name would reach the server, but not every name survives in an address that people copy.
  if (!/^[A-Za-z0-9._~-]{1,100}$/.test(name)) {
    return "Use only letters a to z, digits, and - . _ ~, without spaces, 100 at most.";
  }
  if (name === "." || name === "..") {
    return "Use at least one letter or digit: addresses have no room for a name of dots alone.";
  }
  return "";
}

/** Says what is wrong with an RTMP address; "" if nothing is. */
export function addressProblem(address: string): string {
  if (address === "") {
    return "Give the address of an RTMP server, such as rtmp://example.com/live.";
  }
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(address)?.[1]?.toLowerCase();
  if (scheme !== "rtmp" && scheme !== "rtmps") {
    return "The address must start with rtmp:// or rtmps://.";
  }
  if (/\s/.test(address)) {
    return "The address must not contain spaces.";
  }
  return parse(address) ? "" : "After the // there must be a host, such as rtmp://example.com/live.";
}

/** Says what is wrong with a key; "" if nothing is. */
export function keyProblem(to: Destination): string {
  const preset: Preset = presets[to.kind];
  const key = to.key.trim();
  if (preset.key === "needed" && key === "") {
    return `Give the stream key of ${preset.label}.`;
  }
  if (/\s/.test(key)) {
    return "The key must not contain spaces.";
  }
  if (/^rtmps?:\/\//i.test(key)) {
    return preset.key === "needed" ? "Give the key alone, or choose Custom for a whole address." : "Give the key alone; the address goes above.";
  }
  if (/^[^?]*\//.test(key)) {
    return "The key must not contain a slash; what stands before it belongs to the address.";
  }
  return "";
}

/** What is wrong with a destination, by field. */
export function destinationProblems(to: Destination): { address: string; key: string } {
  const preset: Preset = presets[to.kind];
  return {
    address: preset.address === "" ? addressProblem(to.address) : "",
    key: preset.key === "none" ? "" : keyProblem(to),
  };
}

/** The request that sends the stream of this name to a destination. */
export function pushRequest(name: string, to: Destination): PushRequest {
  const preset: Preset = presets[to.kind];
  const key = preset.key === "none" ? "" : to.key.trim();
  const address = preset.address || to.address.trim();
  return {
    streamName: name,
    rtmpUrl: key === "" ? address : withKey(address, key),
    rtmpTransponderFullUrl: preset.key !== "none",
  };
}

/**
 * The address that ends in a key, as the server takes it apart again. Parameters of the address stay its own: behind app they do
 * by themselves (app?a=b/KEY), behind app/instance only after a slash (app/instance/?a=b/KEY), or they would be the key's.
 */
function withKey(address: string, key: string): string {
  const [path = "", ...query] = address.replace(/\/+$/, "").split("?");
  const instance = /^[^/]*\/\/[^/]*\/[^/]+\/[^/]/.test(path) && !path.endsWith("/");
  return `${path}${query.length === 0 ? "" : `${instance ? "/" : ""}?${query.join("?")}`}/${key}`;
}

/** What people call a destination: the platform, or the host of an address. */
export function nameOf(to: Destination): string {
  const preset: Preset = presets[to.kind];
  return preset.address === "" ? hostOf(to.address) : preset.label;
}

/**
 * A command that plays what arrives, seen from where the page is open; "" where there can be none: platforms do not let
 * their stream keys be played, and those should not be shown either.
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

/** The host of an address, for people: the address itself may hold secrets. */
export function hostOf(address: string): string {
  const url = parse(address.trim());
  return url ? url.host + url.port : "the server";
}

/** Where a push goes, as the server says that it may be shown: what is secret in an address only the server knows. */
export function shownTarget(push: { target: string; streamName: string; secretName: boolean }): string {
  const target = push.target.replace(/^rtmps?:\/\//, "");
  return target.replace(/\*{3}$/, () => (push.secretName ? "•••" : push.streamName)) || "an address";
}

interface Parts {
  scheme: string;
  host: string;
  /** With its colon, or "". */
  port: string;
  path: string;
  /** With its question mark, or "". */
  query: string;
}

/** Takes an address apart, its user and password left out. URL is no help: it knows no ports of rtmp, and browsers differ. */
function parse(address: string): Parts | null {
  const parts = /^(rtmps?):\/\/(?:[^@/?#\s]*@)?(\[[0-9a-f:.]+\]|[^:/?#@\s[\]]+)(:\d{1,5})?(\/[^?#\s]*)?(\?[^#\s]*)?$/i.exec(address);
  const [, scheme = "", host = "", port = "", path = "", query = ""] = parts ?? [];
  return parts && { scheme: scheme.toLowerCase(), host: host.toLowerCase(), port, path, query };
}
