import { load, save } from "./memory.ts";
import { type Arrangement, arrangements } from "./scene.ts";
import type { Shape } from "./stage.ts";

const tabKey = "transponder.sources";
const cardKey = "transponder.card";
const devicesKey = "transponder.devices";
const mutedKey = "transponder.muted";

interface SourceMemory {
  arrangement: Arrangement;
  /** A camera that was switched off stays off after a reload. */
  cameraOff: boolean;
  shape: Shape;
}

interface CardMemory {
  text: string;
  image: string;
}

interface DeviceMemory {
  /** Ids of devices; "" lets the browser choose. */
  camera: string;
  microphone: string;
  /** false: "No sound" was chosen. */
  sound: boolean;
}

const shapes = ["auto", "landscape", "portrait"] as const;

export function rememberSources(memory: SourceMemory): void {
  save("sessionStorage", tabKey, memory);
}

/** A browser that has no room for the image has none after a reload. */
export function rememberCard(card: CardMemory): void {
  save("localStorage", cardKey, card);
}

export function recallSources(): SourceMemory & CardMemory {
  const tab = (load("sessionStorage", tabKey) ?? {}) as Record<string, unknown>;
  const card = (load("localStorage", cardKey) ?? {}) as Record<string, unknown>;
  return {
    arrangement: arrangements.find((one) => one === tab["arrangement"]) ?? "corner",
    cameraOff: tab["cameraOff"] === true,
    shape: shapes.find((one) => one === tab["shape"]) ?? "auto",
    text: typeof card["text"] === "string" ? card["text"] : "",
    image: typeof card["image"] === "string" && card["image"].startsWith("data:image/") ? card["image"] : "",
  };
}

/**
 * Keeps in this tab which devices are used. picked: somebody has picked them, so this browser keeps them for other days, too; a show of another
 * day does not begin without sound because of that.
 */
export function rememberDevices({ camera, microphone, sound }: DeviceMemory, picked: boolean): void {
  if (picked) {
    save("localStorage", devicesKey, { camera, microphone: sound ? microphone : devicesIn("localStorage")?.microphone ?? "" });
  }
  save("sessionStorage", devicesKey, { camera, microphone, sound });
}

export function recallDevices(): DeviceMemory | null {
  return devicesIn("sessionStorage") ?? devicesIn("localStorage");
}

function devicesIn(where: "sessionStorage" | "localStorage"): DeviceMemory | null {
  const { camera, microphone, sound } = (load(where, devicesKey) ?? {}) as Record<string, unknown>;
  return typeof camera === "string" && typeof microphone === "string" ? { camera, microphone, sound: sound !== false } : null;
}

/** A microphone that was muted in this tab stays muted after a reload. */
export function rememberMuted(muted: boolean): void {
  save("sessionStorage", mutedKey, muted);
}

export function recallMuted(): boolean {
  return load("sessionStorage", mutedKey) === true;
}
