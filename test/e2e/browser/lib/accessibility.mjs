import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";

const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** The serious and critical faults that axe-core finds in the present state of a page, each with its elements. */
export async function faults(page) {
  await page.evaluate(axe); // not by a script tag, which the page's policy forbids
  const { violations } = await page.evaluate(() => globalThis.axe.run());
  return violations
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.map((node) => node.target.join(" ")).join(", ")}`);
}

/** Runs the check in light, in dark and at the width of a phone, then restores the page. */
export async function inEveryLook(page, run) {
  const size = page.viewportSize();
  const looks = [["light", size], ["dark", size], ["phone", { width: 375, height: 812 }]];
  for (const [look, viewport] of looks) {
    await page.setViewportSize(viewport);
    // Reduced motion: otherwise a colour may be in transition between two looks during the check.
    await page.emulateMedia({ colorScheme: look === "dark" ? "dark" : "light", reducedMotion: "reduce" });
    await run(look);
  }
  await page.setViewportSize(size);
  await page.emulateMedia({ colorScheme: "light", reducedMotion: "no-preference" });
}

/** Takes a screenshot of the whole page, if SCREENSHOTS names a folder. The window is as tall as the page, so that sticky bars are at the end. */
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
