import { plainName, type Saved } from "./address.ts";
import { pictureIn } from "./destination-picture.ts";
import type { QualityName } from "./devices.ts";
import { presets, type Preset } from "./presets.ts";
import { validWishes, type Wishes } from "./quality.ts";

/** The values that survive a reload of the page, in this tab only. No key or token, and no address that may hold one. */
export interface Memory {
  name: string;
  quality: QualityName;
  /** Only the destinations that are not kept in the browser. */
  destinations: Saved[];
  /** The ids of all destinations, in their order. */
  order: string[];
  /** The page was left while it was live. */
  live: boolean;
}

const tabKey = "transponder.broadcast";
const browserKey = "transponder.destinations";
const hotKeysKey = "transponder.hotKeys";
const slateKey = "transponder.slate";
const beepKey = "transponder.beep";
const recordKey = "transponder.record";
const qualityKey = "transponder.quality";

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
  return memory && Array.isArray(memory.destinations)
    ? { ...memory, destinations: list(memory.destinations), order: Array.isArray(memory.order) ? memory.order : [] } : null;
}

/** Whether the page makes a sound when something is wrong. */
export function beeps(): boolean {
  return load("localStorage", beepKey) === true;
}

export function rememberBeeps(wanted: boolean): void {
  save("localStorage", beepKey, wanted);
}

/** Whether keys play the sounds of the server. */
export function hotKeys(): boolean {
  return load("localStorage", hotKeysKey) === true;
}

export function rememberHotKeys(wanted: boolean): void {
  save("localStorage", hotKeysKey, wanted);
}

/** The picture of the server that viewers see while the source is away; "": the last picture that was sent. */
export function slate(): string {
  const name = load("localStorage", slateKey);
  return typeof name === "string" ? name : "";
}

export function rememberSlate(name: string): void {
  save("localStorage", slateKey, name);
}

/** The bit rate, the frame rate and the codec that were chosen last. */
export function recallWishes(): Wishes {
  return validWishes(load("localStorage", qualityKey));
}

export function rememberWishes(wishes: Wishes): void {
  save("localStorage", qualityKey, wishes);
}

/** Whether shows are recorded in this browser. */
export function recordWanted(): boolean {
  return load("localStorage", recordKey) === true;
}

export function rememberRecord(wanted: boolean): void {
  save("localStorage", recordKey, wanted);
}

/** The destinations that the user asked to keep in this browser, in their order. Keys are among them only if he asked for that, too. */
export function kept(): Saved[] {
  return list(load("localStorage", browserKey));
}

/** Keeps these destinations in this browser. Of those that are there already, the ones with other ids than the page has ever shown stay: another tab keeps them. */
export function keep(ours: Saved[], shown: ReadonlySet<string>): void {
  const all = [...ours, ...kept().filter(({ id }) => !shown.has(id))];
  all.length > 0 ? save("localStorage", browserKey, all) : remove("localStorage", browserKey);
}

function withoutSecrets(one: Saved): Saved {
  if (one.kind === "named") {
    return { ...one, key: "" };
  }
  const preset: Preset = presets[one.kind];
  const secret = preset.key !== "none" || /[@?]/.test(one.address);
  return { ...one, address: secret ? "" : one.address, key: "" };
}

/** The valid destinations of a stored list. Another version of this page may have stored something else, or less. */
function list(stored: unknown): Saved[] {
  return (Array.isArray(stored) ? stored : []).filter(valid).map((one, i) => ({
    kind: one.kind, address: one.address, key: one.key, id: typeof one.id === "string" ? one.id : `old-${i}`,
    name: typeof one.name === "string" ? plainName(one.name) : "", on: one.on !== false, picture: pictureIn(one.picture),
  }));
}

function valid(one: unknown): one is Saved {
  return typeof one === "object" && one !== null && "kind" in one && Object.hasOwn(presets, String(one.kind))
    && "address" in one && typeof one.address === "string" && "key" in one && typeof one.key === "string";
}

/** A name, not the object: a browser may forbid even to read the property of window. */
type Where = "sessionStorage" | "localStorage";

export function load(where: Where, key: string): unknown {
  try {
    return JSON.parse(globalThis[where].getItem(key) ?? "null");
  } catch {
    return null;
  }
}

export function save(where: Where, key: string, value: unknown): void {
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
