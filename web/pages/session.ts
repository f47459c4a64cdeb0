import { Failure } from "./failure.ts";
import { inTime, patienceMs } from "./http.ts";
import { Fields, type Rest } from "./rest.ts";

/** Somebody who uses a page, as the server knows him. */
export interface Session {
  /** How the server knows him: "user", "local", "anonymous" and others. */
  kind: string;
  /** The name of the user; "" for somebody without a name. */
  name: string;
  role: string;
  /** What he may do: publish, play, push, read, control, admin. */
  actions: string[];
  /** Who needs a credential: "auto", "closed" or "open". */
  mode: string;
}

/** Whether somebody may do an action, on some streams at least. */
export function may(session: Session | null, action: string): boolean {
  const actions = session?.actions ?? [];
  return actions.includes(action) || actions.includes("admin") || (action === "read" && actions.includes("control"));
}

/** Whether somebody may push to any address. Operators push only to the destinations that the server keeps. */
export function mayPushAnywhere(session: Session): boolean {
  return session.role !== "operator";
}

/** The tabs of this browser tell each other that somebody has signed in or out. */
const channel = "transponder.session";

/** Who uses the page. The server keeps the login in a cookie that scripts cannot read. Every error is a Failure. */
export class Sessions {
  private readonly others: BroadcastChannel | null;

  /** changed: somebody has signed in or out in another tab. */
  constructor(private readonly rest: Rest, changed: () => void = () => undefined) {
    forgetPassword();
    this.others = typeof BroadcastChannel === "function" ? new BroadcastChannel(channel) : null;
    this.others?.addEventListener("message", changed);
  }

  /** Asks the server who uses the page. Fails with "unauthorized" if somebody has to sign in. */
  async who(): Promise<Session> {
    return parseSession(await this.request("GET"));
  }

  async signIn(name: string, password: string): Promise<Session> {
    const session = parseSession(await this.request("POST", { name, password }));
    this.others?.postMessage("in");
    return session;
  }

  async signOut(): Promise<void> {
    await this.request("DELETE");
    this.others?.postMessage("out");
  }

  /** Gives the person at the page another password. The browser gets a new cookie; all other sessions of the person end. */
  async changePassword(password: string, newPassword: string): Promise<void> {
    await this.request("POST", { password, newPassword }, "/session/password");
  }

  private request(method: string, body?: object, path = "/session"): Promise<unknown> {
    // Checking a password takes the server a while, above all if others guess at the same time.
    return inTime(patienceMs.slow, undefined, (signal) => this.rest._request(path, {
      method, signal, ...(body && { headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) }),
    }, (response) => (method === "DELETE" || path !== "/session" ? response.text() : response.json())));
  }
}

export function parseSession(value: unknown): Session {
  const fields = new Fields(value);
  if (fields.text("kind") === "") {
    throw new Failure("server_error", "the answer does not say who uses the page");
  }
  return {
    kind: fields.text("kind"), name: fields.text("name"), role: fields.text("role"), actions: fields.texts("actions"), mode: fields.text("mode"),
  };
}

/** Earlier versions of these pages kept the password in the tab. */
function forgetPassword(): void {
  try {
    sessionStorage.removeItem("transponder.login");
  } catch {
    // A browser may forbid storage: then there is nothing to remove.
  }
}
