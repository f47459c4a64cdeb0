const modes: Record<string, string> = {
  auto: "Clients on the server's own machine may do everything. Everybody else has to show who he is.",
  closed: "Everybody has to show who he is, also on the server's own machine.",
  open: "Everybody who reaches this server may do everything. Write access=auto in its settings if strangers can reach it.",
};

export function modeWords(mode: string): string {
  return modes[mode] ?? "";
}

const roles: Record<string, string> = { viewer: "Viewer", operator: "Operator", admin: "Administrator" };

export function roleWords(role: string): string {
  return roles[role] ?? role;
}

const actions: Record<string, string> = { publish: "publish", play: "play", push: "push", read: "see", control: "control", admin: "do everything with" };

/** An action, in a word or two for people. The names of streams follow. */
export function actionWords(action: string): string {
  return actions[action] ?? action;
}

/** The same without a stream, for the head of a table. */
export function actionTitle(action: string): string {
  return action === "admin" ? "do everything" : actionWords(action);
}

const tokens = { jti: "the token", sub: "all tokens of", kid: "all tokens signed by" };

/** Which tokens are meant. */
export function tokenWords(kind: keyof typeof tokens, id: string): string {
  return `${tokens[kind]} ${id}`;
}

const policies: Record<string, string> = {
  open: "whom the settings let in", token: "who has a token", hook: "whom the backend admits", "token+hook": "who has a token and is admitted by the backend",
};

const choices: Record<string, string> = {
  open: "Whom the settings let in", token: "Whoever has a token or a key", hook: "Whom the backend admits", "token+hook": "Whoever has a token or a key, and is admitted by the backend",
};

/** The same for a list from which people choose. */
export function authChoice(auth: string): string {
  return choices[auth] ?? auth;
}

export function authWords(auth: string): string {
  return policies[auth] ?? (auth || "as the settings say");
}
