// One call in the console's list.

import { type CallInfo, isTalking } from "./call-client.ts";
import type { Question } from "./confirm.ts";
import * as format from "./format.ts";
import { sentences, t } from "./language.ts";
import type { Row } from "./rows.ts";
import { serverNow } from "./server-clock.ts";
import { callEnd, callLabel, callPushLabel } from "./words.ts";

export interface CallHandlers {
  /** Asks the user first; question is the text. */
  hangUp: (id: string, question: Question) => void;
  /** sent is called when the server has taken the digits. */
  sendDigits: (id: string, digits: string, sent: () => void) => void;
}

/** The colours of the states, by the names that pushes have for them. */
const dots: Record<string, string> = { ESTABLISHED: "PUBLISHING", FAILED: "FAILED", BUSY: "ENDED", FINISH: "ENDED" };

/** Returns the function that shows a call in a row. pushes counts the pushes of a stream. */
export function callRow(row: Row, id: string, handlers: CallHandlers, pushes: (stream: string) => number): (call: CallInfo) => void {
  const field = row.part("digits") as HTMLInputElement;
  const form = row.part("keys");
  let who = "";
  row.part("stop").addEventListener("click", () => handlers.hangUp(id, {
    title: t("Hang up the call with {who}?", { who: format.inSentence(who) }),
    text: t("The stream of the phone ends with the call, and so do the pushes of that stream."),
    action: t("Hang up"),
  }));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const digits = field.value.trim();
    if (digits !== "") {
      handlers.sendDigits(id, digits, () => {
        field.value = field.value.trim() === digits ? "" : field.value;
      });
    }
  });
  return (call) => {
    who = (call.incoming ? call.caller : call.callee) || id;
    row.root.dataset["status"] = dots[call.status] ?? "HOLDING";
    row.set("state", callLabel(call.status));
    row.set("name", who);
    row.set("from", direction(call));
    row.set("end", callEnd(call.reason));
    row.set("info", call.info);
    row.set("note", note(call));
    row.set("codecs", format.codecs(call.videoCodec, call.audioCodec));
    row.set("lost", loss(call));
    if (call.streamName === "") {
      row.set("stream", "–"); // it has no address yet
    } else {
      row.link("stream", call.streamName, format.streamPage(call.streamName));
    }
    row.set("pushes", call.pushStatus === "" ? format.count(call.streamName === "" ? null : pushes(call.streamName)) : callPushLabel(call.pushStatus));
    row.set("age", call.answeredAt === null ? "–" : format.clock((call.endedAt ?? serverNow()) - call.answeredAt));
    row.part("stop").setAttribute("aria-label", t("Hang up the call with {who}", { who }));
    row.part("stop").hidden = call.endedAt !== null;
    field.setAttribute("aria-label", t("Digits for {who}", { who }));
    form.hidden = !isTalking(call.status);
  };
}

function direction(call: CallInfo): string {
  const other = call.incoming ? call.callee : call.caller;
  if (other === "") {
    return call.incoming ? t("Calls this server") : t("Called by this server");
  }
  const who = call.visibleName === "" || call.visibleName === other ? other : `${other} (${call.visibleName})`;
  if (call.incoming) {
    return call.browser ? t("calls {who}, a page", { who }) : t("calls {who}", { who });
  }
  return call.browser ? t("called by {who}, a page", { who }) : t("called by {who}", { who });
}

function note(call: CallInfo): string {
  const heard = call.injected === "" ? "" : t("Hears {file}.", { file: call.injected });
  const keys = call.digits === "" ? "" : t("Has sent {digits}.", { digits: call.digits });
  return sentences(heard, keys);
}

function loss({ received, lost }: CallInfo): string {
  if (received === null || lost === null || received + lost === 0) {
    return "–";
  }
  return `${format.count(lost)} (${format.percent(lost / (received + lost))})`;
}
