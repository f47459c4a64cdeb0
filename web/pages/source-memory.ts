import { load, save } from "./memory.ts";
import { type Arrangement, arrangements } from "./scene.ts";
import type { Shape } from "./stage.ts";

const tabKey = "transponder.sources";
const cardKey = "transponder.card";

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
