import { authorization, byStatus, RestApi } from "../sdk/src/rest.ts";
import { asFailure, Failure, pageReason, type PageReason } from "./failure.ts";
import { errorText, inTime, patienceMs } from "./http.ts";
import type { Login } from "./login.ts";

/** The SDK's client of the REST API, as the pages use it: with a time limit, and a Failure for every error. */
export class Rest extends RestApi {
  /** Who asks, where the server wants to know. */
  login: Login | null = null;

  /** The server wants to know who asks. The page then has its own form: a browser's dialog would come again and again. */
  guarded = false;

  constructor() {
    super({ url: "/" });
  }

  /** Sends a request, and returns the JSON of the answer. */
  ask(path: string, body: object, signal?: AbortSignal, waitMs: number = patienceMs.quick): Promise<unknown> {
    return inTime(waitMs, signal, (either) => this.post(path, body, { signal: either }));
  }

  /** Ends or changes something. It succeeds if that no longer exists. */
  async tell(path: string, body: object): Promise<void> {
    try {
      await this.ask(path, body);
    } catch (error) {
      if (asFailure(error).reason !== "not_found") {
        throw error;
      }
    }
  }

  /** Lists what matches. Without `empty`, the server answers 404 if nothing does, and browsers log that as an error. */
  async search(path: string, filter: object, signal?: AbortSignal): Promise<unknown[]> {
    return asList(await inTime(patienceMs.quick, signal, (either) => this.list(path, { ...filter, empty: true }, { signal: either })));
  }

  override request(path: string, init: RequestInit): Promise<Response> {
    return super.request(path, {
      ...init,
      cache: "no-store",
      // A proxy in front of the server may want cookies.
      credentials: this.guarded ? "omit" : "same-origin",
      headers: { ...init.headers, ...(this.login && authorization(this.login.user, this.login.password)) },
    });
  }

  override async refusal(response: Response): Promise<Failure> {
    return new Failure(restReason(response.status), await errorText(response));
  }
}

/** The reason for a status that is not a success. */
export function restReason(status: number): PageReason {
  return status === 429 ? "busy" : pageReason(byStatus[status] ?? "server_error");
}

/** An answer that should be a list. */
export function asList(answer: unknown): unknown[] {
  return Array.isArray(answer) ? answer : [];
}

/** The members of an answer's object. A member that is missing or has another type counts as not given. */
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
