// The picture of the show as a list of places, without any drawing.

/** How the picture of the camera and the shared picture stand together. */
export const arrangements = ["corner", "beside", "screen", "camera"] as const;
export type Arrangement = (typeof arrangements)[number];

/** screen: a screen, a window or a tab that is shared, or a file. */
export type Source = "camera" | "screen";

export interface Size {
  width: number;
  height: number;
}

export interface Place extends Size {
  source: Source;
  x: number;
  y: number;
  /** The picture fills its place, and edges of it may be cut off. Otherwise it is shown whole, between bars if need be. */
  fill: boolean;
  /** Rounded corners, with an edge around. */
  framed: boolean;
}

export interface Scene {
  size: Size;
  /** From back to front. Where no source has a picture, the card is shown. */
  places: Place[];
}

/** The places of the sources that are open. crop: the camera fills the picture when it is alone. */
export function compose(size: Size, arrangement: Arrangement, open: Record<Source, boolean>, crop: boolean): Scene {
  const { height, width } = size;
  const place = (source: Source, [x, y, w, h]: [number, number, number, number], fill: boolean, framed = false): Place =>
    ({ source, x: even(x), y: even(y), width: even(w), height: even(h), fill, framed });
  const alone = (source: Source): Scene => ({ size, places: [place(source, [0, 0, width, height], source === "camera" && crop)] });
  if (!open.camera && !open.screen) {
    return { size, places: [] };
  }
  if (!open.screen || (open.camera && arrangement === "camera")) {
    return alone("camera");
  }
  if (!open.camera || arrangement === "screen") {
    return alone("screen");
  }
  const upright = height > width;
  if (arrangement === "beside") {
    const part = 0.62; // of the shared picture: its texts have to be read
    return { size, places: upright ? [
      place("screen", [0, 0, width, height * (1 - part)], false), place("camera", [0, height * (1 - part), width, height * part], true),
    ] : [
      place("screen", [0, 0, width * part, height], false), place("camera", [width * part, 0, width * (1 - part), height], true),
    ] };
  }
  const [w, margin] = [width * (upright ? 0.42 : 0.24), width * 0.02];
  const h = w * (upright ? 4 / 3 : 9 / 16);
  return { size, places: [
    place("screen", [0, 0, width, height], false), place("camera", [width - w - margin, height - h - margin, w, h], true, true),
  ] };
}

/** Encoders halve the colours, so edges at odd numbers would be blurred. */
function even(n: number): number {
  return 2 * Math.round(n / 2);
}

/** The part of a picture to draw, and where. */
export interface Cut {
  from: { x: number; y: number } & Size;
  to: { x: number; y: number } & Size;
}

/** Fits a picture into its place. */
export function fit(picture: Size, { fill, height, width, x, y }: Place): Cut {
  const scale = (fill ? Math.max : Math.min)(width / picture.width, height / picture.height);
  const from = { width: Math.min(picture.width, width / scale), height: Math.min(picture.height, height / scale) };
  const to = { width: Math.min(width, picture.width * scale), height: Math.min(height, picture.height * scale) };
  return {
    from: { ...from, x: (picture.width - from.width) / 2, y: (picture.height - from.height) / 2 },
    to: { ...to, x: x + (width - to.width) / 2, y: y + (height - to.height) / 2 },
  };
}

/** Where a source is seen, in parts of the whole picture, from 0 to 1. */
export interface Area {
  source: Source;
  left: number;
  top: number;
  right: number;
  bottom: number;
}

/** The whole picture is one source. */
export function whole(source: Source): Area {
  return { source, left: 0, top: 0, right: 1, bottom: 1 };
}

/** Where the sources are seen, from front to back, without bars and edges. A source whose size is not known is left out. */
export function areas({ places, size }: Scene, pictures: Partial<Record<Source, Size>>): Area[] {
  return [...places].reverse().flatMap((place) => {
    const picture = pictures[place.source];
    if (!picture || picture.width === 0) {
      return [];
    }
    const { to } = fit(picture, place);
    const edge = place.framed ? edgeWidth(place) : 0;
    return [{
      source: place.source, left: (to.x + edge) / size.width, top: (to.y + edge) / size.height,
      right: (to.x + to.width - edge) / size.width, bottom: (to.y + to.height - edge) / size.height,
    }];
  });
}

/** How wide the edge around a framed place is painted. */
export function edgeWidth({ height }: Place): number {
  return Math.max(4, height / 40);
}

/** By how much a picture is larger than a size, at least 1. A picture that stands upright is as large as one that lies. */
export function excess(picture: Size, size: Size): number {
  const long = Math.max(picture.width, picture.height) / Math.max(size.width, size.height);
  const short = Math.min(picture.width, picture.height) / Math.min(size.width, size.height);
  return Math.max(1, Math.min(long, short));
}
