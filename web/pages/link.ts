import { addressProblem, holdsSecret, hostOf, nameProblem, withoutKey, type Destination } from "./address.ts";
import { t } from "./language.ts";
import { kinds, presets, type Kind } from "./presets.ts";

/** What a link to the studio proposes. Nothing of it happens by itself: anybody can make such a link. */
export interface Proposal {
  /** "" for none. */
  name: string;
  destinations: Destination[];
}

const most = 10;

/**
 * The proposal in an address such as /?name=show&to=youtube&to=rtmp://host/app; null if there is none. A destination is an RTMP address,
 * destination://NAME, the name of a platform, or one of them with an address after a colon. There is no parameter for a key.
 */
export function proposalIn(search: string): Proposal | null {
  const given = new URLSearchParams(search);
  const name = given.get("name") ?? "";
  const destinations = given.getAll("to").slice(0, most).map(destinationIn).filter((one) => one !== null);
  const proposal = { name: name !== "" && nameProblem(name) === "" ? name : "", destinations };
  return proposal.name !== "" || destinations.length > 0 ? proposal : null;
}

/**
 * What of an address cannot be proposed, in sentences. They repeat nothing of it, because a stranger may have written it to be read on this page.
 */
export function leftOutOf(search: string): string[] {
  const given = new URLSearchParams(search);
  const [name, to] = [given.get("name") ?? "", given.getAll("to")];
  return [
    name === "" || nameProblem(name) === "" ? "" : t("The name of its stream is left out. {why}", { why: nameProblem(name) }),
    to.slice(0, most).every((one) => destinationIn(one) !== null) ? ""
      : t("A destination is left out: it must be an address that begins with rtmp:// or rtmps://, the name of a platform, or destination:// with a name."),
    to.length <= most ? "" : t("Only its first {count} destinations are taken.", { count: most }),
    given.has("key") ? t("Its key is left out: keys do not belong into links, where others read them. Enter it yourself.") : "",
  ].filter((sentence) => sentence !== "");
}

function destinationIn(text: string): Destination | null {
  const saved = /^destination:\/\/([a-z0-9][a-z0-9._-]{0,63})$/.exec(text)?.[1];
  if (saved !== undefined) {
    return { kind: "named", address: saved, key: "" };
  }
  const [, word = "", address = ""] = /^(?!rtmps?:)([a-z]+)(?::(.*))?$/.exec(text) ?? [];
  const kind = word === "" ? "server" : kinds.find((one) => one === word && one !== "named");
  const where = word === "" ? text : address;
  // Other characters could turn the text around them, or look like letters of another host.
  if (!kind || where.length > 1000 || /[^\x21-\x7e]/.test(where)) {
    return null;
  }
  if (presets[kind].address !== "" || (where === "" && presets[kind].key === "needed")) {
    return { kind, address: "", key: "" };
  }
  return addressProblem(where) === "" ? { kind, address: where, key: "" } : null;
}

/** A link that proposes the same. Keys, passwords and addresses that may hold them are left out. */
export function proposalLink(base: string, { name, destinations }: Proposal): string {
  const link = new URL("/", base);
  if (name !== "") {
    link.searchParams.set("name", name);
  }
  for (const to of destinations.slice(0, most)) {
    const text = writtenDestination(withoutKey(to));
    if (text !== "") {
      link.searchParams.append("to", text);
    }
  }
  return link.href;
}

function writtenDestination({ kind, address }: Destination): string {
  switch (kind) {
    case "named": return address && `destination://${address}`;
    case "server": return address;
    case "custom": return address && `custom:${address}`;
    default: return presets[kind].address === "" && address !== "" ? `${kind}:${address}` : (kind satisfies Kind);
  }
}

/** A proposed destination in words. The host and the whole address stand there, because a stranger may have chosen them. */
export function proposedWords(to: Destination): string {
  const { address, kind } = to;
  const platform = presets[kind].label;
  const place = { host: hostOf(address), address };
  const where = kind === "named" ? t("“{name}” of this server", { name: address }) : presets[kind].address !== "" || address === "" ? platform
    : kind === "server" || kind === "custom" ? t("{host}, by {address}", place) : t("{platform}: {host}, by {address}", { platform, ...place });
  return holdsSecret(to) && (kind === "custom" || /[@?]/.test(address)) ? t("{where}. The link may hold its key or password", { where }) : where;
}

/** The address of the page for viewers. Behind # browsers send nothing to anybody. */
export function viewerLink(base: string, name: string, token: string): string {
  return new URL(`/watch/${encodeURIComponent(name)}${token === "" ? "" : `#token=${encodeURIComponent(token)}`}`, base).href;
}

/** Whether an address can only be opened on the machine of the browser. */
export function onlyHere(hostname: string): boolean {
  return /^(localhost|.*\.localhost|127(\.\d+){3}|\[::1\])$/.test(hostname);
}
