// The page on which people sign in who came from an address that needs it. The other pages have the same form of their own.

import { showAccount } from "./account.ts";
import { loadConfig } from "./config.ts";
import { element, setText, showFailure } from "./dom.ts";
import { asFailure } from "./failure.ts";
import { offerLanguages, t } from "./language.ts";
import { nextPage } from "./next.ts";
import { Rest } from "./rest.ts";
import { Sessions, type Session } from "./session.ts";
import { SignIn } from "./sign-in.ts";

const next = nextPage(location.search, location.origin);
const sessions = new Sessions(new Rest(), () => void begin());
const form = new SignIn(sessions, t("Use the name and the password that the server's owner gave you."), () => location.assign(next));

/** Shows who has signed in already, or the form. */
async function begin(): Promise<void> {
  const trouble = element("trouble", HTMLElement);
  try {
    known(await sessions.who());
    showFailure(trouble, null);
  } catch (error) {
    const failure = asFailure(error);
    showFailure(trouble, failure.reason === "unauthorized" ? null : failure);
    form.ask(true);
  }
}

function known(session: Session): void {
  showAccount(session, sessions);
  form.hide();
  setText(element("title", HTMLElement), session.kind === "user" ? t("Signed in") : t("No need to sign in"));
  setText(element("lead", HTMLElement), session.kind === "local" ? t("You are on the server's own machine, and may do everything.")
    : session.kind === "user" ? t("This browser is known to the server.") : t("This server lets you in without a name."));
  element("go-on", HTMLAnchorElement).href = next;
  element("ready", HTMLElement).hidden = false;
}

offerLanguages(() => true);
void begin();
void loadConfig().then((config) => {
  form.httpsPort = config.httpsPort;
  setText(element("version", HTMLElement), config.version && `Transponder ${config.version}`);
});
