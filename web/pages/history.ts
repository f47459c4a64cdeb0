// The numbers of the last hour of a show, in memory of a fixed size.

/** The newest rows of numbers, at most `size` of them. All memory is taken at once. An unknown number is null. */
export class Ring {
  private readonly cells: Float64Array;
  private readonly width: number;
  private next = 0; // how many rows have been pushed

  constructor(private readonly size: number, columns: number) {
    this.width = columns + 1;
    this.cells = new Float64Array(size * this.width);
  }

  get length(): number {
    return Math.min(this.next, this.size);
  }

  /** at: ms since 1970, never before the last row. */
  push(at: number, values: readonly (number | null)[]): void {
    const start = (this.next % this.size) * this.width;
    this.cells[start] = at;
    for (let i = 1; i < this.width; i++) {
      this.cells[start + i] = values[i - 1] ?? NaN;
    }
    this.next++;
  }

  /** The time of a row; 0 is the oldest row. */
  at(row: number): number {
    return this.cells[this.start(row)] ?? 0;
  }

  value(row: number, column: number): number | null {
    const value = this.cells[this.start(row) + 1 + column] ?? NaN;
    return Number.isNaN(value) ? null : value;
  }

  private start(row: number): number {
    return ((Math.max(0, this.next - this.size) + row) % this.size) * this.width;
  }
}

/** How the numbers of a moment become one: their mean, their largest, or their sum. */
export type Gather = "mean" | "max" | "sum";

/** The numbers of a column between two times, in `count` moments of equal length. A moment without a known number is null. */
export function moments(ring: Ring, column: number, from: number, to: number, count: number, gather: Gather): (number | null)[] {
  const sums = new Array<number>(count).fill(0);
  const known = new Array<number>(count).fill(0);
  for (let row = ring.length - 1; row >= 0 && ring.at(row) > from; row--) {
    const value = ring.value(row, column);
    const i = Math.ceil(((ring.at(row) - from) / (to - from)) * count) - 1;
    if (value !== null && i >= 0 && i < count) {
      const sum = sums[i] ?? 0;
      sums[i] = gather === "max" ? Math.max(sum, value) : sum + value;
      known[i] = (known[i] ?? 0) + 1;
    }
  }
  return sums.map((sum, i) => {
    const n = known[i] ?? 0;
    return n === 0 ? null : gather === "mean" ? sum / n : sum;
  });
}

/** Whatever happened, in words. */
export interface Happening {
  /** ms since 1970 */
  at: number;
  text: string;
}

/** The part of a history that belongs to one destination. */
export interface DestinationHistory {
  name: string;
  ring: Ring;
}

export const columns = ["bitrate_kbps", "lost_share", "round_trip_ms", "frames_per_second"] as const;
export const destinationColumns = ["bitrate_kbps", "lag_ms", "dropped_frames"] as const;

/** One line for each second: the time, the numbers of the stream, and those of each destination. */
export function asCSV(ring: Ring, destinations: readonly DestinationHistory[]): string {
  const heads = ["time", ...columns, ...destinations.flatMap(({ name }) => destinationColumns.map((column) => `${name} ${column}`))];
  const lines = [heads.map(cell).join(",")];
  const rows = destinations.map((one) => rowsByTime(one.ring));
  for (let row = 0; row < ring.length; row++) {
    const at = ring.at(row);
    const own = columns.map((_, column) => ring.value(row, column));
    const theirs = destinations.flatMap((one, i) => {
      const found = rows[i]?.get(at);
      return destinationColumns.map((_, column) => (found === undefined ? null : one.ring.value(found, column)));
    });
    lines.push([new Date(at).toISOString(), ...[...own, ...theirs].map((value) => (value === null ? "" : String(rounded(value))))].join(","));
  }
  return lines.join("\r\n") + "\r\n";
}

export function asJSON(ring: Ring, destinations: readonly DestinationHistory[], happenings: readonly Happening[]): string {
  const list = (of: Ring, names: readonly string[]): object[] => Array.from({ length: of.length }, (_, row) => ({
    time: new Date(of.at(row)).toISOString(),
    ...Object.fromEntries(names.map((name, column) => [name, rounded(of.value(row, column))])),
  }));
  return JSON.stringify({
    events: happenings.map(({ at, text }) => ({ time: new Date(at).toISOString(), text })),
    stream: list(ring, columns),
    destinations: destinations.map((one) => ({ name: one.name, seconds: list(one.ring, destinationColumns) })),
  }, null, 1);
}

function rowsByTime(ring: Ring): Map<number, number> {
  return new Map(Array.from({ length: ring.length }, (_, row) => [ring.at(row), row]));
}

function rounded<T extends number | null>(value: T): T {
  return (value === null ? null : Math.round(value * 1000) / 1000) as T;
}

/** A text in a CSV file. A spreadsheet would run a text as a formula that begins like one, and a name comes from somebody. */
function cell(text: string): string {
  const harmless = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(harmless) ? `"${harmless.replaceAll('"', '""')}"` : harmless;
}
