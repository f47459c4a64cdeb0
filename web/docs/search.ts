// The search of the documentation, as pure functions over the index that web/build/site makes.

/** The text under one heading. */
export interface Section {
  /** The title of the page. */
  p: string;
  /** The name of the page, with the heading as #. */
  n: string;
  /** The heading; absent at the beginning of a page. */
  h?: string;
  /** The text. */
  t: string;
}

const split = (asked: string): string[] => asked.toLowerCase().split(/\s+/).filter((word) => word !== "");

/** The sections that have all the words, the best first: words in the heading and in the title of the page count more than those in the text. */
export function find(sections: Section[], asked: string): Section[] {
  const words = split(asked);
  if (words.length === 0) {
    return [];
  }
  const scored: { section: Section; score: number }[] = [];
  for (const section of sections) {
    const heading = (section.h ?? "").toLowerCase();
    const page = section.p.toLowerCase();
    const text = section.t.toLowerCase();
    let score = 0;
    for (const word of words) {
      const inHeading = weigh(heading, word) * 8;
      const inPage = weigh(page, word) * (section.h === undefined ? 8 : 3);
      const inText = weigh(text, word);
      if (inHeading + inPage + inText === 0) {
        score = 0;
        break;
      }
      score += inHeading + inPage + inText;
    }
    if (score > 0) {
      // Decisions tell why, which few look for.
      scored.push({ section, score: section.n.startsWith("adr/") ? score / 4 : score });
    }
  }
  return scored.sort((a, b) => b.score - a.score).map(({ section }) => section);
}

/** How well a text has a word: 3 as a whole word, 2 as the beginning of one, 1 inside one, 0 not at all. */
function weigh(text: string, word: string): number {
  let best = 0;
  for (let at = text.indexOf(word); at >= 0; at = text.indexOf(word, at + 1)) {
    const begins = !/\w/.test(text[at - 1] ?? " ");
    const ends = !/\w/.test(text[at + word.length] ?? " ");
    best = Math.max(best, begins && ends ? 3 : begins ? 2 : 1);
    if (best === 3) {
      break;
    }
  }
  return best;
}

/** A part of a text, and whether it is a word that was asked for. */
export interface Part {
  text: string;
  found: boolean;
}

/** A piece of a text around the first word that was asked for, with the words marked. */
export function excerpt(text: string, asked: string, length = 160): Part[] {
  const words = split(asked);
  const lower = text.toLowerCase();
  const places = words.map((word) => lower.indexOf(word)).filter((at) => at >= 0);
  const first = places.length > 0 ? Math.min(...places) : 0;
  let from = Math.max(0, first - length / 4);
  if (from > 0) {
    from = text.indexOf(" ", from) + 1; // a whole word
  }
  let to = Math.min(text.length, from + length);
  if (to < text.length) {
    to = Math.max(text.lastIndexOf(" ", to), from + 1);
  }
  const parts: Part[] = [];
  const add = (piece: string, found: boolean): void => {
    if (piece !== "") {
      parts.push({ text: piece, found });
    }
  };
  add(from > 0 ? "… " : "", false);
  for (let at = from; at < to;) {
    const next = words
      .map((word) => ({ word, at: lower.indexOf(word, at) }))
      .filter((one) => one.at >= 0 && one.at + one.word.length <= to)
      .sort((a, b) => a.at - b.at || b.word.length - a.word.length)[0];
    if (next === undefined) {
      add(text.slice(at, to), false);
      break;
    }
    add(text.slice(at, next.at), false);
    add(text.slice(next.at, next.at + next.word.length), true);
    at = next.at + next.word.length;
  }
  add(to < text.length ? " …" : "", false);
  return parts;
}
