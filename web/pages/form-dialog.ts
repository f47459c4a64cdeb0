import { closed, create, element, setText, showAlert } from "./dom.ts";
import { asFailure, type Failure } from "./failure.ts";
import { consoleWords, type Words } from "./words.ts";

/** What somebody has entered: a text for each field, and a list for a field of check boxes. */
export class Values {
  constructor(private readonly texts: ReadonlyMap<string, string>, private readonly lists: ReadonlyMap<string, string[]>) {}

  text(id: string): string {
    return this.texts.get(id) ?? "";
  }

  list(id: string): string[] {
    return this.lists.get(id) ?? [];
  }

  /** The texts of a field that takes several, separated by spaces or commas. */
  words(id: string): string[] {
    return this.text(id).split(/[\s,]+/).filter((word) => word !== "");
  }

  /** A whole number; 0 if the field is empty. */
  number(id: string): number {
    return Number(this.text(id)) || 0;
  }
}

interface Common {
  id: string;
  label: string;
  hint?: string | ((values: Values) => string);
  /** The field is shown only if this holds. A field that is not shown counts as empty. */
  when?: (values: Values) => boolean;
}

export interface TextField extends Common {
  kind: "text" | "password" | "url" | "number";
  value?: string;
  placeholder?: string;
  /** The problem with the text; "" for none. */
  check?: (text: string, values: Values) => string;
}

export interface ChoiceField extends Common {
  kind: "choice";
  options: readonly (readonly [value: string, label: string])[];
  value: string;
}

export interface ChecksField extends Common {
  kind: "checks";
  options: readonly (readonly [value: string, label: string])[];
  values: readonly string[];
}

export type Field = TextField | ChoiceField | ChecksField;

export interface Form {
  title: string;
  text?: string;
  fields: Field[];
  /** The text of the button that sends the form. */
  action: string;
}

/** A field on the page. */
interface Shown {
  field: Field;
  box: HTMLElement;
  inputs: (HTMLInputElement | HTMLSelectElement)[];
}

/** The dialog #form of a page. It asks for the values of some fields, one form at a time. */
export class FormDialog {
  private readonly dialog = element("form", HTMLDialogElement);
  private readonly form = element("form-fields", HTMLFormElement);
  private readonly list = element("form-list", HTMLElement);
  private readonly send = element("form-send", HTMLButtonElement);
  private readonly cancel = element("form-cancel", HTMLButtonElement);
  private readonly trouble = element("form-trouble", HTMLElement);
  private shown: Shown[] = [];
  private submit: (values: Values) => Promise<void> = async () => undefined;
  private words: (failure: Failure) => Words = consoleWords;

  constructor() {
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.run();
    });
    this.form.addEventListener("input", () => this.arrange());
    this.cancel.addEventListener("click", () => this.dialog.close());
    this.dialog.addEventListener("cancel", (event) => {
      if (this.send.disabled) {
        event.preventDefault(); // the answer to what was sent would be lost
      }
    });
  }

  /** Opens the form. It is closed when submit resolves; the words of a failure are shown in it. */
  open(form: Form, submit: (values: Values) => Promise<void>, words: (failure: Failure) => Words = consoleWords): void {
    this.submit = submit;
    this.words = words;
    setText(element("form-title", HTMLElement), form.title);
    setText(element("form-text", HTMLElement), form.text ?? "");
    setText(this.send, form.action);
    showAlert(this.trouble, null);
    this.shown = form.fields.map(show);
    this.list.replaceChildren(...this.shown.map(({ box }) => box));
    this.arrange();
    this.dialog.showModal();
    void closed(this.dialog).then(() => this.clear());
    this.shown[0]?.inputs[0]?.focus();
  }

  private async run(): Promise<void> {
    if (this.send.disabled || !this.check()) {
      return;
    }
    this.send.disabled = this.cancel.disabled = true;
    try {
      await this.submit(this.values);
      this.dialog.close();
    } catch (error) {
      const failure = asFailure(error);
      showAlert(this.trouble, this.words(failure), failure.detail);
    } finally {
      this.send.disabled = this.cancel.disabled = false;
    }
  }

  /** What was entered may be secret. */
  private clear(): void {
    this.shown = [];
    this.list.replaceChildren();
  }

  private get values(): Values {
    const texts = new Map<string, string>();
    const lists = new Map<string, string[]>();
    for (const { field, box, inputs } of this.shown) {
      if (box.hidden) {
        continue;
      }
      if (field.kind === "checks") {
        lists.set(field.id, inputs.filter((input) => input instanceof HTMLInputElement && input.checked).map((input) => input.value));
      } else {
        texts.set(field.id, field.kind === "password" ? (inputs[0]?.value ?? "") : (inputs[0]?.value ?? "").trim());
      }
    }
    return new Values(texts, lists);
  }

  private arrange(): void {
    const { values } = this;
    for (const { field, box } of this.shown) {
      box.hidden = field.when !== undefined && !field.when(values);
      if (typeof field.hint === "function") {
        setText(element(`form-${field.id}-hint`, HTMLElement), field.hint(values));
      }
    }
  }

  /** Shows the problems of the fields, and focuses the first field that has one. True if there is none. */
  private check(): boolean {
    const { values } = this;
    let first: HTMLElement | undefined;
    for (const { field, box, inputs: [input] } of this.shown) {
      if (field.kind === "checks" || field.kind === "choice" || !input) {
        continue;
      }
      const problem = box.hidden ? "" : (field.check?.(values.text(field.id), values) ?? "");
      setText(element(`${input.id}-problem`, HTMLElement), problem);
      input.setAttribute("aria-invalid", String(problem !== ""));
      first ??= problem === "" ? undefined : input;
    }
    first?.focus();
    return first === undefined;
  }
}

function show(field: Field): Shown {
  const id = `form-${field.id}`;
  const hint = Object.assign(create("p", "hint", typeof field.hint === "string" ? field.hint : ""), { id: `${id}-hint`, hidden: field.hint === undefined });
  if (field.kind === "checks") {
    const box = create("fieldset", "field checks");
    const inputs = field.options.map(([value]) => Object.assign(create("input"), { type: "checkbox", value, checked: field.values.includes(value) }));
    const choices = create("div", "check-list");
    choices.append(...field.options.map(([, label], i) => {
      const line = create("label", "check");
      line.append(inputs[i] as HTMLInputElement, create("span", "", label));
      return line;
    }));
    box.append(create("legend", "", field.label), choices, hint);
    return { field, box, inputs };
  }
  const box = create("div", "field");
  const label = Object.assign(create("label", "", field.label), { htmlFor: id });
  const problem = Object.assign(create("p", "problem"), { id: `${id}-problem` });
  const input = field.kind === "choice" ? create("select") : create("input");
  input.id = id;
  input.setAttribute("aria-describedby", `${id}-hint ${id}-problem`);
  if (input instanceof HTMLSelectElement) {
    const { options, value } = field as ChoiceField;
    input.replaceChildren(...options.map(([one, text]) => new Option(text, one)));
    input.value = value;
  } else {
    const { kind, value = "", placeholder = "" } = field as TextField;
    Object.assign(input, { type: kind === "number" ? "text" : kind, value, placeholder, spellcheck: false, autocomplete: kind === "password" ? "new-password" : "off" });
    input.setAttribute("autocapitalize", "off");
    if (kind === "number") {
      input.inputMode = "numeric";
    }
  }
  box.append(label, input, hint, problem);
  return { field, box, inputs: [input] };
}

/** Shows a secret that the server tells only once, in the dialog #secret. lines say what it is for. */
export function showSecret(title: string, lines: string[], secret: string): Promise<void> {
  const dialog = element("secret", HTMLDialogElement);
  const code = element("secret-text", HTMLElement);
  setText(element("secret-title", HTMLElement), title);
  element("secret-lines", HTMLElement).replaceChildren(...lines.map((line) => create("p", "", line)));
  code.textContent = secret;
  dialog.showModal();
  return closed(dialog).then(() => void (code.textContent = ""));
}
