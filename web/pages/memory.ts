import type { Destination } from "./address.ts";
import type { QualityName } from "./devices.ts";
import { presets, type Preset } from "./presets.ts";

/** What outlives a reload of the page, in this tab only. Never a key or a token, nor an address that may hold one. */
export interface Memory {
  name: string;
  quality: QualityName;
  /** Those that are not kept in the browser. */
  destinations: Destination[];
  /** The page went away while it was live. */
  live: boolean;
}

const tabKey = "transponder.broadcast";
const browserKey = "transponder.destinations";

export function remember(memory: Memory): void {
  save("sessionStorage", tabKey, { ...memory, destinations: memory.destinations.map(withoutSecrets) });
}

export function rememberLive(live: boolean): void {
  const memory = recall();
  if (memory) {
    save("sessionStorage", tabKey, { ...memory, live });
  }
}

/** What was remembered; null if nothing was. */
export function recall(): Memory | null {
  const memory = load("sessionStorage", tabKey) as Memory | null;
  return memory && Array.isArray(memory.destinations) ? { ...memory, destinations: memory.destinations.filter(valid) } : null;
}

/** Destinations that people asked to keep in this browser, with their keys. */
export function kept(): Destination[] {
  const list = load("localStorage", browserKey);
  return Array.isArray(list) ? list.filter(valid) : [];
}

export function keep(one: Destination): void {
  forget(one);
  save("localStorage", browserKey, [...kept(), one]);
}

export function forget(one: Destination): void {
  const others = kept().filter((other) => !same(one, other));
  others.length > 0 ? save("localStorage", browserKey, others) : remove("localStorage", browserKey);
}

function same(a: Destination, b: Destination): boolean {
  return a.kind === b.kind && a.address === b.address && a.key === b.key;
}

function withoutSecrets({ kind, address }: Destination): Destination {
  const preset: Preset = presets[kind];
  const secret = preset.key !== "none" || address.includes("@") || address.includes("?");
  return { kind, address: secret ? "" : address, key: "" };
}

/** What another version of this page stored may look otherwise. */
function valid(one: unknown): one is Destination {
  return typeof one === "object" && one !== null && "kind" in one && String(one.kind) in presets
    && "address" in one && typeof one.address === "string" && "key" in one && typeof one.key === "string";
}

/** Named, since a browser may forbid even to look at them. */
type Where = "sessionStorage" | "localStorage";

function load(where: Where, key: string): unknown {
  try {
    return JSON.parse(globalThis[where].getItem(key) ?? "null");
  } catch {
    return null;
  }
}

function save(where: Where, key: string, value: unknown): void {
  try {
    globalThis[where].setItem(key, JSON.stringify(value));
  } catch {
    // It may be full: then a reload starts with an empty page.
  }
}

function remove(where: Where, key: string): void {
  try {
    globalThis[where].removeItem(key);
  } catch {
    // see save
  }
}
