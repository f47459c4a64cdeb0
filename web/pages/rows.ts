import { element, setText } from "./dom.ts";

/** An entry of a list. Its parts are copies of those of the template, and are named by the attribute data-part. */
export class Row {
  constructor(readonly root: HTMLElement, template: HTMLTemplateElement) {
    root.append(...document.importNode(template.content.firstElementChild as HTMLElement, true).childNodes);
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

  /** Sets the text and the address of a link. */
  link(name: string, text: string, href: string): void {
    const link = this.part(name);
    setText(link, text);
    if (link.getAttribute("href") !== href) {
      link.setAttribute("href", href);
    }
  }
}

/** A list of more things than this builds and updates only the rows near the window. The others are one line of text. */
const lazyFrom = 150;

/** How near to the window a row is built, in px, so that nobody who scrolls sees it being built. */
const margin = 800;

interface Item<T> {
  thing: T;
  root: HTMLElement;
  /** Updates the row; null before it is built. */
  update: ((thing: T) => void) | null;
  /** What the row consists of while it is far from the window; null while it is not. */
  away: ChildNode[] | null;
}

/**
 * A list on the page that shows a list of things. A row stays the same element as long as its thing exists. `brief` is the line for a row that
 * is far from the window, so that searches of the browser and screen readers find it there.
 */
export class Rows<T> {
  private readonly list: HTMLElement;
  private readonly template: HTMLTemplateElement;
  private readonly items = new Map<string, Item<T>>();
  private readonly byRoot = new WeakMap<Element, Item<T>>();
  private built = new Set<Item<T>>(); // of a lazy list: the rows near the window
  private lazy = false;
  private due = false; // look is about to run

  /** The id of the template is the id of the list with -row. make returns the function that updates a row. */
  constructor(
    private readonly id: string,
    private readonly key: (thing: T) => string,
    private readonly make: (row: Row, key: string) => (thing: T) => void,
    private readonly brief: (thing: T) => string = key,
  ) {
    this.list = element(id, HTMLElement);
    this.template = element(`${id}-row`, HTMLTemplateElement);
    for (const event of ["scroll", "resize"]) {
      addEventListener(event, () => this.lookSoon(), { passive: true });
    }
  }

  show(things: T[]): void {
    this.lazy = things.length > lazyFrom;
    const keys = new Set(things.map(this.key));
    for (const [key, item] of this.items) {
      if (!keys.has(key)) {
        this.items.delete(key);
        this.built.delete(item);
        this.remove(item.root);
      }
    }
    let there = this.list.firstElementChild;
    for (const thing of things) {
      const item = this.item(thing);
      item.thing = thing;
      if (!this.lazy || item.away === null) {
        this.build(item);
      } else {
        setText(item.root, this.brief(thing));
      }
      if (there === item.root) {
        there = there.nextElementSibling;
      } else {
        this.list.insertBefore(item.root, there);
      }
    }
    this.lookSoon();
  }

  private item(thing: T): Item<T> {
    const key = this.key(thing);
    let found = this.items.get(key);
    if (!found) {
      const root = document.importNode(this.template.content.firstElementChild as HTMLElement, false);
      found = { thing, root, update: null, away: this.lazy ? [] : null };
      root.classList.toggle("far", this.lazy);
      this.items.set(key, found);
      this.byRoot.set(root, found);
    }
    return found;
  }

  /** Makes an item a row, if it is none, and shows the thing in it. */
  private build(item: Item<T>): void {
    if (item.away !== null) {
      item.root.replaceChildren(...item.away);
      item.root.classList.remove("far");
      item.root.style.minHeight = "";
      item.away = null;
    }
    if (this.lazy) {
      this.built.add(item);
    }
    item.update ??= this.make(new Row(item.root, this.template), this.key(item.thing));
    item.update(item.thing);
  }

  private lookSoon(): void {
    if (this.lazy && !this.due) {
      this.due = true;
      requestAnimationFrame(() => {
        this.due = false;
        this.look();
      });
    }
  }

  /** Builds the rows near the window, and takes the others apart. An observer of each of thousands of rows would take longer than a search. */
  private look(): void {
    const { children } = this.list;
    const top = (i: number): number => children[i]?.getBoundingClientRect().top ?? Infinity;
    let first = 0;
    for (let end = children.length; first < end; ) {
      const middle = (first + end) >> 1;
      if (top(middle + 1) < -margin) {
        first = middle + 1;
      } else {
        end = middle;
      }
    }
    const near = new Set<Item<T>>();
    for (let i = first; i < children.length && top(i) < innerHeight + margin; i++) {
      const item = this.byRoot.get(children[i] as Element);
      if (item) {
        near.add(item);
      }
    }
    const gone = [...this.built].filter((item) => !near.has(item) && !item.root.contains(document.activeElement));
    const heights = gone.map(({ root }) => root.offsetHeight);
    gone.forEach((item, i) => this.takeApart(item, heights[i] ?? 0));
    near.forEach((item) => item.away !== null && this.build(item));
  }

  /** The height stays as it was: what is above the window must not move what is in it. */
  private takeApart(item: Item<T>, height: number): void {
    this.built.delete(item);
    item.away = [...item.root.childNodes];
    item.root.style.minHeight = `${height}px`;
    item.root.classList.add("far");
    item.root.textContent = this.brief(item.thing);
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
