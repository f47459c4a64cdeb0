import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";

const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** The serious and critical faults that axe-core finds in a page as it is now, each with the elements that have it. */
export async function faults(page) {
  await page.evaluate(axe); // not by a script tag, which the page's policy forbids
  const { violations } = await page.evaluate(() => globalThis.axe.run());
  return violations
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.map((node) => node.target.join(" ")).join(", ")}`);
}

/** Runs what is given in light, in dark and at the width of a phone, and leaves the page as it was. */
export async function inEveryLook(page, run) {
  const size = page.viewportSize();
  const looks = [["light", size], ["dark", size], ["phone", { width: 375, height: 812 }]];
  for (const [look, viewport] of looks) {
    await page.setViewportSize(viewport);
    // Reduced motion: no colour is halfway between two looks when it is judged.
    await page.emulateMedia({ colorScheme: look === "dark" ? "dark" : "light", reducedMotion: "reduce" });
    await run(look);
  }
  await page.setViewportSize(size);
  await page.emulateMedia({ colorScheme: "light", reducedMotion: "no-preference" });
}

/** Takes a picture of a whole page into the folder SCREENSHOTS, if there is one: as tall as it is, so that what sticks to an edge is at its end. */
export async function photograph(page, name) {
  if (!process.env.SCREENSHOTS) {
    return;
  }
  const size = page.viewportSize();
  const tall = await page.evaluate(() => document.documentElement.scrollHeight);
  await page.setViewportSize({ width: size.width, height: Math.max(size.height, tall) });
  await page.screenshot({ path: `${process.env.SCREENSHOTS}/${name}.png` });
  await page.setViewportSize(size);
}
