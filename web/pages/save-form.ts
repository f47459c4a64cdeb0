import { asFailure } from "./failure.ts";
import { element, showAlert, showProblem } from "./dom.ts";
import { t } from "./language.ts";
import { consoleWords } from "./words.ts";

/** The button of a destination that stores it on the server, and the field for its name there. */
export class SaveForm {
  private readonly part: <T extends HTMLElement>(id: string, type: new () => T) => T;

  constructor(n: number, save: (name: string) => Promise<void>) {
    this.part = (id, type) => element(`${id}-${n}`, type);
    const field = this.part("save-name", HTMLInputElement);
    this.part("save", HTMLButtonElement).addEventListener("click", () => {
      this.open(this.part("save", HTMLButtonElement).getAttribute("aria-expanded") !== "true");
      field.focus();
    });
    const run = (): void => void this.run(field, save);
    this.part("save-go", HTMLButtonElement).addEventListener("click", run);
    field.addEventListener("keydown", (event) => {
      if (event.key === "Enter") {
        event.preventDefault(); // it would start the show
        run();
      }
    });
  }

  /** Shows or hides the button. */
  offer(offered: boolean): void {
    this.part("save", HTMLElement).hidden = !offered;
    if (!offered) {
      this.open(false);
    }
  }

  private open(open: boolean): void {
    this.part("save", HTMLElement).setAttribute("aria-expanded", String(open));
    this.part("save-form", HTMLElement).hidden = !open;
  }

  private async run(field: HTMLInputElement, save: (name: string) => Promise<void>): Promise<void> {
    const name = field.value.trim();
    const wrong = /^[a-z0-9][a-z0-9._-]{0,63}$/.test(name) ? "" : t("Use small letters a to z, digits, and - . _, without spaces; 64 at most.");
    showProblem(field, wrong);
    showAlert(this.part("save-problem", HTMLElement), null);
    if (wrong !== "") {
      field.focus();
      return;
    }
    const button = this.part("save-go", HTMLButtonElement);
    button.disabled = true;
    try {
      await save(name);
      field.value = "";
    } catch (error) {
      const failure = asFailure(error);
      showAlert(this.part("save-problem", HTMLElement), consoleWords(failure), failure.detail);
    } finally {
      button.disabled = false;
    }
  }
}
