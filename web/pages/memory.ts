import type { Destination } from "./address.ts";
import type { QualityName } from "./devices.ts";
import { presets, type Preset } from "./presets.ts";

/** The values that survive a reload of the page, in this tab only. No key or token, and no address that may hold one. */
export interface Memory {
  name: string;
  quality: QualityName;
  /** Only the destinations that are not kept in the browser. */
  destinations: Destination[];
  /** The page was left while it was live. */
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

/** The remembered values; null if there are none. */
export function recall(): Memory | null {
  const memory = load("sessionStorage", tabKey) as Memory | null;
  return memory && Array.isArray(memory.destinations) ? { ...memory, destinations: memory.destinations.filter(valid) } : null;
}

/** The destinations that the user asked to keep in this browser, with their keys. */
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
  if (kind === "named") {
    return { kind, address, key: "" };
  }
  const preset: Preset = presets[kind];
  const secret = preset.key !== "none" || address.includes("@") || address.includes("?");
  return { kind, address: secret ? "" : address, key: "" };
}

/** Another version of this page may have stored something else. */
function valid(one: unknown): one is Destination {
  return typeof one === "object" && one !== null && "kind" in one && String(one.kind) in presets
    && "address" in one && typeof one.address === "string" && "key" in one && typeof one.key === "string";
}

/** A name, not the object: a browser may forbid even to read the property of window. */
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
    // The storage may be full: then the page is empty after a reload.
  }
}

function remove(where: Where, key: string): void {
  try {
    globalThis[where].removeItem(key);
  } catch {
    // see save
  }
}
