/** Tells one listener of each event, as the vendor's SDK does: a second one takes the first one's place. */
export class Emitter<Events extends { [E in keyof Events]: unknown[] }> {
  private readonly _listeners = new Map<keyof Events, unknown>();

  /** @internal */
  constructor() {
    bindMethods(this, Emitter.prototype);
    bindMethods(this, new.target.prototype);
  }

  /** Calls the listener at each such event from now on, instead of the one that was given before. */
  on<E extends keyof Events & string>(event: E, listener: (...facts: Events[E]) => void): this {
    if (!event || typeof listener !== "function") {
      throw new TypeError("on(event, listener): both must be there");
    }
    this._listeners.set(event, listener);
    return this;
  }

  /** Ends what `on` began. */
  off(event: keyof Events & string): this {
    this._listeners.delete(event);
    return this;
  }

  /** @internal */
  _fire<E extends keyof Events>(event: E, ...facts: Events[E]): void {
    try {
      (this._listeners.get(event) as ((...facts: Events[E]) => void) | undefined)?.(...facts);
    } catch (error) {
      queueMicrotask(() => {
        throw error; // the page's fault is reported as such, and does not disturb ours
      });
    }
  }
}

/**
 * Gives an object each of its class's methods as a property that is bound to it. Pages of the vendor's SDK take methods from their
 * object, as in `const { createStream } = session` or `button.onclick = stream.stop`; there, an object is made of closures.
 */
function bindMethods(object: object, prototype: object): void {
  for (const [name, { value }] of Object.entries(Object.getOwnPropertyDescriptors(prototype))) {
    if (typeof value === "function" && name !== "constructor") {
      Object.defineProperty(object, name, { value: value.bind(object), configurable: true });
    }
  }
}
