// One push in a list: of the console, or of the page about a stream.

import { shownTarget } from "./address.ts";
import { Chart, Series } from "./chart.ts";
import type { Question } from "./confirm.ts";
import { starterWords } from "./console-words.ts";
import { pushFailure } from "./failure.ts";
import * as format from "./format.ts";
import { language, sentences, t } from "./language.ts";
import type { PushInfo } from "./push-client.ts";
import { isTaking } from "./push-state.ts";
import type { Row } from "./rows.ts";
import { serverNow } from "./server-clock.ts";
import { explain, pushLabel } from "./words.ts";

export interface PushHandlers {
  /** Asks the user first; question is the text. */
  stopPush: (id: string, question: Question) => void;
  retryPush: (push: PushInfo) => void;
  /** Takes a push that has failed out of the list. */
  removePush: (id: string) => void;
}

/** Five minutes, with one value every two seconds. */
const chartSize = 150;

/** A push that has sent nothing for so long is late. */
const lateMs = 3000;

/** Whether somebody should look at a push. */
export function isTroubled(push: PushInfo): boolean {
  const late = isTaking(push.status) && (push.queuedMs ?? 0) >= lateMs;
  return push.stale || late || push.status === "FAILED" || push.status === "DEGRADED" || push.status === "RECONNECTING";
}

/** The latest bitrates and queues of all pushes, also of those whose rows are not on the page. */
export class PushFigures {
  private readonly known = new Map<string, { rate: Series; queue: Series }>();

  /** Adds a value for each of the pushes, which are all that there are. */
  add(pushes: PushInfo[]): void {
    const ids = new Set(pushes.map(({ id }) => id));
    for (const id of this.known.keys()) {
      if (!ids.has(id)) {
        this.known.delete(id);
      }
    }
    for (const push of pushes) {
      const { rate, queue } = this.of(push.id);
      rate.push(isLive(push) ? push.bitrateKbps : null);
      queue.push(isLive(push) ? push.queuedMs : null);
    }
  }

  of(id: string): { rate: Series; queue: Series } {
    let found = this.known.get(id);
    if (!found) {
      found = { rate: new Series(chartSize), queue: new Series(chartSize) };
      this.known.set(id, found);
    }
    return found;
  }
}

function isLive(push: PushInfo): boolean {
  return isTaking(push.status) && !push.stale;
}

/** The line for a push whose row is not on the page. */
export function briefPush(push: PushInfo): string {
  return t("{state}: {name} to {target}", { state: pushLabel(push.status), ...parties(push) });
}

/** Returns the function that shows a push in a row. several: there are several servers. */
export function pushRow(row: Row, id: string, figures: PushFigures, handlers: PushHandlers, several: () => boolean): (push: PushInfo) => void {
  const { rate, queue } = figures.of(id);
  const charts = [new Chart(chartSize, 500, t("Bitrate"), format.bitrate, rate), new Chart(chartSize, 1000, t("Queue"), format.delay, queue)] as const;
  charts[0].appendTo(row.part("rate-chart"), row.part("rate-max"));
  charts[1].appendTo(row.part("queue-chart"), row.part("queue-max"));
  const stop = row.part("stop");
  let shown: PushInfo;
  let retry: HTMLElement | null = null;
  let drawn = -1;
  stop.addEventListener("click", () => (shown.status === "FAILED" ? handlers.removePush(id) : handlers.stopPush(id, {
    title: t("Stop the push of “{name}”?", parties(shown)),
    text: t("{target} gets nothing any more. The stream and its other pushes go on.", parties(shown)),
    action: t("Stop the push"),
  })));
  return (push) => {
    shown = push;
    const [live, failed] = [isLive(push), push.status === "FAILED"];
    const which = parties(push);
    row.root.dataset["status"] = push.stale ? "" : push.status;
    row.set("state", pushLabel(push.status));
    row.link("name", push.sourceName, format.streamPage(push.sourceName));
    row.set("target", shownTarget(push));
    row.set("by", starterWords(push.startedBy));
    row.set("bitrate", format.bitrate(live ? push.bitrateKbps : null));
    row.set("queue", format.delay(live ? push.queuedMs : null));
    row.set("age-label", failed ? t("Lasted") : t("Running"));
    row.set("age", push.startedAt ? format.clock((push.endedAt ?? serverNow()) - push.startedAt) : "–");
    row.set("why", reasonWords(push));
    row.set("info", push.info);
    row.set("note", pushNote(push, several()));
    row.set("stop", failed ? t("Remove") : t("Stop"));
    stop.setAttribute("aria-label", failed ? t("Remove the push of {name} to {target}", which) : t("Stop the push of {name} to {target}", which));
    if (failed && !retry) {
      retry = addRetry(stop, () => handlers.retryPush(shown));
    }
    retry?.toggleAttribute("hidden", !failed);
    retry?.setAttribute("aria-label", t("Retry the push of {name} to {target}", which));
    if (drawn !== rate.count) {
      drawn = rate.count;
      charts.forEach((chart) => chart.draw());
    }
  };
}

function addRetry(before: HTMLElement, run: () => void): HTMLElement {
  const button = Object.assign(document.createElement("button"), { type: "button", className: "button quiet small can-push", textContent: t("Retry") });
  button.addEventListener("click", run);
  before.before(button);
  return button;
}

/** The stream and the destination of a push, for sentences. */
function parties(push: PushInfo): { name: string; target: string } {
  return { name: format.inSentence(push.sourceName), target: format.inSentence(shownTarget(push)) };
}

/** The reason for the state of a push. In English, the server's own words beside it say enough. */
function reasonWords({ reason }: PushInfo): string {
  return language === "en" || reason === "" ? "" : explain(pushFailure(reason, "")).title;
}

function pushNote(push: PushInfo, several: boolean): string {
  const node = push.node === "" ? "" : push.stale ? t("{node} does not answer: this is what was known last.", { node: format.inSentence(push.node) }) : several ? t("On {node}.", { node: push.node }) : "";
  const sound = push.muted ? t("Muted.") : push.soundFile !== "" ? t("Plays {file}.", { file: push.soundFile }) : "";
  const attempts = (push.attempts ?? 0) > 1 && !isTaking(push.status) ? t("Attempt {n}.", { n: push.attempts ?? 0 }) : "";
  const dropped = !push.droppedFrames ? "" : push.droppedFrames === 1 ? t("1 frame dropped.") : t("{n} frames dropped.", { n: push.droppedFrames });
  return sentences(attempts, dropped, sound, node);
}
