import type { Size } from "./scene.ts";

/** What viewers see while no picture is sent. */
export interface Card {
  text: string;
  /** A picture in place of the text, as a data: address; "" for none. */
  image: string;
}

/** Draws the card. An image that cannot be read is left out. */
export async function drawCard(card: Card, size: Size): Promise<ImageBitmap> {
  const canvas = Object.assign(document.createElement("canvas"), size);
  const context = canvas.getContext("2d") as CanvasRenderingContext2D;
  const { height, width } = size;
  const shade = context.createRadialGradient(width / 2, 0, 0, width / 2, 0, Math.max(width, height));
  shade.addColorStop(0, "#2c3450");
  shade.addColorStop(1, "#11141c");
  context.fillStyle = shade;
  context.fillRect(0, 0, width, height);
  const image = card.image === "" ? null : await load(card.image).catch(() => null);
  if (image) {
    const scale = Math.min(width / image.naturalWidth, height / image.naturalHeight);
    const [w, h] = [image.naturalWidth * scale, image.naturalHeight * scale];
    context.drawImage(image, (width - w) / 2, (height - h) / 2, w, h);
  } else {
    write(context, card.text, size);
  }
  return createImageBitmap(canvas);
}

async function load(address: string): Promise<HTMLImageElement> {
  const image = new Image();
  image.src = address;
  await image.decode();
  return image;
}

/** Writes a text into the middle, as large as it fits, in at most three lines. */
function write(context: CanvasRenderingContext2D, text: string, { height, width }: Size): void {
  const font = (px: number): string => `600 ${px}px system-ui, sans-serif`;
  context.fillStyle = "#e8ebf3";
  context.textAlign = "center";
  context.textBaseline = "middle";
  const most = width * 0.8;
  for (let px = Math.round(Math.min(width, height) / 7); ; px -= 2) {
    context.font = font(px);
    const lines = wrap(text, (line) => context.measureText(line).width <= most);
    if (px <= 16 || (lines.length <= 3 && lines.every((line) => context.measureText(line).width <= most))) {
      lines.slice(0, 3).forEach((line, i, all) => context.fillText(line, width / 2, height / 2 + (i - (Math.min(3, all.length) - 1) / 2) * px * 1.25, most));
      return;
    }
  }
}

/** Breaks a text at its spaces into lines that fit. */
export function wrap(text: string, fits: (line: string) => boolean): string[] {
  const lines: string[] = [];
  for (const word of text.split(/\s+/).filter((part) => part !== "")) {
    const last = lines.at(-1);
    if (last !== undefined && fits(`${last} ${word}`)) {
      lines[lines.length - 1] = `${last} ${word}`;
    } else {
      lines.push(word);
    }
  }
  return lines;
}

/** Reads an image file, no larger than a picture of the show, as a data: address that the browser can store. */
export async function readImage(file: Blob): Promise<string> {
  const bitmap = await createImageBitmap(file);
  const scale = Math.min(1, 1920 / Math.max(bitmap.width, bitmap.height));
  const canvas = Object.assign(document.createElement("canvas"), { width: Math.round(bitmap.width * scale), height: Math.round(bitmap.height * scale) });
  canvas.getContext("2d")?.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  return canvas.toDataURL("image/jpeg", 0.9);
}
