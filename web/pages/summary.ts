import { t } from "./language.ts";
import type { PushState } from "./push-state.ts";
import type { StreamState } from "./stream-state.ts";
import { awayNote, pushWords } from "./words.ts";

/** A destination of this broadcast; its push may have ended. */
export interface Part {
  name: string;
  state: PushState;
}

/** The whole broadcast in a few words. */
export interface Summary {
  phase: "idle" | "opening" | "publishing" | "pushing" | "live" | "unsure" | "returning" | "waiting" | "stopping" | "failed";
  title: string;
  note: string;
  /** When the first of the live destinations became live, ms since 1970; null if none is live. */
  liveSince: number | null;
}

export function summarize(stream: StreamState, parts: Part[]): Summary {
  const live = parts.filter(({ state }) => state.phase === "live");
  const since = live.map(({ state }) => state.liveSince).filter((at) => at !== null);
  const liveSince = since.length > 0 ? Math.min(...since) : null;
  const words = (phase: Summary["phase"], title: string, note = ""): Summary => ({ phase, title, note, liveSince });
  switch (stream.phase) {
    case "idle": return idle(stream, parts);
    case "opening": return words("opening", t("Opening camera and microphone"));
    case "publishing": return words("publishing", t("Sending the stream to this server"));
    case "stopping": return words("stopping", t("Stopping"));
    case "returning": return words("returning", t("Reconnecting to this server"), awayNote(stream.away, stream.silent));
    case "waiting": return words(stream.failure ? "failed" : "waiting", stream.elsewhere ? t("Another device or window sends this show") : t("Your show is interrupted"), waitingNote(stream, live));
    case "sending": return ending(parts)
      ? words("stopping", t("Stopping"))
      : words(stream.silent ? "unsure" : live.length > 0 ? "live" : "pushing", sending(stream, parts, live), sendingNote(stream, parts));
  }
}

function idle(stream: StreamState, parts: Part[]): Summary {
  const failed = stream.failure !== null || (parts.length > 0 && parts.every(({ state }) => state.failure !== null));
  if (failed) {
    return { phase: "failed", title: t("Not live"), note: "", liveSince: null };
  }
  return parts.length === 0
    ? { phase: "idle", title: t("Ready"), note: t("Nothing is being sent."), liveSince: null }
    : { phase: "idle", title: t("Stopped"), note: t("Nothing is being sent any more."), liveSince: null };
}

/** True if all pushes have ended or are ending: then the stream is about to end. */
function ending(parts: Part[]): boolean {
  return parts.length > 0 && parts.every(({ state }) => state.phase === "stopping" || state.phase === "idle");
}

function sending(stream: StreamState, parts: Part[], live: Part[]): string {
  const [first] = parts;
  if (stream.silent) {
    return t("No answer from this server");
  }
  if (first && parts.length === 1) {
    return first.state.push ? pushWords(first.state.push.status, first.name) : t("Asking for {name}", { name: first.name });
  }
  if (live.length === 0) {
    return t("Connecting to the destinations");
  }
  return live.length === parts.length ? t("Live on all {n} destinations", { n: parts.length }) : t("Live on {live} of {n} destinations", { live: live.length, n: parts.length });
}

function sendingNote(stream: StreamState, parts: Part[]): string {
  if (stream.locked) {
    return t("The stream goes on, but the server wants you to sign in again before it tells more.");
  }
  return stream.silent ? t("The page keeps asking again. Your camera stays on.") : only(parts)?.push?.info ?? "";
}

function waitingNote(stream: StreamState, live: Part[]): string {
  const { locked, silent } = stream;
  if (locked || silent) {
    return locked ? t("The server wants you to sign in before it tells more.") : t("The server does not answer; asking again.");
  }
  if (stream.elsewhere) {
    return t("Your camera is not sent. Take over, and the destinations get your picture over the same connections.");
  }
  return live.length > 0 ? t("A still picture is shown until you go on, for a limited time.") : t("Go on, and the server connects to the destinations again.");
}

function only(parts: Part[]): PushState | undefined {
  return parts.length === 1 ? parts[0]?.state : undefined;
}
