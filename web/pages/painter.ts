import { edgeWidth, fit, type Place, type Scene, type Size, type Source } from "./scene.ts";

/** A picture of a source, with its size. */
export interface Picture extends Size {
  image: CanvasImageSource;
}

type Context = CanvasRenderingContext2D | OffscreenCanvasRenderingContext2D;

const ground = "#11141c";

/** Paints one picture of the show. card: what is shown while no source has a picture. */
export function paint(context: Context, { places, size }: Scene, pictures: ReadonlyMap<Source, Picture>, card: ImageBitmap | null): void {
  const shown = places.flatMap((place) => {
    const picture = pictures.get(place.source);
    return picture && picture.width > 0 ? [{ place, picture }] : [];
  });
  const first = shown[0];
  if (!first || !covers(first.place, first.picture, size)) {
    context.fillStyle = ground;
    context.fillRect(0, 0, size.width, size.height);
  }
  if (!first && card) {
    context.drawImage(card, 0, 0, size.width, size.height);
  }
  for (const { picture, place } of shown) {
    put(context, picture, place);
  }
}

function covers(place: Place, picture: Picture, size: Size): boolean {
  const { to } = fit(picture, place);
  return to.width >= size.width && to.height >= size.height;
}

function put(context: Context, picture: Picture, place: Place): void {
  const { from, to } = fit(picture, place);
  if (place.framed) {
    context.save();
    context.beginPath();
    context.roundRect(place.x, place.y, place.width, place.height, place.height / 16);
    context.clip();
  }
  context.drawImage(picture.image, from.x, from.y, from.width, from.height, to.x, to.y, to.width, to.height);
  if (place.framed) {
    context.lineWidth = edgeWidth(place);
    context.strokeStyle = "#fff";
    context.stroke();
    context.restore();
  }
}
