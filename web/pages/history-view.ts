import { paths } from "./chart.ts";
import { create, element, setText } from "./dom.ts";
import * as format from "./format.ts";
import { Happenings } from "./happenings.ts";
import type { Health } from "./health.ts";
import { asCSV, asJSON, moments, Ring, type Gather } from "./history.ts";
import { t } from "./language.ts";
import type { PushState } from "./push-state.ts";
import type { StreamState } from "./stream-state.ts";
import type { Warning } from "./warnings.ts";

/** One row a second, for an hour. */
const rows = 3600;

/** The charts show so much of it. At the beginning of a show they show less, so that something can be seen. */
const spans = [
  { lastsMs: 120_000, steps: 60, minutes: 2 },
  { lastsMs: 600_000, steps: 120, minutes: 10 },
] as const;

type Span = (typeof spans)[number];

/** A show with more destinations has no charts for the rest, so that neither the memory nor the page grows without end. */
const mostDestinations = 20;

/** Curves out of sight are drawn once in this time, for a picture of the whole page, which no event announces. */
const unseenMs = 30_000;

const namespace = "http://www.w3.org/2000/svg";

/** What a chart is of. floor: the smallest value for the top edge, so that small numbers look small. */
interface Subject {
  label: string;
  format: (value: number | null) => string;
  gather: Gather;
  floor: number;
}

const subjects: readonly Subject[] = [
  { label: t("Bitrate"), format: format.bitrate, gather: "mean", floor: 1000 },
  { label: t("Lost"), format: format.percent, gather: "max", floor: 0.05 },
  { label: t("Round trip"), format: format.delay, gather: "max", floor: 100 },
  { label: t("Frame rate"), format: format.frameRate, gather: "mean", floor: 30 },
];

const destinationSubjects: readonly Subject[] = [
  { label: t("Bitrate"), format: format.bitrate, gather: "mean", floor: 1000 },
  { label: t("Lag"), format: format.delay, gather: "max", floor: 1000 },
  { label: t("Dropped frames"), format: format.count, gather: "sum", floor: 10 },
];

/** A chart of the last minutes, with its numbers in words. */
class TimeChart {
  readonly root = create("div", "time-chart");
  private readonly svg = document.createElementNS(namespace, "svg");
  private readonly area = document.createElementNS(namespace, "path");
  private readonly line = document.createElementNS(namespace, "path");
  private readonly now = create("strong");
  private readonly range = create("span", "range");

  constructor(private readonly subject: Subject, private readonly whose: string) {
    this.svg.setAttribute("viewBox", "0 0 120 32");
    this.svg.setAttribute("preserveAspectRatio", "none");
    this.svg.setAttribute("role", "img");
    this.svg.setAttribute("aria-label", t("{whose}, {label}: no numbers yet", { whose, label: subject.label }));
    this.svg.setAttribute("class", "chart");
    this.area.setAttribute("class", "area");
    this.line.setAttribute("class", "line");
    this.svg.append(this.area, this.line);
    const head = create("p");
    head.append(create("span", "label", subject.label), " ", this.now);
    this.root.append(head, this.svg, this.range);
  }

  /** drawn: the curve, too; otherwise only what screen readers read. */
  show(values: (number | null)[], span: Span, drawn: boolean): void {
    const { floor, format: words, gather, label } = this.subject;
    const known = values.filter((value) => value !== null);
    const [least, most] = known.length > 0 ? [Math.min(...known), Math.max(...known)] : [null, null];
    if (drawn) {
      const { area, line } = paths(values, Math.max(most ?? 0, floor));
      this.line.setAttribute("d", line);
      this.area.setAttribute("d", area);
    }
    const newest = values.at(-1) ?? values.at(-2) ?? null; // the last moment may have just begun
    setText(this.now, words(newest));
    const range = known.length === 0 ? t("No numbers yet") : gather === "sum"
      ? t("{count} in the last {n} minutes", { count: words(known.reduce((sum, value) => sum + value, 0)), n: span.minutes })
      : t("{least} to {most} in the last {n} minutes", { least: words(least), most: words(most), n: span.minutes });
    setText(this.range, range);
    this.svg.setAttribute("aria-label", t("{whose}, {label}: now {value}; {range}", { whose: this.whose, label, value: newest === null ? t("unknown") : words(newest), range }));
  }
}

/** The charts of one stream or destination. */
class Charts {
  readonly root = create("div", "charts");
  private readonly charts: TimeChart[];

  constructor(private readonly ring: Ring, private readonly subjects: readonly Subject[], whose: string) {
    this.charts = subjects.map((subject) => new TimeChart(subject, whose));
    this.root.append(...this.charts.map(({ root }) => root));
  }

  show(now: number, drawn: boolean): void {
    const span = this.ring.length > 0 && now - this.ring.at(0) > spans[0].lastsMs ? spans[1] : spans[0];
    const step = span.lastsMs / span.steps;
    const to = Math.ceil(now / step) * step; // so that a number stays in its moment until the moment has gone
    for (const [column, chart] of this.charts.entries()) {
      chart.show(moments(this.ring, column, to - span.lastsMs, to, span.steps, this.subjects[column]?.gather ?? "mean"), span, drawn);
    }
  }
}

interface Shown {
  name: string;
  ring: Ring;
  charts: Charts;
  root: HTMLElement;
  /** The server's counter at the last row. */
  dropped: number | null;
  push: string;
}

/** A destination at one moment. */
export interface DestinationNow {
  key: number;
  name: string;
  state: PushState;
}

/** The part of the page that shows how the show has gone: charts, what happened, and how long it lasts. */
export class HistoryView {
  readonly happenings = new Happenings(() => this.showHappenings());
  private readonly card = element("history", HTMLElement);
  private readonly list = element("events", HTMLElement);
  private ring = new Ring(rows, subjects.length);
  private charts: Charts | null = null;
  private readonly destinations = new Map<number, Shown>();
  private phase: StreamState["phase"] = "idle";
  private since: number | null = null;
  private name = "";
  private readAt = 0;
  private drawnAt = 0;
  private inSight = true; // until the browser says otherwise

  constructor() {
    new IntersectionObserver((seen) => {
      this.inSight = seen.at(-1)?.isIntersecting ?? true;
      this.showCharts();
    }).observe(this.card);
    window.addEventListener("beforeprint", () => this.showCharts(true));
    element("save-csv", HTMLButtonElement).addEventListener("click", () => this.save("csv", "text/csv", asCSV(this.ring, [...this.destinations.values()])));
    element("save-json", HTMLButtonElement).addEventListener("click", () =>
      this.save("json", "application/json", asJSON(this.ring, [...this.destinations.values()], this.happenings.list)));
  }

  /** The show is in this state. */
  follow(state: StreamState, name: string): void {
    const begins = this.phase === "idle" && state.phase !== "idle";
    this.phase = state.phase;
    if (begins) {
      this.begin(name);
    }
    this.happenings.follow(state);
    if (state.phase === "idle") {
      this.showTime();
      this.since = null;
    }
  }

  /** A destination is removed from the page. */
  remove(key: number): void {
    this.destinations.get(key)?.root.remove();
    this.destinations.delete(key);
  }

  /** The numbers of this second. */
  read(at: number, health: Health | null, destinations: readonly DestinationNow[], warnings: readonly Warning[]): void {
    this.happenings.warn(warnings);
    if (this.phase === "idle" || !this.charts) {
      return;
    }
    this.ring.push(at, health ? [health.kbps, health.loss, health.roundTripMs, health.framesPerSecond] : []);
    for (const one of destinations) {
      this.readDestination(at, one);
    }
    this.readAt = at;
    this.showCharts();
  }

  /** Curves that nobody can see are drawn rarely, because the browser paints a part of the page for each. */
  private showCharts(drawn = this.inSight || this.readAt - this.drawnAt >= unseenMs): void {
    if (document.visibilityState === "visible") {
      this.drawnAt = drawn ? this.readAt : this.drawnAt;
      this.charts?.show(this.readAt, drawn);
      for (const { charts } of this.destinations.values()) {
        charts.show(this.readAt, drawn);
      }
    }
  }

  private begin(name: string): void {
    this.name = name;
    this.since = this.drawnAt = Date.now();
    this.ring = new Ring(rows, subjects.length);
    this.charts = new Charts(this.ring, subjects, t("From here to the server"));
    for (const { root } of this.destinations.values()) {
      root.remove();
    }
    this.destinations.clear();
    this.happenings.clear();
    element("charts", HTMLElement).replaceChildren(this.charts.root);
    this.card.hidden = false;
  }

  private readDestination(at: number, { key, name, state }: DestinationNow): void {
    const { phase, push } = state;
    const shown = this.destinations.get(key) ?? (push ? this.add(key, name) : null);
    if (!shown) {
      return;
    }
    const live = phase === "live" ? push : null;
    const before = live && live.id === shown.push ? shown.dropped : 0;
    const dropped = live?.droppedFrames ?? null;
    shown.ring.push(at, [live?.bitrateKbps ?? null, live?.queuedMs ?? null, dropped === null || before === null ? null : Math.max(0, dropped - before)]);
    shown.dropped = dropped ?? shown.dropped;
    shown.push = live?.id ?? shown.push;
  }

  private add(key: number, name: string): Shown | null {
    if (this.destinations.size >= mostDestinations) {
      return null;
    }
    const root = create("section", "destination-history");
    const title = create("h3");
    title.append(create("bdi", "", name));
    const ring = new Ring(rows, destinationSubjects.length);
    const charts = new Charts(ring, destinationSubjects, format.inSentence(name));
    root.append(title, charts.root);
    element("destination-charts", HTMLElement).append(root);
    const shown = { name, ring, charts, root, dropped: 0, push: "" };
    this.destinations.set(key, shown);
    return shown;
  }

  /** Shows how long the show lasts. */
  showTime(): void {
    if (this.since !== null) {
      setText(element("show-time", HTMLElement), format.clock(Date.now() - this.since));
    }
  }

  /** The newest comes first. Only what has changed is touched. */
  private showHappenings(): void {
    const { list } = this.happenings;
    const newest = list.at(-1);
    if (!newest) {
      return;
    }
    if (list.length === 1) {
      this.list.replaceChildren();
    }
    const line = create("li");
    line.append(create("time", "", format.moment(newest.at, newest.at)), " ", create("bdi", "", newest.text));
    this.list.prepend(line);
    while (this.list.children.length > list.length) {
      this.list.lastElementChild?.remove();
    }
  }

  private save(extension: string, type: string, content: string): void {
    const link = create("a");
    link.href = URL.createObjectURL(new Blob([content], { type }));
    link.download = `${this.name} ${new Date().toISOString().slice(0, 19).replace("T", " ").replaceAll(":", "-")}.${extension}`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000); // the browser has read it by then
  }
}
