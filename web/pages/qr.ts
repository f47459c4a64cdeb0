// QR codes as ISO/IEC 18004 describes them: texts in the mode for bytes, error correction level M, versions 1 to 20, which hold 666 bytes.
// The tables are those of the standard. Another program reads what this one draws: see test/e2e/browser/qr.test.mjs.

/** Codewords for error correction in each block, by version. */
const checkLength = [0, 10, 16, 26, 18, 24, 16, 18, 22, 22, 26, 30, 22, 22, 24, 24, 28, 28, 26, 26, 26];

/** The number of blocks, by version. */
const blockCount = [0, 1, 1, 1, 2, 2, 4, 4, 4, 5, 5, 5, 8, 9, 9, 10, 10, 11, 13, 14, 16];

const lastVersion = 20;

/** The dark modules of a code, as rows; without the quiet zone of four modules around it. Throws if the text is too long. */
export function qrCode(text: string): boolean[][] {
  const bytes = new TextEncoder().encode(text);
  let version = 1;
  while (version <= lastVersion && bytes.length > capacity(version)) {
    version++;
  }
  if (version > lastVersion) {
    throw new RangeError(`${bytes.length} bytes are too many for a QR code`);
  }
  const words = withChecks(dataWords(bytes, version), version);
  let best: boolean[][] = [];
  let least = Infinity;
  for (let mask = 0; mask < masks.length; mask++) {
    const code = draw(words, version, mask);
    const found = penalty(code);
    if (found < least) {
      [best, least] = [code, found];
    }
  }
  return best;
}

/** The modules that are left for codewords, in bits. */
function room(version: number): number {
  const centres = version < 2 ? 0 : Math.floor(version / 7) + 2;
  const aligned = centres === 0 ? 0 : 25 * centres ** 2 - 10 * centres - 55;
  return (16 * version + 128) * version + 64 - aligned - (version >= 7 ? 36 : 0);
}

function dataLength(version: number): number {
  return Math.floor(room(version) / 8) - checkLength[version]! * blockCount[version]!;
}

/** How many bytes of text a version holds: mode and length stand before them. */
function capacity(version: number): number {
  return dataLength(version) - (version < 10 ? 2 : 3);
}

function dataWords(bytes: Uint8Array, version: number): number[] {
  const bits: number[] = [];
  const put = (value: number, length: number): void => {
    for (let i = length - 1; i >= 0; i--) {
      bits.push((value >> i) & 1);
    }
  };
  put(4, 4); // bytes
  put(bytes.length, version < 10 ? 8 : 16);
  bytes.forEach((byte) => put(byte, 8));
  const length = dataLength(version);
  put(0, Math.min(4, length * 8 - bits.length));
  put(0, -bits.length & 7);
  const words = Array.from({ length: bits.length / 8 }, (_, i) => Number.parseInt(bits.slice(i * 8, i * 8 + 8).join(""), 2));
  for (let pad = 0xec; words.length < length; pad ^= 0xec ^ 0x11) {
    words.push(pad);
  }
  return words;
}

/** Splits the data into blocks, adds the codewords for error correction, and interleaves. */
function withChecks(data: number[], version: number): number[] {
  const blocks = blockCount[version]!;
  const checks = checkLength[version]!;
  const short = Math.floor(data.length / blocks);
  const firstLong = blocks - (data.length % blocks);
  const divisor = generator(checks);
  const parts = Array.from({ length: blocks }, (_, i) => {
    const from = i * short + Math.max(0, i - firstLong);
    return data.slice(from, from + short + (i >= firstLong ? 1 : 0));
  });
  const ends = parts.map((part) => remainder(part, divisor));
  const columns = (rows: number[][], length: number): number[] =>
    Array.from({ length }, (_, i) => rows.flatMap((row) => (i < row.length ? [row[i]!] : []))).flat();
  return [...columns(parts, short + 1), ...columns(ends, checks)];
}

/** Multiplies in the field of 256 elements with x⁸ + x⁴ + x³ + x² + 1. */
function multiply(a: number, b: number): number {
  let product = 0;
  for (let i = 7; i >= 0; i--) {
    product = (product << 1) ^ ((product >> 7) * 0x11d);
    product ^= ((b >> i) & 1) * a;
  }
  return product;
}

/** The coefficients of (x - 1)(x - 2)(x - 4)…, without the first, which is 1. */
function generator(degree: number): number[] {
  const result = [...new Array<number>(degree - 1).fill(0), 1];
  for (let i = 0, root = 1; i < degree; i++, root = multiply(root, 2)) {
    for (let j = 0; j < degree; j++) {
      result[j] = multiply(result[j]!, root) ^ (result[j + 1] ?? 0);
    }
  }
  return result;
}

function remainder(data: number[], divisor: number[]): number[] {
  const rest = divisor.map(() => 0);
  for (const word of data) {
    const factor = word ^ rest.shift()!;
    rest.push(0);
    divisor.forEach((coefficient, i) => (rest[i]! ^= multiply(coefficient, factor)));
  }
  return rest;
}

const masks: ((x: number, y: number) => boolean)[] = [
  (x, y) => (x + y) % 2 === 0,
  (_, y) => y % 2 === 0,
  (x) => x % 3 === 0,
  (x, y) => (x + y) % 3 === 0,
  (x, y) => (Math.floor(x / 3) + Math.floor(y / 2)) % 2 === 0,
  (x, y) => ((x * y) % 2) + ((x * y) % 3) === 0,
  (x, y) => (((x * y) % 2) + ((x * y) % 3)) % 2 === 0,
  (x, y) => (((x + y) % 2) + ((x * y) % 3)) % 2 === 0,
];

/** The centres of the alignment patterns, in both directions. */
function centresOf(version: number): number[] {
  if (version === 1) {
    return [];
  }
  const count = Math.floor(version / 7) + 2;
  const step = Math.floor((version * 8 + count * 3 + 5) / (count * 4 - 4)) * 2;
  return [6, ...Array.from({ length: count - 1 }, (_, i) => version * 4 + 10 - (count - 2 - i) * step)];
}

function draw(words: number[], version: number, mask: number): boolean[][] {
  const size = version * 4 + 17;
  const code = Array.from({ length: size }, () => new Array<boolean>(size).fill(false));
  const fixed = code.map((row) => [...row]);
  const set = (x: number, y: number, dark: boolean): void => {
    if (x >= 0 && y >= 0 && x < size && y < size) {
      code[y]![x] = dark;
      fixed[y]![x] = true;
    }
  };
  for (let i = 0; i < size; i++) { // timing
    set(6, i, i % 2 === 0);
    set(i, 6, i % 2 === 0);
  }
  const square = (x: number, y: number, radius: number, light: number[]): void => {
    for (let dy = -radius; dy <= radius; dy++) {
      for (let dx = -radius; dx <= radius; dx++) {
        set(x + dx, y + dy, !light.includes(Math.max(Math.abs(dx), Math.abs(dy))));
      }
    }
  };
  for (const [x, y] of [[3, 3], [size - 4, 3], [3, size - 4]] as const) { // finders, with their light borders
    square(x, y, 4, [2, 4]);
  }
  const centres = centresOf(version);
  const end = centres.length - 1;
  centres.forEach((x, i) => centres.forEach((y, j) => {
    if (!((i === 0 && j === 0) || (i === 0 && j === end) || (i === end && j === 0))) { // there are finders
      square(x, y, 2, [1]);
    }
  }));
  drawFormat(set, size, mask);
  if (version >= 7) {
    const bits = (version << 12) | coded(version, 12, 0x1f25);
    for (let i = 0; i < 18; i++) {
      const [a, b] = [size - 11 + (i % 3), Math.floor(i / 3)];
      set(a, b, ((bits >> i) & 1) === 1);
      set(b, a, ((bits >> i) & 1) === 1);
    }
  }
  let bit = 0;
  for (let right = size - 1; right >= 1; right -= 2) {
    right -= right === 6 ? 1 : 0; // the column of the timing pattern
    for (let step = 0; step < size; step++) {
      const y = ((right + 1) & 2) === 0 ? size - 1 - step : step; // two columns upwards, the next two downwards
      for (const x of [right, right - 1]) {
        if (!fixed[y]![x]) {
          const dark = (((words[bit >> 3] ?? 0) >> (7 - (bit & 7))) & 1) === 1;
          code[y]![x] = dark !== masks[mask]!(x, y);
          bit++;
        }
      }
    }
  }
  return code;
}

/** The format: level M, which is 0, and the mask. It stands there twice, and one module beside it is always dark. */
function drawFormat(set: (x: number, y: number, dark: boolean) => void, size: number, mask: number): void {
  const bits = ((mask << 10) | coded(mask, 10, 0x537)) ^ 0x5412;
  for (let i = 0; i < 15; i++) {
    const dark = ((bits >> i) & 1) === 1;
    i < 6 ? set(8, i, dark) : i < 8 ? set(8, i + 1, dark) : i === 8 ? set(7, 8, dark) : set(14 - i, 8, dark);
    i < 8 ? set(size - 1 - i, 8, dark) : set(8, size - 15 + i, dark);
  }
  set(8, size - 8, true);
}

/** The check bits of a BCH code. */
function coded(value: number, length: number, divisor: number): number {
  let rest = value;
  for (let i = 0; i < length; i++) {
    rest = (rest << 1) ^ ((rest >> (length - 1)) * divisor);
  }
  return rest;
}

/** How hard a code is to read: long runs, squares of one colour, patterns that look like finders, more dark than light. */
function penalty(code: boolean[][]): number {
  const size = code.length;
  const columns = code.map((_, x) => code.map((row) => row[x]!));
  let points = 0;
  for (const line of [...code, ...columns]) {
    const text = line.map(Number).join("");
    for (const run of text.match(/0{5,}|1{5,}/g) ?? []) {
      points += run.length - 2;
    }
    points += 40 * (text.match(/(?=10111010000|00001011101)/g) ?? []).length;
  }
  for (let y = 1; y < size; y++) {
    for (let x = 1; x < size; x++) {
      const dark = code[y]![x];
      points += dark === code[y - 1]![x] && dark === code[y]![x - 1] && dark === code[y - 1]![x - 1] ? 3 : 0;
    }
  }
  const dark = code.flat().filter(Boolean).length;
  return points + 10 * Math.floor(Math.abs((dark * 100) / size ** 2 - 50) / 5);
}

/** A picture of the code, dark on light as readers want it, with its quiet zone. */
export function qrPicture(text: string, label: string): SVGSVGElement {
  const code = qrCode(text);
  const size = code.length + 8;
  const make = <K extends keyof SVGElementTagNameMap>(tag: K, attributes: Record<string, string>): SVGElementTagNameMap[K] => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
    Object.entries(attributes).forEach(([name, value]) => made.setAttribute(name, value));
    return made;
  };
  const picture = make("svg", { viewBox: `0 0 ${size} ${size}`, role: "img", "aria-label": label, "shape-rendering": "crispEdges" });
  const path = code.flatMap((row, y) => row.flatMap((dark, x) => (dark ? [`M${x + 4} ${y + 4}h1v1h-1z`] : []))).join("");
  picture.append(make("rect", { width: `${size}`, height: `${size}`, fill: "#fff" }), make("path", { d: path, fill: "#000" }));
  return picture;
}
