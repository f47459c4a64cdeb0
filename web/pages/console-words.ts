// The texts that only the console and the page about a stream have.

import type { Failure } from "./failure.ts";
import { inSentence } from "./format.ts";
import { t } from "./language.ts";
import type { Text } from "./languages/en.ts";
import type { Starter } from "./push-client.ts";
import { consoleWords, type Words } from "./words.ts";

/** Somebody without a name, by how he has shown who he is. */
const nameless: Record<string, Text> = {
  local: "somebody on the server's machine",
  user: "a user",
  token: "somebody with a token",
  key: "somebody with a key",
  certificate: "a program with a certificate",
  hook: "somebody whom the backend admits",
  setting: "somebody with a token of the settings",
  anonymous: "somebody without a name",
};

/** What the server has begun by itself. */
const byItself: Record<string, Text> = {
  auto: "Started by the settings, which push each stream",
  hook: "Started by the backend of the application",
  call: "Started by a call",
};

/** Who has asked for a push; "" if nobody knows. */
export function starterWords(by: Starter | null): string {
  if (!by) {
    return "";
  }
  const { kind, name, via } = by;
  const itself = byItself[via];
  if (itself) {
    return t(itself);
  }
  const who = inSentence(name) || t(nameless[kind] ?? "somebody");
  return via === "sdk" ? t("Started by {who}, in a page", { who }) : t("Started by {who}", { who });
}

/** Why a push cannot be started again. */
export function retryWords(failure: Failure): Words {
  switch (failure.reason) {
    case "not_found": return {
      title: t("Nobody publishes this stream now, or the server no longer knows the push."),
      advice: t("Start it again when its publisher is back, or start a new push from the row of the stream."),
    };
    case "conflict": return {
      title: t("The push cannot be started again as it was."),
      advice: t("The server's own words below say why. You can start a new push from the row of the stream."),
    };
    case "forbidden": return {
      title: t("You may not start this push again."),
      advice: t("Ask an administrator, or start a new push with your own key from the row of the stream."),
    };
    default: return startWords(failure);
  }
}

/** Why a push cannot be started. */
export function startWords(failure: Failure): Words {
  switch (failure.reason) {
    case "not_found": return { title: t("Nobody publishes this stream any more."), advice: t("Start the push when its publisher is back.") };
    case "conflict": return { title: t("This stream already goes to this address."), advice: t("Choose another destination, or stop the other push first.") };
    case "busy": return { title: t("The server takes no more pushes right now."), advice: t("Stop one that is not needed, or try again later.") };
    default: return consoleWords(failure);
  }
}

/** The title of the page: how many pushes need a look comes first, so that a narrow tab shows it. "!": the server does not answer. */
export function pageTitle(name: string, troubled: number | "!"): string {
  return `${troubled === 0 ? "" : `(${troubled}) `}${name} – Transponder`;
}

/** Why there is no picture of a stream; "" if there is one, or if one is about to come. */
export function snapshotWords(publisher: { hasVideo: boolean } | null, failed: Failure["reason"] | null, missing: boolean): string {
  if (!publisher) {
    return t("Nobody publishes this stream now. A picture is shown when its publisher is back.");
  }
  if (!missing) {
    return "";
  }
  if (!publisher.hasVideo) {
    return t("This stream has no picture: its publisher sends sound only.");
  }
  switch (failed) {
    case null: return t("The first picture comes in a moment.");
    case "forbidden": return t("You may not watch this stream, so you get no picture of it.");
    case "unsupported": return t("This server makes no pictures of streams.");
    case "not_found": return t("The stream has no picture now. It may send sound only, or key frames too rarely.");
    case "busy": return t("The server makes too many pictures right now. The page asks again.");
    default: return t("The server could not make a picture. The page asks again.");
  }
}
