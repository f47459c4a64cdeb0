import type { Happening } from "./history.ts";
import { sentences, t } from "./language.ts";
import type { PushState } from "./push-state.ts";
import type { StreamState } from "./stream-state.ts";
import { initialPush } from "./push-state.ts";
import { initialStream } from "./stream-state.ts";
import type { Warning } from "./warnings.ts";
import { pushFailure } from "./failure.ts";
import { explain, pushWords } from "./words.ts";

/** The newest are kept: a connection that comes and goes all night must not fill the memory. */
const most = 300;

/** Notes in words what happens in a show: to the stream, to each destination, and each warning. */
export class Happenings {
  readonly list: Happening[] = [];
  private stream = initialStream;
  private pushes = new Map<number, { state: PushState; said: string }>();
  private warned = new Map<string, string>();

  /** changed: there is one more. */
  constructor(private readonly changed: () => void) {}

  clear(): void {
    this.list.length = 0;
    this.pushes.clear();
    this.warned.clear();
  }

  note(text: string, at = Date.now()): void {
    this.list.push({ at, text });
    if (this.list.length > most) {
      this.list.shift();
    }
    this.changed();
  }

  follow(state: StreamState): void {
    const { phase } = this.stream;
    const was = this.stream;
    this.stream = state;
    if (state.silent !== was.silent && state.phase === was.phase && state.phase === "sending") {
      this.note(state.silent ? t("The server does not answer. The stream may still reach it.") : t("The server answers again."));
    }
    if (state.elsewhere && !was.elsewhere) {
      this.note(t("Another device sends the show."));
      return;
    }
    if (state.phase === phase) {
      if (was.elsewhere && state.phase === "waiting" && !state.elsewhere) {
        this.note(t("The destinations wait for the stream."));
      }
      return;
    }
    switch (state.phase) {
      case "opening": this.note(phase === "waiting" ? t("The show goes on.") : t("The show begins.")); break;
      case "sending": this.note(phase === "returning" ? t("The server gets the stream again.") : t("The server gets the stream.")); break;
      case "returning": this.note(sentences(t("The server does not get the stream."), state.away ? explain(state.away).title : "", t("The page brings it back."))); break;
      case "waiting": this.note(sentences(t("The destinations wait for the stream."), state.failure ? explain(state.failure).title : "")); break;
      case "idle": this.note(state.failure ? sentences(t("The show has ended."), explain(state.failure).title) : t("The show has ended.")); break;
      default: break;
    }
  }

  /** name: of the destination. */
  push(key: number, name: string, state: PushState): void {
    const { said, state: was } = this.pushes.get(key) ?? { said: "", state: initialPush };
    const text = told(name, state);
    this.pushes.set(key, { state, said: text });
    if (text !== said && text !== "" && (state.phase !== "idle" || was.phase !== "idle")) {
      this.note(text);
    }
  }

  warn(warnings: readonly Warning[]): void {
    const now = new Map(warnings.map(({ code, title }) => [code, title]));
    for (const [code, title] of now) {
      if (!this.warned.has(code)) {
        this.note(t("Warning: {title}", { title }));
      }
    }
    for (const [code, title] of this.warned) {
      if (!now.has(code)) {
        this.note(t("No longer: {title}", { title }));
      }
    }
    this.warned = now;
  }
}

/** What a destination's state is, in words. */
function told(name: string, { failure, phase, push }: PushState): string {
  if (phase === "idle") {
    return failure ? sentences(t("{name} does not get the stream.", { name }), explain(failure).title) : t("{name}: ended.", { name });
  }
  if (phase === "stopping" || !push) {
    return "";
  }
  const words = pushWords(push.status, name);
  const state = words.includes(name) ? t("{state}.", { state: words }) : t("{name}: {state}.", { name, state: words });
  return sentences(state, push.reason === "" ? "" : explain(pushFailure(push.reason, "")).title);
}
