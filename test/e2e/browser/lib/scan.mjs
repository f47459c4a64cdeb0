import jsQR from "jsqr";

/** Reads the code that an element of a page shows, from a picture of it. */
export async function scan(page, id) {
  const picture = await page.locator(`#${id} svg`).screenshot();
  const { data, width, height } = await page.evaluate(async (url) => {
    const image = Object.assign(new Image(), { src: url });
    await image.decode();
    const canvas = Object.assign(document.createElement("canvas"), { width: image.width, height: image.height });
    const paint = canvas.getContext("2d");
    paint.drawImage(image, 0, 0);
    const { data } = paint.getImageData(0, 0, image.width, image.height);
    return { data: [...data], width: image.width, height: image.height };
  }, `data:image/png;base64,${picture.toString("base64")}`);
  return jsQR(new Uint8ClampedArray(data), width, height)?.data;
}
