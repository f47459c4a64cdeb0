/** The name and password of somebody who may use the REST API. */
export interface Login {
  user: string;
  password: string;
}

const storageKey = "transponder.login";

/** Keeps a login while this tab is open; null forgets it. */
export function rememberLogin(login: Login | null): void {
  try {
    login ? sessionStorage.setItem(storageKey, JSON.stringify(login)) : sessionStorage.removeItem(storageKey);
  } catch {
    // A browser may forbid storage: then the page asks again after a reload.
  }
}

/** The login that was kept; null if there is none. */
export function recallLogin(): Login | null {
  try {
    return JSON.parse(sessionStorage.getItem(storageKey) ?? "null") as Login | null;
  } catch {
    return null;
  }
}
