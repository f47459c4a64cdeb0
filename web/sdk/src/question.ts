import { abortable, type Deferred, deferred } from "./errors.ts";

/** A question to the server. Its answer does not say which call it belongs to, so every call that waits gets it. */
export class Question<T> {
  private readonly _waiting = new Set<Deferred<T>>();

  /** Waits for the next answer. */
  _wait(signal: AbortSignal | undefined): Promise<T> {
    const answer = deferred<T>();
    this._waiting.add(answer);
    return abortable(answer, signal, () => this._waiting.delete(answer));
  }

  _answer(value: T): void {
    this._waiting.forEach(({ _resolve: resolve }) => resolve(value));
    this._waiting.clear();
  }

  _refuse(error: unknown): void {
    this._waiting.forEach(({ _reject: reject }) => reject(error));
    this._waiting.clear();
  }
}
