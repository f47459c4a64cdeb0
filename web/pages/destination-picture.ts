import type { PushRequest } from "../sdk/src/rest.ts";
import { element, stamp } from "./dom.ts";

/** The shapes that a picture can be given; the numbers are its sides. */
const shapes = { "": null, wide: [16, 9], upright: [9, 16] } as const;

type Shape = keyof typeof shapes;

/** What a destination gets in place of the stream's own picture. 0 and "" mean: as it is sent. */
export interface Picture {
  height: number;
  fps: number;
  shape: Shape;
}

export const asSent: Picture = { height: 0, fps: 0, shape: "" };

/** The picture in something that was stored. What is missing, or is no picture, is as it is sent. */
export function pictureIn(stored: unknown): Picture {
  const { fps, height, shape } = (stored ?? {}) as Record<string, unknown>;
  return {
    height: typeof height === "number" ? height : 0, fps: typeof fps === "number" ? fps : 0,
    shape: typeof shape === "string" && Object.hasOwn(shapes, shape) ? shape as Shape : "",
  };
}

/** The fields of a request for that picture. The server makes it, and shares one encoder among those who ask for the same. */
export function pictureRequest({ fps, height, shape }: Picture): Pick<PushRequest, "fps" | "height" | "width" | "options"> {
  const sides = height > 0 ? shapes[shape] : null;
  if (!sides) {
    return { ...(height > 0 && { height }), ...(fps > 0 && { fps }) };
  }
  const [across, up] = sides;
  const longer = Math.round((height * 16) / 9 / 2) * 2; // H.264 has only even sizes
  const size = across > up ? { width: longer, height } : { width: height, height: longer };
  return { ...size, ...(fps > 0 && { fps }), options: { fit: "letterbox" } };
}

/** The fields for the picture of one destination. */
export class DestinationPicture {
  private readonly height: HTMLSelectElement;
  private readonly fps: HTMLSelectElement;
  private readonly shape: HTMLSelectElement;

  /** key: the number of the destination on the page. */
  constructor(key: number) {
    element(`where-${key}`, HTMLElement).append(stamp("picture-template", key));
    this.height = element(`height-${key}`, HTMLSelectElement);
    this.fps = element(`fps-${key}`, HTMLSelectElement);
    this.shape = element(`shape-${key}`, HTMLSelectElement);
    this.height.addEventListener("change", () => this.arrange());
    this.arrange();
  }

  get picture(): Picture {
    return { height: Number(this.height.value), fps: Number(this.fps.value), shape: this.shape.disabled ? "" : this.shape.value as Shape };
  }

  /** Shows a picture; a number that is not in the lists is shown as "as sent". */
  fill({ fps, height, shape }: Picture): void {
    for (const [list, value] of [[this.height, String(height)], [this.fps, String(fps)], [this.shape, shape]] as const) {
      const [first, ...others] = list.options;
      list.value = others.some((one) => one.value === value) ? value : first?.value ?? "";
    }
    this.arrange();
  }

  /** A shape needs a size. */
  private arrange(): void {
    this.shape.disabled = this.height.value === "0";
  }
}
