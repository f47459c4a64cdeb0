// Formats numbers and names for people. An unknown number is a dash.

import { locale, t } from "./language.ts";

const unknown = "–";

const forms = [0, 1].map((digits) => new Intl.NumberFormat(locale, { minimumFractionDigits: digits, maximumFractionDigits: digits }));

function number(value: number, digits: 0 | 1 = 0): string {
  return forms[digits]?.format(value) ?? "";
}

export function bitrate(kbps: number | null): string {
  if (kbps === null) {
    return unknown;
  }
  return kbps < 1000 ? t("{rate} kbit/s", { rate: number(kbps) }) : t("{rate} Mbit/s", { rate: number(kbps / 1000, 1) });
}

export function count(n: number | null): string {
  return n === null ? unknown : number(n);
}

export function interval(ms: number | null): string {
  return ms === null || ms <= 0 ? unknown : t("every {time} s", { time: number(ms / 1000, 1) });
}

export function frameRate(perSecond: number | null): string {
  return perSecond === null ? unknown : t("{rate} fps", { rate: number(perSecond) });
}

/** share is from 0 to 1. */
export function percent(share: number | null): string {
  return share === null ? unknown : `${number(share * 100, 1)} %`;
}

/** The size of a file. */
export function bytes(n: number): string {
  return n < 1e6 ? t("{size} kB", { size: number(n / 1e3) }) : n < 1e9 ? t("{size} MB", { size: number(n / 1e6) }) : t("{size} GB", { size: number(n / 1e9, 1) });
}

/** A short time, such as a delay. */
export function delay(ms: number | null): string {
  if (ms === null) {
    return unknown;
  }
  return ms < 1000 ? t("{time} ms", { time: number(ms) }) : t("{time} s", { time: number(ms / 1000, 1) });
}

export function size(width: number, height: number): string {
  return width > 0 && height > 0 ? `${width} × ${height}` : unknown;
}

// RTP's names for codecs that people know by other names.
const codecNames: Record<string, string> = { "mpeg4-generic": "AAC", MPA: "MP3" };

/** The codecs of a stream, by the names that people know. */
export function codecs(...names: string[]): string {
  return names.filter((name) => name !== "").map((name) => codecNames[name] ?? name).join(" + ") || unknown;
}

/**
 * A name from outside within a sentence. Characters that steer the direction of text are replaced, and a name in a script that is written from
 * right to left is kept apart from the words around it (FSI and PDI of Unicode's bidirectional algorithm).
 */
export function inSentence(name: string): string {
  const shown = name.replace(/[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, "\ufffd");
  return /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]|[\ud802\ud803\ud83a\ud83b]/.test(shown) ? `\u2068${shown}\u2069` : shown;
}

/** 0:07, 12:05, 1:00:00 */
export function clock(ms: number): string {
  const total = Math.max(0, Math.floor(ms / 1000));
  const parts = [Math.floor(total / 3600), Math.floor(total / 60) % 60, total % 60];
  const shown = parts[0] === 0 ? parts.slice(1) : parts;
  return shown.map((part, i) => (i === 0 ? String(part) : String(part).padStart(2, "0"))).join(":");
}

/** The time of day, and for moments before today the date as well. */
export function moment(at: number, now: number): string {
  const [then, today] = [new Date(at), new Date(now)];
  const time = then.toLocaleTimeString(locale);
  return then.toDateString() === today.toDateString() ? time : `${then.toLocaleDateString(locale, { day: "numeric", month: "short" })}, ${time}`;
}

/** The address of the page about a stream. */
export function streamPage(name: string): string {
  return `/stream?${new URLSearchParams({ name })}`;
}
