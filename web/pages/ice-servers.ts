import { inTime, patienceMs } from "./http.ts";

/** The STUN and TURN servers that the server tells whoever may send an offer to this address (RFC 9725, 4.6). Most servers need none. */
export async function iceServersOf(address: string, headers: Record<string, string>, signal: AbortSignal): Promise<RTCIceServer[]> {
  try {
    return await inTime(patienceMs.quick, signal, async (either) => {
      const response = await fetch(address, { method: "OPTIONS", headers, cache: "no-store", signal: either });
      return response.ok ? iceServersIn(response.headers.get("Link") ?? "") : [];
    });
  } catch {
    signal.throwIfAborted();
    return []; // the offer tells what is wrong
  }
}

const oneLink = /<([^>]*)>((?:\s*;\s*[\w-]+\s*=\s*(?:"(?:[^"\\]|\\.)*"|[^\s;,"]+))*)/g;
const oneParameter = /([\w-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;,"]+))/g;

/** Reads the ICE servers in the headers Link of an answer, which browsers join by commas. Links of other kinds are passed over. */
export function iceServersIn(links: string): RTCIceServer[] {
  return [...links.matchAll(oneLink)].flatMap(([, urls = "", rest = ""]) => {
    const given: Record<string, string> = {};
    for (const [, name = "", quoted, plain = ""] of rest.matchAll(oneParameter)) {
      given[name.toLowerCase()] = quoted?.replace(/\\(.)/g, "$1") ?? plain;
    }
    const { rel, username, credential } = given;
    return rel === "ice-server" ? [{ urls, ...(username !== undefined && { username, credential: credential ?? "" }) }] : [];
  });
}
