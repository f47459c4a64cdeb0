/** Calls one listener for each event. A second listener replaces the first one, as in the vendor's SDK. */
export class Emitter<Events extends { [E in keyof Events]: unknown[] }> {
  private readonly _listeners = new Map<keyof Events, unknown>();

  /** @internal */
  constructor() {
    bindMethods(this, new.target.prototype);
  }

  /** Sets the listener of an event. It replaces an earlier listener. */
  on<E extends keyof Events & string>(event: E, listener: (...facts: Events[E]) => void): this {
    if (!event || typeof listener !== "function") {
      throw new TypeError("on(event, listener) needs both");
    }
    this._listeners.set(event, listener);
    return this;
  }

  /** Removes the listener of an event. */
  off(event: keyof Events & string): this {
    this._listeners.delete(event);
    return this;
  }

  /** @internal Calls the listener of an event. */
  _fire<E extends keyof Events>(event: E, ...facts: Events[E]): void {
    try {
      (this._listeners.get(event) as ((...facts: Events[E]) => void) | undefined)?.(...facts);
    } catch (error) {
      queueMicrotask(() => {
        throw error; // an error of the page: the browser reports it, and the SDK goes on
      });
    }
  }
}

/**
 * Gives the object a bound copy of each method of its classes, so that a method works without the object. Pages of the vendor's SDK use
 * methods in this way, as in `const { createStream } = session` or `button.onclick = stream.stop`: there the methods are closures.
 */
function bindMethods(object: object, prototype: object): void {
  if (prototype !== Emitter.prototype) {
    bindMethods(object, Object.getPrototypeOf(prototype)); // a class comes after the one that it extends
  }
  for (const [name, { value }] of Object.entries(Object.getOwnPropertyDescriptors(prototype))) {
    if (typeof value === "function" && name !== "constructor") {
      (object as Record<string, unknown>)[name] = value.bind(object);
    }
  }
}
