// The exports of `transponder-sdk/elements`. Loading this module defines <transponder-player> and <transponder-publisher>.

import { PlayerElement } from "./player-element.ts";
import { PublisherElement } from "./publisher-element.ts";

export { PlayerElement, PublisherElement };
export { texts } from "./element.ts";

declare global {
  interface HTMLElementTagNameMap {
    "transponder-player": PlayerElement;
    "transponder-publisher": PublisherElement;
  }
}

/** Programs without a browser, such as servers that render pages, can load the module. They have no registry of elements. */
for (const [name, element] of [["transponder-player", PlayerElement], ["transponder-publisher", PublisherElement]] as const) {
  if (globalThis.customElements && !customElements.get(name)) {
    customElements.define(name, element);
  }
}
