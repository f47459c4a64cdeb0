import { reasonOf, RestApi } from "../sdk/src/rest.ts";
import { asFailure, Failure, pageReason, type PageReason } from "./failure.ts";
import { errorText, inTime, patienceMs } from "./http.ts";
import { heardDate } from "./server-clock.ts";

/** The SDK's client of the REST API, with a time limit for each request, and a Failure for every error. */
export class Rest extends RestApi {
  /** An access token that somebody has entered in place of signing in; "" for none. Whoever has signed in is known by a cookie. */
  token = "";

  constructor() {
    super({ url: "/" });
  }

  /** Sends a request, and returns the JSON of the answer. */
  ask(path: string, body: object, waitMs: number = patienceMs.quick): Promise<unknown> {
    return inTime(waitMs, undefined, (signal) => this._post(path, body, { signal }));
  }

  /** Sends a request that is answered with nothing. */
  async order(path: string, body: object, waitMs: number = patienceMs.quick): Promise<void> {
    await inTime(waitMs, undefined, (signal) => this._post(path, body, { signal }, "text"));
  }

  /** Ends or changes an object of the server. An object that no longer exists is no error. */
  async tell(path: string, body: object): Promise<void> {
    try {
      await this.order(path, body);
    } catch (error) {
      if (asFailure(error).reason !== "not_found") {
        throw error;
      }
    }
  }

  /** Lists the objects that match. Without `empty`, the server answers 404 if there are none, which browsers log as an error. */
  async search(path: string, filter: object, signal?: AbortSignal): Promise<unknown[]> {
    return asList(await inTime(patienceMs.quick, signal, (either) => this._list(path, { ...filter, empty: true }, { signal: either })));
  }

  override _request<T>(path: string, init: RequestInit, read: (response: Response) => T | Promise<T>): Promise<T> {
    return super._request(path, {
      ...init,
      cache: "no-store",
      credentials: "same-origin",
      headers: { ...init.headers, ...bearer(this.token) },
    }, (response) => {
      heardDate(response.headers.get("Date"));
      return read(response);
    });
  }

  override async _refusal(response: Response): Promise<Failure> {
    return new Failure(restReason(response.status), await errorText(response));
  }
}

/** The header that shows an access token (RFC 6750); none for "". */
export function bearer(token: string): Record<string, string> {
  return token === "" ? {} : { Authorization: `Bearer ${token}` };
}

/** The reason for an HTTP status of failure. */
export function restReason(status: number): PageReason {
  switch (status) {
    case 403: return "forbidden"; // the server knows who asks
    case 429: return "too_many_tries";
    default: return pageReason(reasonOf(status));
  }
}

/** The answer if it is a list, else an empty list. */
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

  /** A list of texts. Other members of the list are left out. */
  texts(key: string): string[] {
    return asList(this.fields[key]).filter((one) => typeof one === "string");
  }

  value(key: string): unknown {
    return this.fields[key];
  }

  flag(key: string): boolean {
    return this.fields[key] === true;
  }
}
