import { beep } from "./beep.ts";
import { pageTitle } from "./console-words.ts";
import { element } from "./dom.ts";
import type { PushInfo } from "./push-client.ts";
import { isTroubled } from "./push-row.ts";

const storageKey = "transponder.console.sound";

/** Tells in the title of the page, and by a sound if somebody wants one, that pushes need a look. */
export class Alarm {
  private readonly button = element("alarm-sound", HTMLButtonElement);
  private known: Set<string> | null = null; // the pushes in trouble at the last look; null before the first

  constructor(private readonly name: string) {
    this.press(read());
    this.button.addEventListener("click", () => {
      const on = this.button.getAttribute("aria-pressed") !== "true";
      this.press(on);
      write(on);
      if (on) {
        beep(); // so that people know the sound, and that the browser allows it
      }
    });
  }

  /** Looks at all pushes. Returns how many are in trouble. */
  look(pushes: PushInfo[]): number {
    const troubled = pushes.filter(isTroubled).map(({ id }) => id);
    const news = this.known !== null && troubled.some((id) => !this.known?.has(id));
    this.known = new Set(troubled);
    document.title = pageTitle(this.name, troubled.length);
    if (news && this.button.getAttribute("aria-pressed") === "true") {
      beep();
    }
    return troubled.length;
  }

  /** Nothing is known any more, so nothing is told. */
  rest(): void {
    this.known = null;
    document.title = pageTitle(this.name, 0);
  }

  private press(on: boolean): void {
    this.button.setAttribute("aria-pressed", String(on));
  }
}

function read(): boolean {
  try {
    return localStorage.getItem(storageKey) === "on";
  } catch {
    return false; // a browser may forbid storage
  }
}

function write(on: boolean): void {
  try {
    localStorage.setItem(storageKey, on ? "on" : "off");
  } catch {
    // The choice holds until the page is left.
  }
}
