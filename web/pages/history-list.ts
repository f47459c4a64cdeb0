// The pushes that are over, with filters that the server applies.

import { shownTarget } from "./address.ts";
import { starterWords } from "./console-words.ts";
import { element, setText } from "./dom.ts";
import { pushFailure, pushReasons } from "./failure.ts";
import * as format from "./format.ts";
import { locale, t } from "./language.ts";
import type { PastFilter, PushInfo } from "./push-client.ts";
import { Rows, type Row } from "./rows.ts";
import { serverNow } from "./server-clock.ts";
import { explain, pushLabel } from "./words.ts";

/** How many pushes are read at a time. */
const pageLength = 50;

/** Asks the server for a page. */
type Ask = (filter: PastFilter) => Promise<PushInfo[]>;

/** How long somebody must have stopped typing before the server is asked. */
const typingMs = 300;

const hourMs = 3_600_000;

export interface HistoryHandlers {
  retryPush: (push: PushInfo) => void;
  /** The filter has changed, or older pushes are wanted. */
  wanted: () => void;
}

export class HistoryList {
  private readonly rows: Rows<PushInfo>;
  private readonly text = element("history-text", HTMLInputElement);
  private readonly reason = element("history-reason", HTMLSelectElement);
  private readonly time = element("history-time", HTMLSelectElement);
  private readonly from = element("history-from", HTMLInputElement);
  private readonly to = element("history-to", HTMLInputElement);
  private readonly older = element("history-older", HTMLButtonElement);
  private readonly empty = element("history-empty", HTMLElement);
  private pushes: PushInfo[] = [];
  private more = false; // the server may have older ones
  private olderWanted = false;
  private choice = 1; // counts what somebody has chosen in the filters
  private shownChoice = 0; // to which the pushes belong
  private typing = 0;

  /** others: what a field elsewhere on the page wants to find, too. */
  constructor(private readonly handlers: HistoryHandlers, private readonly others: () => string = () => "") {
    this.rows = new Rows("history", ({ id }) => id, (row) => pastRow(row, handlers), brief);
    const reasons = pushReasons.map((reason) => new Option(explain(pushFailure(reason, "")).title, reason)).sort((a, b) => a.text.localeCompare(b.text, locale));
    this.reason.append(new Option(t("Failed, for any reason"), "FAILED"), new Option(t("Ended as wanted"), "ENDED"), ...reasons);
    this.text.addEventListener("input", () => this.typed());
    for (const field of [this.reason, this.time, this.from, this.to]) {
      field.addEventListener("change", () => this.changed());
    }
    this.older.addEventListener("click", () => {
      this.olderWanted = true;
      this.handlers.wanted();
    });
  }

  /** Somebody types what is to be found. */
  typed(): void {
    clearTimeout(this.typing);
    this.typing = window.setTimeout(() => this.changed(), typingMs);
  }

  /** Reads the pushes that have ended since the last time, and older ones if somebody wants them. What is known is not read again. */
  async read(ask: Ask): Promise<void> {
    const { choice, filter } = this;
    const known = choice === this.shownChoice ? this.pushes : [];
    const ids = new Set(known.map(({ id }) => id));
    let pushes: PushInfo[] = [];
    const next = async (): Promise<PushInfo[]> => {
      const page = await ask({ ...filter, ...behind(pushes.at(-1)) });
      pushes = [...pushes, ...page];
      return page;
    };
    let page = await next();
    while (page.length === pageLength && pushes.length < known.length && !page.some(({ id }) => ids.has(id))) {
      page = await next();
    }
    let more = page.length === pageLength;
    if (more && page.some(({ id }) => ids.has(id))) {
      const read = new Set(pushes.map(({ id }) => id));
      const rest = known.filter(({ id }) => !read.has(id));
      pushes = [...pushes, ...rest];
      more = rest.length > 0 ? this.more : more;
    }
    if (this.olderWanted && more && known.length > 0) {
      more = (await next()).length === pageLength;
    }
    if (choice === this.choice) { // else it is read again
      [this.pushes, this.more, this.olderWanted, this.shownChoice] = [pushes, more, false, choice];
      this.show();
    }
  }

  /** What the server shall be asked for. */
  private get filter(): PastFilter {
    const chosen = this.reason.value;
    const outcome = chosen === "FAILED" || chosen === "ENDED";
    const hours = Number(this.time.value) || 0;
    const between = this.time.value === "between";
    return {
      text: `${this.others()} ${this.text.value}`.trim(),
      status: outcome ? chosen : "",
      reason: outcome ? "" : chosen,
      from: between ? moment(this.from.value) : hours > 0 ? serverNow() - hours * hourMs : 0,
      to: between ? moment(this.to.value) : 0,
      limit: pageLength,
    };
  }

  private show(): void {
    this.rows.show(this.pushes);
    this.older.hidden = !this.more;
    const { limit, ...filter } = this.filter;
    const filtered = Object.values(filter).some((value) => value);
    setText(this.empty, this.pushes.length > 0 ? "" : filtered ? t("Nothing in the history matches.") : t("No push has ended yet."));
  }

  private changed(): void {
    const between = this.time.value === "between";
    element("history-between", HTMLElement).hidden = !between;
    this.choice++;
    this.olderWanted = false;
    this.handlers.wanted();
  }
}

/** The page behind a push. */
function behind(push: PushInfo | undefined): Partial<PastFilter> {
  return push ? { after: push.id, afterEnded: push.endedAt ?? 0 } : {};
}

/** The line for a push that is far from the window. */
function brief(push: PushInfo): string {
  return `${pushLabel(push.status)} ${format.inSentence(push.sourceName)} ${shownTarget(push)}`;
}

/** A time that somebody has entered, in ms since 1970; 0 for none. */
function moment(entered: string): number {
  return entered === "" ? 0 : new Date(entered).getTime() || 0;
}

function pastRow(row: Row, handlers: HistoryHandlers): (push: PushInfo) => void {
  let shown: PushInfo;
  const retry = row.part("retry");
  retry.addEventListener("click", () => handlers.retryPush(shown));
  return (push) => {
    shown = push;
    row.root.dataset["status"] = push.status;
    row.set("state", pushLabel(push.status));
    row.link("name", push.sourceName, format.streamPage(push.sourceName));
    row.set("target", shownTarget(push));
    row.set("by", starterWords(push.startedBy));
    row.set("reason", push.reason === "" ? "" : explain(pushFailure(push.reason, push.info)).title);
    row.set("info", push.info);
    const { startedAt, endedAt } = push;
    row.set("when", endedAt === null ? "" : format.moment(endedAt, serverNow()));
    row.set("lasted", startedAt === null || endedAt === null ? "" : t("lasted {time}", { time: format.clock(endedAt - startedAt) }));
    retry.setAttribute("aria-label", t("Start again the push of {name} to {target}", { name: format.inSentence(push.sourceName), target: format.inSentence(shownTarget(push)) }));
  };
}
