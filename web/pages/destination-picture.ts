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

  /** A shape needs a size. */
  private arrange(): void {
    this.shape.disabled = this.height.value === "0";
  }
}
