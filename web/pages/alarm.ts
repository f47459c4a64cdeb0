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
  private missed = 0; // how many looks in a row have found no server

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
    this.missed = 0;
    document.title = pageTitle(this.name, troubled.length);
    if (news && this.button.getAttribute("aria-pressed") === "true") {
      beep();
    }
    return troubled.length;
  }

  /** The server does not answer, so nobody knows how the pushes are. The title tells at once; a sound comes if the next look finds no server, either. */
  lost(): void {
    document.title = pageTitle(this.name, "!");
    this.missed++;
    if (this.missed === 2 && this.known !== null && this.button.getAttribute("aria-pressed") === "true") {
      beep();
    }
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
