import { Failure } from "./failure.ts";
import { message, patienceMs, request } from "./http.ts";
import { authorization, type Login } from "./login.ts";

/** The server's REST API as such: who asks, and how long an answer may take. */
export class Rest {
  /** Who asks, where the server wants to know. */
  login: Login | null = null;

  /** The server wants to know. Pages then ask by themselves: a browser's own dialog would come again and again. */
  guarded = false;

  constructor(private readonly base = "/rest-api") {}

  get(path: string, signal?: AbortSignal): Promise<Response> {
    return request(this.base + path, this.options({}), patienceMs.quick, signal);
  }

  post(path: string, body: object, signal?: AbortSignal, waitMs: number = patienceMs.quick): Promise<Response> {
    const options = this.options({ "Content-Type": "application/json" });
    return request(this.base + path, { ...options, method: "POST", body: JSON.stringify(body) }, waitMs, signal);
  }

  /** Asks for an answer that goes on until the signal ends it. */
  async open(path: string, headers: Record<string, string>, signal: AbortSignal): Promise<Response> {
    try {
      return await fetch(this.base + path, { ...this.options(headers), signal, cache: "no-store" });
    } catch (error) {
      signal.throwIfAborted();
      throw new Failure("server_gone", message(error));
    }
  }

  private options(headers: Record<string, string>): RequestInit {
    // Cookies are for a proxy in front of the server, which may want them.
    const credentials = this.guarded ? "omit" : "same-origin";
    return { headers: { ...headers, ...authorization(this.login) }, credentials };
  }
}

/** An answer's JSON. The request's signal may end it before all of it has come: the signal's reason is the error then. */
export async function json(response: Response): Promise<unknown> {
  try {
    return await response.json();
  } catch (error) {
    if (error instanceof SyntaxError) {
      throw new Failure("server_error", "the answer is not JSON");
    }
    if (error instanceof TypeError || (error instanceof DOMException && error.name === "TimeoutError")) {
      throw new Failure("server_gone", message(error));
    }
    throw error;
  }
}

/** The members of an answer's object; what is missing or of another type is taken as not given. */
export class Fields {
  private readonly fields: Record<string, unknown>;

  constructor(value: unknown) {
    this.fields = typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
  }

  text(key: string): string {
    const value = this.fields[key];
    return typeof value === "string" ? value : "";
  }

  number(key: string): number | null {
    const value = this.fields[key];
    return typeof value === "number" && Number.isFinite(value) ? value : null;
  }

  value(key: string): unknown {
    return this.fields[key];
  }

  flag(key: string): boolean {
    return this.fields[key] === true;
  }
}
