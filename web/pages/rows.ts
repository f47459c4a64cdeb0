import { element, setText } from "./dom.ts";

/** A copy of the only element of a template. Its parts are named by the attribute data-part. */
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

/** A list on the page that shows a list of things. A row stays the same element as long as its thing exists. */
export class Rows<T> {
  private readonly list: HTMLElement;
  private readonly template: HTMLTemplateElement;
  private readonly rows = new Map<string, { row: Row; update: (thing: T) => void }>();

  /** The id of the template is the id of the list with -row. make returns the function that updates a row. */
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

  /** If the row has the focus, the heading of the list gets it. */
  private remove(root: HTMLElement): void {
    const hadFocus = root.contains(document.activeElement);
    root.remove();
    if (hadFocus) {
      element(`${this.id}-title`, HTMLElement).focus();
    }
  }
}
