/** Tells one listener of each event, as the vendor's SDK does: a second one takes the first one's place. */
export class Emitter<Events extends { [E in keyof Events]: unknown[] }> {
  private readonly listeners = new Map<keyof Events, unknown>();

  /** @internal Methods may be handed around without their object, as those of the vendor's SDK. */
  constructor() {
    for (const prototype of [Emitter.prototype, Object.getPrototypeOf(this)]) {
      for (const [name, { value }] of Object.entries(Object.getOwnPropertyDescriptors(prototype))) {
        if (typeof value === "function" && name !== "constructor") {
          Object.defineProperty(this, name, { value: value.bind(this), configurable: true });
        }
      }
    }
  }

  /** Calls the listener at each such event from now on, instead of the one that was given before. */
  on<E extends keyof Events & string>(event: E, listener: (...facts: Events[E]) => void): this {
    if (!event || typeof listener !== "function") {
      throw new TypeError("on(event, listener): both must be there");
    }
    this.listeners.set(event, listener);
    return this;
  }

  /** Ends what `on` began. */
  off(event: keyof Events & string): this {
    this.listeners.delete(event);
    return this;
  }

  /** @internal */
  fire<E extends keyof Events>(event: E, ...facts: Events[E]): void {
    try {
      (this.listeners.get(event) as ((...facts: Events[E]) => void) | undefined)?.(...facts);
    } catch (error) {
      queueMicrotask(() => {
        throw error; // the page's fault is reported as such, and does not disturb ours
      });
    }
  }
}
