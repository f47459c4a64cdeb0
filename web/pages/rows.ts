import { element, setText } from "./dom.ts";

/** A copy of a template's only element, whose parts are named by data-part. */
export class Row {
  readonly root: HTMLElement;

  constructor(template: HTMLTemplateElement) {
    this.root = document.importNode(template.content.firstElementChild as HTMLElement, true);
  }

  part(name: string): HTMLElement {
    const found = this.root.querySelector(`[data-part="${name}"]`);
    if (!(found instanceof HTMLElement)) {
      throw new Error(`the row has no part ${name}`);
    }
    return found;
  }

  set(name: string, text: string): void {
    setText(this.part(name), text);
  }
}

/** A list on the page that follows a list of things: rows stay what they are as long as their thing is there. */
export class Rows<T> {
  private readonly list: HTMLElement;
  private readonly template: HTMLTemplateElement;
  private readonly rows = new Map<string, { row: Row; update: (thing: T) => void }>();

  /** The template is called as the list, with -row. make returns what shows the thing as it is now. */
  constructor(private readonly id: string, private readonly key: (thing: T) => string, private readonly make: (row: Row, key: string) => (thing: T) => void) {
    this.list = element(id, HTMLElement);
    this.template = element(`${id}-row`, HTMLTemplateElement);
  }

  show(things: T[]): void {
    const keys = new Set(things.map(this.key));
    for (const [key, { row }] of this.rows) {
      if (!keys.has(key)) {
        this.rows.delete(key);
        this.remove(row.root);
      }
    }
    things.forEach((thing, i) => {
      const row = this.row(this.key(thing));
      row.update(thing);
      const there = this.list.children[i] ?? null;
      if (there !== row.row.root) {
        this.list.insertBefore(row.row.root, there);
      }
    });
  }

  private row(key: string): { row: Row; update: (thing: T) => void } {
    let found = this.rows.get(key);
    if (!found) {
      const row = new Row(this.template);
      found = { row, update: this.make(row, key) };
      this.rows.set(key, found);
    }
    return found;
  }

  /** Who stood in a row that goes away stands at the list's heading then. */
  private remove(root: HTMLElement): void {
    const hadFocus = root.contains(document.activeElement);
    root.remove();
    if (hadFocus) {
      element(`${this.id}-title`, HTMLElement).focus();
    }
  }
}
