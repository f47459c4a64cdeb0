import type { PushState } from "./push-state.ts";
import type { StreamState } from "./stream-state.ts";
import { pushWords } from "./words.ts";

/** A destination of this broadcast; its push may have ended. */
export interface Part {
  name: string;
  state: PushState;
}

/** The whole broadcast in a few words. */
export interface Summary {
  phase: "idle" | "opening" | "publishing" | "pushing" | "live" | "stopping" | "failed";
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
    case "opening": return words("opening", "Opening camera and microphone");
    case "publishing": return words("publishing", "Sending the stream to this server");
    case "stopping": return words("stopping", "Stopping");
    case "sending": return ending(parts)
      ? words("stopping", "Stopping")
      : words(live.length > 0 ? "live" : "pushing", sending(parts, live), sendingNote(stream, parts));
  }
}

function idle(stream: StreamState, parts: Part[]): Summary {
  const failed = stream.failure !== null || (parts.length > 0 && parts.every(({ state }) => state.failure !== null));
  if (failed) {
    return { phase: "failed", title: "Not live", note: "", liveSince: null };
  }
  return parts.length === 0
    ? { phase: "idle", title: "Ready", note: "Nothing is being sent.", liveSince: null }
    : { phase: "idle", title: "Stopped", note: "Nothing is being sent any more.", liveSince: null };
}

/** True if all pushes have ended or are ending: then the stream is about to end. */
function ending(parts: Part[]): boolean {
  return parts.length > 0 && parts.every(({ state }) => state.phase === "stopping" || state.phase === "idle");
}

function sending(parts: Part[], live: Part[]): string {
  const [first] = parts;
  if (first && parts.length === 1) {
    return first.state.push ? pushWords(first.state.push.status, first.name) : `Asking for ${first.name}`;
  }
  if (live.length === 0) {
    return "Connecting to the destinations";
  }
  return live.length === parts.length ? `Live on all ${parts.length} destinations` : `Live on ${live.length} of ${parts.length} destinations`;
}

function sendingNote(stream: StreamState, parts: Part[]): string {
  if (stream.locked) {
    return "The stream goes on, but the server wants you to sign in again before it tells more.";
  }
  return stream.silent ? "The server does not answer; asking again." : only(parts)?.push?.info ?? "";
}

function only(parts: Part[]): PushState | undefined {
  return parts.length === 1 ? parts[0]?.state : undefined;
}
