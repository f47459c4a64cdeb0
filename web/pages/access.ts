// The page for access: who may do what on the server. This file connects the lists with the parts that ask the server.

import { sleep } from "../sdk/src/backoff.ts";
import { AccessClient } from "./access-client.ts";
import { Apps, Audit, Destinations, Keys, Logins, Overview, Tokens, Users, type Section, type Surroundings } from "./access-lists.ts";
import { showAccount } from "./account.ts";
import { loadConfig, type Config } from "./config.ts";
import { copy, element, setText, showAlert } from "./dom.ts";
import { asFailure, Failure } from "./failure.ts";
import { FormDialog } from "./form-dialog.ts";
import { offerLanguages, sentences, t } from "./language.ts";
import { Rest } from "./rest.ts";
import { may, Sessions, type Session } from "./session.ts";
import { SignIn } from "./sign-in.ts";
import { consoleWords } from "./words.ts";

/** How often the list on the page is asked for again. */
const pollMs = 10_000;

const longMs = 2 ** 31 - 1; // the longest time that setTimeout can wait

let me: Session | null = null; // null: nobody is known, or the server has to be asked again
let locked = false; // somebody has to sign in
let config: Config | null = null;
let wake = new AbortController();

const rest = new Rest();
const sessions = new Sessions(rest, unlock);
const signIn = new SignIn(sessions, t("Only administrators can see who may do what; operators see their keys."), unlock);
const around: Surroundings = {
  client: new AccessClient(rest),
  form: new FormDialog(),
  rtmp: () => (config && config.rtmpPort !== 0 ? `rtmp://${location.hostname}:${config.rtmpPort}/live` : ""),
  failed: show,
};

const isAdmin = (): boolean => may(me, "admin");

/** The parts of the page, in the order of the tabs. Operators have some of them. */
const sections: Record<string, { section: Section; operators: boolean }> = {
  overview: { section: new Overview(around, () => me?.mode ?? ""), operators: false },
  users: { section: new Users(around), operators: false },
  keys: { section: new Keys(around), operators: true },
  tokens: { section: new Tokens(around), operators: false },
  destinations: { section: new Destinations(around, isAdmin), operators: true },
  apps: { section: new Apps(around), operators: false },
  logins: { section: new Logins(around), operators: false },
  audit: { section: new Audit(around), operators: false },
};

/** Somebody has signed in or out. */
function unlock(): void {
  me = null;
  locked = false;
  wake.abort();
}

function offered(name: string): boolean {
  const found = sections[name];
  return found !== undefined && (isAdmin() || (found.operators && may(me, "control")));
}

/** The name of the part that the address asks for, or of the first one that the person may see. */
function chosen(): string {
  const wish = location.hash.slice(1);
  return offered(wish) ? wish : (Object.keys(sections).find(offered) ?? "");
}

/** Shows one part, and its tab as the present one. */
function turnTo(name: string): void {
  for (const tab of element("tabs", HTMLElement).querySelectorAll("a")) {
    const its = tab.hash.slice(1);
    tab.hidden = !offered(its);
    if (its === name) {
      tab.setAttribute("aria-current", "page");
    } else {
      tab.removeAttribute("aria-current");
    }
    element(`${its}-card`, HTMLElement).hidden = its !== name;
  }
}

/** The person at the page may see no part of it. */
class NotForYou extends Failure {}

function show(failure: Failure): void {
  if (failure.reason === "unauthorized") {
    me = null;
    locked = true;
    showAccount(null, sessions);
    showAlert(element("trouble", HTMLElement), null);
    element("board", HTMLElement).hidden = true;
    signIn.ask(true);
  } else if (failure instanceof NotForYou) {
    const { title, advice } = consoleWords(failure);
    showAlert(element("trouble", HTMLElement), { title, advice: sentences(advice, t("This page is for administrators and operators.")) });
  } else {
    showAlert(element("trouble", HTMLElement), consoleWords(failure), failure.detail);
  }
}

async function refresh(): Promise<void> {
  if (!me) {
    me = await sessions.who();
    showAccount(me, sessions);
    signIn.hide();
  }
  const name = chosen();
  if (name === "") {
    element("board", HTMLElement).hidden = true;
    throw new NotForYou("forbidden");
  }
  element("board", HTMLElement).hidden = false;
  turnTo(name);
  await sections[name]?.section.load();
  showAlert(element("trouble", HTMLElement), null);
}

async function run(): Promise<void> {
  offerLanguages(() => true);
  element("secret-copy", HTMLButtonElement).addEventListener("click", () => (
    void copy(element("secret-copy", HTMLButtonElement), element("secret-text", HTMLElement))));
  addEventListener("hashchange", () => wake.abort());
  document.addEventListener("visibilitychange", () => wake.abort());
  void loadConfig().then((loaded) => {
    config = loaded;
    signIn.httpsPort = loaded.httpsPort;
    setText(element("version", HTMLElement), loaded.version && `Transponder ${loaded.version}`);
  });
  for (;;) {
    wake = new AbortController();
    const { signal } = wake;
    if (!document.hidden) {
      try {
        await refresh();
      } catch (error) {
        show(asFailure(error));
      }
    }
    await sleep(locked ? longMs : pollMs, signal).catch(() => undefined);
  }
}

void run();
