// The language of the page: chosen by the browser, or by the person at the page. Every other module reads its texts through t. The English text
// is the key; languages/de.ts and its neighbours hold the translations, and at most one of them is loaded. This module is ready only when the
// language is, so texts of other modules may be constants. Without a document, as in tests of single modules, the language is English.

import type { Form, Plural, Text, Texts } from "./languages/en.ts";

/** The languages by their codes: their own names, and the values of the attribute lang. */
const languages = {
  en: ["English", "en"],
  de: ["Deutsch", "de"],
  es: ["Español", "es"],
  pt: ["Português", "pt-BR"],
  zh: ["简体中文", "zh-Hans"],
  ru: ["Русский", "ru"],
} as const;

type Language = keyof typeof languages;

const storageKey = "transponder.language";

/** A server that takes longer to send a language has other troubles; the page is English then. */
const patienceMs = 5000;

/** A page whose texts are not translated yet stays English as a whole. */
const page = globalThis.document?.documentElement.dataset["translated"] === undefined ? null : document;

const loaded = await load(page ? wanted() : "en");

export const { language } = loaded;

/** For Intl. A browser for Austria or Mexico shows numbers as they are written there. */
export const locale = language === "en" ? "en-GB" : (navigator.languages.find((one) => base(one) === language) ?? languages[language][1]);

const rules = new Intl.PluralRules(locale);

if (page) {
  page.documentElement.lang = languages[language][1];
  if (loaded.texts) {
    translate(page.documentElement);
  }
}

/** The values for the places in a text: {name} takes the value name. */
type Values<T extends string> = T extends `${string}{${infer Name}}${infer Rest}` ? { [key in Name]: string | number } & Values<Rest> : unknown;

/** A text in the language of the page. A text with several forms takes the form for the number n. */
export function t<T extends Text>(text: T, ...given: unknown extends Values<T> ? [] : [Values<T>]): string {
  const found = loaded.texts?.[text] ?? text;
  const values = (given[0] ?? {}) as Record<string, string | number>;
  const form = typeof found === "string" ? found : (found[rules.select(Number(values["n"])) as Form] ?? found.other);
  return form.replace(/\{(\w+)\}/g, (_, name: string) => {
    const value = values[name] ?? "";
    return typeof value === "number" ? value.toLocaleString(locale) : value;
  });
}

/** Whole sentences, one after the other. Empty ones are left out. */
export function sentences(...all: string[]): string {
  return all.filter((one) => one !== "").join(language === "zh" ? "" : " ");
}

/** Offers the languages below the page. Another choice loads the page again, unless mayLeave says no: then it counts from the next time on. */
export function offerLanguages(mayLeave: () => boolean): void {
  const note = Object.assign(document.createElement("span"), { id: "language-note", role: "status" });
  const list = document.createElement("select");
  list.id = "language";
  list.setAttribute("aria-label", t("Language"));
  list.add(new Option(t("As in the browser"), ""));
  for (const [code, [name, lang]] of Object.entries(languages)) {
    list.add(Object.assign(new Option(name, code), { lang }));
  }
  list.value = chosen() ?? "";
  list.addEventListener("change", () => {
    try {
      localStorage.setItem(storageKey, list.value);
    } catch {
      // The browser keeps nothing for this page: the choice is lost.
    }
    if (mayLeave()) {
      location.reload();
    } else {
      note.textContent = t("The language changes when the page is loaded again.");
    }
  });
  document.querySelector("footer")?.append(" ", list, " ", note);
}

/** The language that was chosen on the page; undefined: none. */
function chosen(): Language | undefined {
  let stored: string | null = null;
  try {
    stored = localStorage.getItem(storageKey);
  } catch {
    // see offerLanguages
  }
  return known(stored ?? "");
}

function wanted(): Language {
  return chosen() ?? navigator.languages.map((one) => known(base(one))).find((one) => one !== undefined) ?? "en";
}

function known(code: string): Language | undefined {
  return Object.hasOwn(languages, code) ? code as Language : undefined;
}

function base(tag: string): string {
  return tag.toLowerCase().split("-")[0] ?? "";
}

async function load(code: Language): Promise<{ language: Language; texts: Texts | null }> {
  if (code !== "en") {
    try {
      const late = new Promise<never>((_, reject) => setTimeout(reject, patienceMs));
      const { default: texts } = await Promise.race([import(`/languages/${code}.js`) as Promise<{ default: Texts }>, late]);
      return { language: code, texts };
    } catch {
      // The server is away, or has other pages than this one.
    }
  }
  return { language: "en", texts: null };
}

/** Translates what the page has from the beginning: its texts, the attributes that people see or hear, and its templates. */
function translate(root: ParentNode): void {
  for (const part of root.querySelectorAll("*")) {
    if (part instanceof HTMLTemplateElement) {
      translate(part.content);
    }
    for (const name of ["alt", "aria-label", "content", "placeholder", "title"]) {
      const found = translation(part.getAttribute(name) ?? "");
      if (found !== undefined) {
        part.setAttribute(name, found);
      }
    }
    for (const node of part.childNodes) {
      const text = node.nodeType === Node.TEXT_NODE ? (node.nodeValue ?? "") : "";
      const found = translation(text.trim());
      if (found !== undefined) {
        node.nodeValue = text.replace(text.trim(), () => found);
      }
    }
  }
}

function translation(text: string): string | undefined {
  const found: string | Plural | undefined = loaded.texts && Object.hasOwn(loaded.texts, text) ? loaded.texts[text as Text] : undefined;
  return typeof found === "string" ? found : undefined;
}
