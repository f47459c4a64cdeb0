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
  private typing = 0;
  private pages = 1;

  constructor(private readonly handlers: HistoryHandlers) {
    this.rows = new Rows("history", ({ id }) => id, (row) => pastRow(row, handlers));
    const reasons = pushReasons.map((reason) => new Option(explain(pushFailure(reason, "")).title, reason)).sort((a, b) => a.text.localeCompare(b.text, locale));
    this.reason.append(new Option(t("Failed, for any reason"), "FAILED"), new Option(t("Ended as wanted"), "ENDED"), ...reasons);
    this.text.addEventListener("input", () => {
      clearTimeout(this.typing);
      this.typing = window.setTimeout(() => this.changed(), typingMs);
    });
    for (const field of [this.reason, this.time, this.from, this.to]) {
      field.addEventListener("change", () => this.changed());
    }
    this.older.addEventListener("click", () => {
      this.pages++;
      this.handlers.wanted();
    });
  }

  /** What the server shall be asked for. */
  get filter(): PastFilter {
    const chosen = this.reason.value;
    const outcome = chosen === "FAILED" || chosen === "ENDED";
    const hours = Number(this.time.value) || 0;
    const between = this.time.value === "between";
    return {
      text: this.text.value.trim(),
      status: outcome ? chosen : "",
      reason: outcome ? "" : chosen,
      from: between ? moment(this.from.value) : hours > 0 ? serverNow() - hours * hourMs : 0,
      to: between ? moment(this.to.value) : 0,
      limit: this.pages * pageLength,
    };
  }

  /** wanted picks among the pushes that the server has found. */
  show(pushes: PushInfo[] = this.pushes, wanted: (push: PushInfo) => boolean = () => true): void {
    this.pushes = pushes;
    const shown = pushes.filter(wanted);
    this.rows.show(shown);
    const { limit, ...filter } = this.filter;
    this.older.hidden = pushes.length < limit;
    const filtered = shown.length < pushes.length || Object.values(filter).some((value) => value);
    setText(this.empty, shown.length > 0 ? "" : filtered ? t("Nothing in the history matches.") : t("No push has ended yet."));
  }

  private changed(): void {
    const between = this.time.value === "between";
    element("history-between", HTMLElement).hidden = !between;
    this.pages = 1;
    this.handlers.wanted();
  }
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
