// Tokens with which a page tells the server who it is.

import { SdkError } from "./errors.ts";

/** The member `custom` of a message, with a token. */
export function withToken(custom: unknown, token: string | undefined): unknown {
  if (!token) {
    return custom;
  }
  if (custom !== undefined && (typeof custom !== "object" || custom === null || Array.isArray(custom))) {
    throw new SdkError("invalid_option", "custom must be an object if there is a token");
  }
  return { ...custom, token };
}

/** Whether a token has expired, or is about to. The server decides; this only says when to fetch another. Keys do not show it. */
export function hasExpired(token: string): boolean {
  try {
    const claims = JSON.parse(atob(token.split(".")[1]!.replace(/-/g, "+").replace(/_/g, "/")));
    return claims.exp * 1000 < Date.now() + 5000;
  } catch {
    return false;
  }
}
