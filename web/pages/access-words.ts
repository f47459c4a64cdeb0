import { t } from "./language.ts";
import type { Text } from "./languages/en.ts";

const modes: Record<string, Text> = {
  auto: "Clients on the server's own machine may do everything. Everybody else has to show who he is.",
  closed: "Everybody has to show who he is, also on the server's own machine.",
  open: "Everybody who reaches this server may do everything. Write access=auto in its settings if strangers can reach it.",
};

/** The text for a word of the server. A word that is not known here is shown as it is. */
function known(texts: Record<string, Text>, word: string): string {
  const text = Object.hasOwn(texts, word) ? texts[word] : undefined;
  return text === undefined ? word : t(text);
}

export function modeWords(mode: string): string {
  return Object.hasOwn(modes, mode) ? known(modes, mode) : "";
}

const roles: Record<string, Text> = { viewer: "Viewer", operator: "Operator", admin: "Administrator" };

export function roleWords(role: string): string {
  return known(roles, role);
}

const people: Record<string, Text> = {
  "client on this machine": "client on this machine", stranger: "stranger", "foreign page": "foreign page",
  "page of an origin in the settings": "page of an origin in the settings",
};

/** Who may do something, in the report of the server: a kind of client, or a user or a key by name. */
export function whoWords(who: string): string {
  if (who.startsWith("user ")) {
    return t("user {name}", { name: who.slice("user ".length) });
  }
  return who.startsWith("key ") ? t("key {name}", { name: who.slice("key ".length) }) : known(people, who);
}

const actions: Record<string, Text> = { publish: "publish", play: "play", push: "push", read: "see", control: "control", admin: "do everything with" };

/** An action, in a word or two for people. The names of streams follow. */
export function actionWords(action: string): string {
  return known(actions, action);
}

/** The same without a stream, for the head of a table. */
export function actionTitle(action: string): string {
  return action === "admin" ? t("do everything") : actionWords(action);
}

/** The actions that a form offers. */
export function actionChoices(): (readonly [value: string, label: string])[] {
  return [
    ["publish", t("Publish")], ["play", t("Play streams")], ["push", t("Push")], ["read", t("See streams and pushes")],
    ["control", t("End and change what others do")], ["admin", t("Everything")],
  ];
}

/** Which tokens are meant. */
export function tokenWords(kind: "jti" | "sub" | "kid", id: string): string {
  switch (kind) {
    case "jti": return t("the token {id}", { id });
    case "sub": return t("all tokens of {id}", { id });
    case "kid": return t("all tokens signed by {id}", { id });
  }
}

const policies: Record<string, Text> = {
  open: "whom the settings let in", token: "who has a token", hook: "whom the backend admits", "token+hook": "who has a token and is admitted by the backend",
};

const choices: Record<string, Text> = {
  open: "Whom the settings let in", token: "Whoever has a token or a key", hook: "Whom the backend admits", "token+hook": "Whoever has a token or a key, and is admitted by the backend",
};

/** The same for a list from which people choose. */
export function authChoice(auth: string): string {
  return known(choices, auth);
}

export function authWords(auth: string): string {
  return known(policies, auth) || t("as the settings say");
}

/** A client without a name in the audit log. */
export function kindWords(kind: string): string {
  return kind === "anonymous" ? t("anonymous") : kind;
}

const rights: Record<string, Text> = {
  "without a credential": "without a credential",
  "only with a password, a token, a key or a certificate": "only with a password, a token, a key or a certificate",
  "no grant": "no grant",
};

/** Under which condition, or with what, somebody may do something; null: only the server has words for it. */
export function rightWords(words: string): string | null {
  const [, streams, targets] = /^(all streams|the streams .+?)(?:, to (.+))?$/.exec(words) ?? [];
  if (streams === undefined) {
    return Object.hasOwn(rights, words) ? known(rights, words) : null;
  }
  if (streams === "all streams") {
    return targets === undefined ? t("all streams") : t("all streams, to {targets}", { targets });
  }
  const some = { streams: streams.slice("the streams ".length) };
  return targets === undefined ? t("the streams {streams}", some) : t("the streams {streams}, to {targets}", { ...some, targets });
}
