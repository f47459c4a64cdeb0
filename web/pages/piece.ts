import { create, element, showFailure } from "./dom.ts";
import { asFailure, Failure, message } from "./failure.ts";
import { t } from "./language.ts";

/**
 * A part of the page's script that is loaded when it is needed for the first time.
 * A browser remembers that an import has failed, and does not ask the server for this address again. So each other try has an address of its own.
 */
export class Piece<T> {
  private loading: Promise<T> | null = null;
  private tries = 0;

  /** load: `() => import("./NAME.ts")`, from which the build makes the address of a file. */
  constructor(private readonly load: () => Promise<T>) {}

  /** Rejects with a Failure if the server does not give the file; then it may be tried again. */
  get(): Promise<T> {
    return this.loading ??= this.try().catch((error: unknown) => {
      this.loading = null;
      throw new Failure("piece_missing", message(error));
    });
  }

  private try(): Promise<T> {
    const [, address = ""] = /import\("([^"]+)"\)/.exec(String(this.load)) ?? [];
    return this.tries++ === 0 ? this.load() : import(`${address}?${this.tries}`) as Promise<T>;
  }
}

/**
 * A fold of the page (details), whose script is loaded when the fold is opened for the first time. Until then, the fold shows nothing that
 * could be pressed. If the script cannot be loaded, the fold says so, and has a button that tries again.
 */
export class Fold<T> {
  /** What works in the fold; null before it was opened. */
  view: T | null = null;
  private readonly root: HTMLDetailsElement;
  private readonly problem = create("div", "alert");
  private readonly again = create("button", "button quiet small", t("Try again"));
  private loading = false;

  constructor(id: string, private readonly make: () => Promise<T>) {
    this.root = element(id, HTMLDetailsElement);
    this.root.dataset["piece"] = "missing";
    this.problem.role = "alert";
    this.problem.hidden = this.again.hidden = true;
    this.again.type = "button";
    this.root.append(this.problem, this.again);
    this.root.addEventListener("toggle", () => this.root.open && void this.fill());
    this.again.addEventListener("click", () => void this.fill());
  }

  private async fill(): Promise<void> {
    if (this.view || this.loading) {
      return;
    }
    this.loading = true;
    let failure: Failure | null = null;
    try {
      this.view = await this.make();
      delete this.root.dataset["piece"];
      if (this.again === document.activeElement) {
        this.root.querySelector("summary")?.focus();
      }
    } catch (error) {
      failure = asFailure(error);
    }
    showFailure(this.problem, failure);
    this.again.hidden = failure === null;
    this.loading = false;
  }
}
