import type { Inputs } from "./view.ts";
import type { QualityName } from "./devices.ts";

/** What outlives a reload of the page, in this tab only. Never a key or a token, nor an address that may hold one. */
export interface Memory {
  name: string;
  address: string;
  platform: boolean;
  quality: QualityName;
  /** The page went away while it was live. */
  live: boolean;
}

const storageKey = "transponder.broadcast";

export function remember(inputs: Inputs): void {
  const { address, platform } = inputs.destination;
  const secret = platform || address.includes("@") || address.includes("?");
  save({ name: inputs.name, address: secret ? "" : address, platform, quality: inputs.quality, live: false });
}

export function rememberLive(live: boolean): void {
  const memory = recall();
  if (memory) {
    save({ ...memory, live });
  }
}

/** What was remembered; null if nothing was. */
export function recall(): Memory | null {
  try {
    return JSON.parse(sessionStorage.getItem(storageKey) ?? "null") as Memory | null;
  } catch {
    return null;
  }
}

function save(memory: Memory): void {
  try {
    sessionStorage.setItem(storageKey, JSON.stringify(memory));
  } catch {
    // A browser may forbid it: then a reload starts with an empty page.
  }
}
