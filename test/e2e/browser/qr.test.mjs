// Codes for telephones are read by a program that is not ours.

import assert from "node:assert/strict";
import { test } from "node:test";
import jsQR from "jsqr";
import { qrCode } from "./.build/web/pages/qr.js";

/** Draws a code with its quiet zone, and reads it. */
function read(code, scale = 3) {
  const size = (code.length + 8) * scale;
  const pixels = new Uint8ClampedArray(size * size * 4).fill(255);
  for (let y = 0; y < size; y++) {
    for (let x = 0; x < size; x++) {
      if (code[Math.floor(y / scale) - 4]?.[Math.floor(x / scale) - 4]) {
        pixels.fill(0, (y * size + x) * 4, (y * size + x) * 4 + 3);
      }
    }
  }
  return jsQR(pixels, size, size);
}

/** The longest texts of each version, by ISO/IEC 18004, level M. */
const longest = [14, 26, 42, 62, 84, 106, 122, 152, 180, 213, 251, 287, 331, 362, 412, 450, 504, 560, 624, 666];

test("the longest and the shortest text of each version", () => {
  for (const [i, length] of longest.entries()) {
    for (const bytes of [length, (longest[i - 1] ?? 0) + 1]) {
      const text = Array.from({ length: bytes }, (_, n) => String.fromCharCode(33 + ((n * 31 + bytes) % 90))).join("");
      const code = qrCode(text);
      assert.equal(code.length, 21 + 4 * i, `${bytes} bytes`);
      assert.equal(read(code)?.data, text, `${bytes} bytes`);
    }
  }
  assert.throws(() => qrCode("x".repeat(667)), /667 bytes are too many/);
});

test("any letters, and a code that is damaged", () => {
  const text = "https://пример.example/watch/日本語 🎥";
  const code = qrCode(text);
  assert.equal(read(code)?.data, text);
  for (let y = 12; y < 16; y++) {
    for (let x = 12; x < 16; x++) {
      code[y][x] = !code[y][x];
    }
  }
  assert.equal(read(code)?.data, text);
  for (let y = 9; y < code.length; y++) {
    code[y] = code[y].map((dark, x) => (x > 9 ? !dark : dark));
  }
  assert.equal(read(code)?.data ?? "", ""); // the check does not take everything
});
