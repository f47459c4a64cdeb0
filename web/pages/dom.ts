import type { Failure } from "./failure.ts";
import { t } from "./language.ts";
import { explain, type Words } from "./words.ts";

/** The element with this id. Throws if there is none, or one of another type: then page and script do not fit. */
export function element<T extends HTMLElement>(id: string, type: new () => T): T {
  const found = document.getElementById(id);
  if (!(found instanceof type)) {
    throw new Error(`the page has no ${type.name} #${id}`);
  }
  return found;
}

/** A copy of the only element of a template. In all attributes, -N is replaced by the number. */
export function stamp(templateID: string, n: number): HTMLElement {
  const source = element(templateID, HTMLTemplateElement).content.firstElementChild;
  const copy = document.importNode(source as HTMLElement, true);
  for (const part of [copy, ...copy.querySelectorAll("*")]) {
    for (const attribute of part.attributes) {
      attribute.value = attribute.value.replace(/-N\b/g, `-${n}`);
    }
  }
  return copy;
}

/** Sets a text. An equal text is not set again, because screen readers would read it again. */
export function setText(target: HTMLElement, text: string): void {
  if (target.textContent !== text) {
    const { childNodes: [only, ...others] } = target;
    only instanceof Text && others.length === 0 ? (only.data = text) : (target.textContent = text);
  }
}

/** Hides or shows an element. Browsers work out the look of an element again whenever it is hidden, also if it was hidden before. */
export function setHidden(target: HTMLElement, hidden: boolean): void {
  if (target.hidden !== hidden) {
    target.hidden = hidden;
  }
}

export function create<K extends keyof HTMLElementTagNameMap>(tag: K, className = "", text = ""): HTMLElementTagNameMap[K] {
  return Object.assign(document.createElement(tag), { className, textContent: text });
}

/**
 * Resolves when the dialog that is open now is closed. A browser tells of a closing only some time after it: what it tells while the
 * dialog is open belongs to the one before.
 */
export function closed(dialog: HTMLDialogElement): Promise<void> {
  return new Promise((resolve) => {
    const look = (): void => {
      if (!dialog.open) {
        dialog.removeEventListener("close", look);
        resolve();
      }
    };
    dialog.addEventListener("close", look);
  });
}

export interface Link {
  text: string;
  href: string;
}

/** Something that the user may do. */
export interface Act {
  text: string;
  run: () => void;
}

/** Shows what is wrong and what to do about it; null hides the box. */
export function showAlert(box: HTMLElement, words: Words | null, detail = "", help?: Link | Act): void {
  const parts: HTMLElement[] = [];
  if (words) {
    parts.push(create("strong", "", words.title), create("span", "", words.advice));
  }
  if (help) {
    parts.push("href" in help ? Object.assign(create("a", "", help.text), { href: help.href })
      : Object.assign(create("button", "button quiet small", help.text), { type: "button" as const, onclick: help.run }));
  }
  if (detail !== "") {
    parts.push(Object.assign(create("span", "detail", detail), { lang: "en" })); // the server speaks only English
  }
  const text = parts.map((part) => part.textContent).join("\n");
  if (box.dataset["text"] === text) {
    return; // see setText
  }
  box.dataset["text"] = text;
  box.replaceChildren(...parts);
  box.hidden = words === null;
}

export function showFailure(box: HTMLElement, failure: Failure | null): void {
  showAlert(box, failure && explain(failure), failure?.detail ?? "");
}

/** Shows the problem of a field, in the element #ID-problem; "" for none. */
export function showProblem(field: HTMLElement, problem: string): void {
  setText(element(`${field.id}-problem`, HTMLElement), problem);
  field.setAttribute("aria-invalid", String(problem !== ""));
}

/** Copies a text of the page. If the browser does not allow that, selects the text. */
export async function copy(button: HTMLButtonElement, source: HTMLElement): Promise<void> {
  try {
    await navigator.clipboard.writeText(source.textContent ?? "");
    button.textContent = t("Copied");
    setTimeout(() => (button.textContent = t("Copy")), 2000);
  } catch {
    getSelection()?.selectAllChildren(source); // the user can copy it by keyboard
  }
}
