import { create } from "./dom.ts";
import { t } from "./language.ts";

/** The newest values of a number, at most `size` of them, the oldest first. An unknown value is null. */
export class Series {
  readonly values: (number | null)[] = [];
  /** How many values there were, those that are gone included. */
  count = 0;

  constructor(private readonly size: number) {}

  push(value: number | null): void {
    this.values.push(value);
    this.count++;
    if (this.values.length > this.size) {
      this.values.shift();
    }
  }

  /** 0 if no value is known. */
  get max(): number {
    return this.values.reduce<number>((max, value) => Math.max(max, value ?? 0), 0);
  }
}

/** The size of a chart in its own coordinates. */
const width = 120;
const height = 32;

/** A chart is drawn as wide as this many values, even if there are fewer: two points would not look like a curve. */
const leastWide = 30;

/** The SVG paths of a chart: the line through all values, with the newest at the right edge, and the area below the line. */
export function paths(values: (number | null)[], top: number): { line: string; area: string } {
  const line: string[] = [];
  const area: string[] = [];
  const steps = Math.max(values.length, leastWide) - 1;
  const x = (i: number): string => (width - ((values.length - 1 - i) * width) / steps).toFixed(1);
  for (let i = 0; i < values.length; ) {
    const run: string[] = [];
    const first = i;
    for (let value = values[i]; i < values.length && value !== null && value !== undefined; value = values[++i]) {
      run.push(`${x(i)} ${(height - 1 - (Math.min(value, top) / top) * (height - 2)).toFixed(1)}`);
    }
    if (run.length > 0) {
      line.push(`M${run.join("L")}${run.length === 1 ? "h0" : ""}`);
      area.push(`M${x(first)} ${height}L${run.join("L")}L${x(i - 1)} ${height}Z`);
    } else {
      i++;
    }
  }
  return { line: line.join(""), area: area.join("") };
}

const namespace = "http://www.w3.org/2000/svg";

/** A small chart of a number in the last minutes. */
export class Chart {
  private readonly svg = document.createElementNS(namespace, "svg");
  private readonly area = document.createElementNS(namespace, "path");
  private readonly line = document.createElementNS(namespace, "path");
  private readonly scale = create("span");

  /** floor is the smallest value for the top edge of the chart, so that small numbers look small. */
  constructor(
    size: number,
    private readonly floor: number,
    private readonly label: string,
    private readonly format: (value: number | null) => string,
    readonly series: Series = new Series(size),
  ) {
    this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.svg.setAttribute("preserveAspectRatio", "none");
    this.svg.setAttribute("role", "img");
    this.svg.setAttribute("class", "chart");
    this.area.setAttribute("class", "area");
    this.line.setAttribute("class", "line");
    this.svg.append(this.area, this.line);
  }

  /** Adds the chart, and the label for its top edge. */
  appendTo(plot: HTMLElement, scale: HTMLElement): void {
    plot.append(this.svg);
    scale.append(this.scale);
  }

  push(value: number | null): void {
    this.series.push(value);
    this.draw();
  }

  draw(): void {
    const { values, max } = this.series;
    const { line, area } = paths(values, Math.max(max, this.floor));
    this.line.setAttribute("d", line);
    this.area.setAttribute("d", area);
    const known = values.filter((one) => one !== null);
    const most = known.length > 0 ? this.format(max) : "";
    this.svg.setAttribute("aria-label", t("{label} in the last minutes, at most {most}", { label: this.label, most: most || t("unknown") }));
    this.scale.textContent = most && t("max {most}", { most });
  }
}
