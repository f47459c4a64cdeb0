// The script of the documentation: the list of pages in a narrow window, buttons that copy code, and the search. It is a classic script, which
// also runs in pages that are opened as files. The pages can be read without it.

import { excerpt, find, type Section } from "./search.ts";

declare global {
  var searchIndex: Section[] | undefined; // set by search-index.js
}

function element<T extends HTMLElement>(id: string, kind: new () => T): T {
  const found = document.getElementById(id);
  if (!(found instanceof kind)) {
    throw new Error(`the page has no ${id}`);
  }
  return found;
}

/** Keeps the list of pages open beside the text, and closed above it. This script stands right behind the list, so nothing jumps. */
function fold(): void {
  const pages = element("site-pages", HTMLDetailsElement);
  const wide = matchMedia("(min-width: 900px)");
  const apply = (): void => { pages.open = wide.matches; };
  wide.addEventListener("change", apply);
  apply();
  pages.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest" });
}

/** Adds a button to each block of code. */
function copyButtons(): void {
  for (const box of document.querySelectorAll<HTMLElement>(".code")) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "copy";
    button.textContent = "Copy";
    button.addEventListener("click", () => {
      void copy(box.querySelector("pre")!).then((done) => {
        button.textContent = done ? "Copied" : "Press Ctrl+C";
        setTimeout(() => { button.textContent = "Copy"; }, 2000);
      });
    });
    box.append(button);
  }
}

async function copy(block: HTMLElement): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(block.innerText); // only over HTTPS and on localhost
    return true;
  } catch {
    getSelection()?.selectAllChildren(block);
    return false;
  }
}

/** Lets the keyboard reach blocks and tables that are wider than the window. */
function reachable(): void {
  for (const box of document.querySelectorAll<HTMLElement>("pre, .table")) {
    if (box.scrollWidth > box.clientWidth) {
      box.tabIndex = 0;
    } else {
      box.removeAttribute("tabindex");
    }
  }
}

/** Loads the index once. */
let loading: Promise<Section[]> | undefined;
function index(address: string): Promise<Section[]> {
  loading ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = address;
    script.onload = () => resolve(globalThis.searchIndex ?? []);
    script.onerror = () => {
      loading = undefined;
      reject(new Error("the index cannot be loaded"));
    };
    document.head.append(script);
  });
  return loading;
}

function search(): void {
  const form = element("site-search", HTMLFormElement);
  const words = element("site-words", HTMLInputElement);
  const found = element("site-found", HTMLDivElement);
  const count = element("site-count", HTMLParagraphElement);
  const hits = element("site-hits", HTMLOListElement);
  form.hidden = false;

  const show = async (): Promise<void> => {
    const asked = words.value.trim();
    if (asked.length < 2) {
      found.hidden = true;
      return;
    }
    let sections: Section[];
    try {
      sections = await index(form.dataset["index"]!);
    } catch (e) {
      count.textContent = `The search does not work: ${(e as Error).message}.`;
      found.hidden = false;
      return;
    }
    if (asked !== words.value.trim()) {
      return; // a later call answers
    }
    const all = find(sections, asked);
    const first = all.slice(0, 20);
    count.textContent = all.length === 0 ? `Nothing found for “${asked}”.` : `${all.length} ${all.length === 1 ? "place" : "places"}${all.length > first.length ? `, the best ${first.length}` : ""}`;
    hits.replaceChildren(...first.map((section) => hit(section, asked, form.dataset["up"]!)));
    found.hidden = false;
  };
  words.addEventListener("input", () => void show());
  words.addEventListener("click", () => void show());
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    hits.querySelector("a")?.click();
  });
  const links = (): HTMLElement[] => [...hits.querySelectorAll("a")];
  document.addEventListener("keydown", (event) => {
    const typing = document.activeElement instanceof HTMLInputElement;
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      words.focus();
    } else if (event.key === "Escape" && !found.hidden) {
      event.preventDefault(); // browsers would empty the field
      words.focus();
      found.hidden = true;
    } else if (event.key === "ArrowDown" && found.hidden && document.activeElement === words) {
      event.preventDefault();
      void show();
    } else if ((event.key === "ArrowDown" || event.key === "ArrowUp") && !found.hidden) {
      const places = [words, ...links()];
      const at = places.indexOf(document.activeElement as HTMLElement);
      if (at >= 0) {
        event.preventDefault();
        places[at + (event.key === "ArrowDown" ? 1 : -1)]?.focus();
      }
    }
  });
  document.addEventListener("pointerdown", (event) => {
    if (!found.contains(event.target as Node) && !form.contains(event.target as Node)) {
      found.hidden = true;
    }
  });
  hits.addEventListener("click", () => { found.hidden = true; }); // a link may lead to this page
}

/** Makes the line of one place that was found. */
function hit(section: Section, asked: string, up: string): HTMLLIElement {
  const link = document.createElement("a");
  link.href = up + section.n;
  const title = document.createElement("strong");
  title.textContent = section.h === undefined ? section.p : `${section.p}: ${section.h}`;
  const text = document.createElement("small");
  for (const part of excerpt(section.t, asked)) {
    if (part.found) {
      const mark = document.createElement("mark");
      mark.textContent = part.text;
      text.append(mark);
    } else {
      text.append(part.text);
    }
  }
  link.append(title, text);
  const item = document.createElement("li");
  item.append(link);
  return item;
}

fold();
document.addEventListener("DOMContentLoaded", () => {
  copyButtons();
  search();
  reachable();
  addEventListener("resize", reachable);
});
