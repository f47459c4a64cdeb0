import { roleWords } from "./access-words.ts";
import { create, element } from "./dom.ts";
import { asFailure } from "./failure.ts";
import { t } from "./language.ts";
import { askPassword } from "./password.ts";
import type { Session, Sessions } from "./session.ts";
import { explain } from "./words.ts";

/** Shows in #account who has signed in, and a warning in #open-mode if the server asks nobody who he is. null: nobody is known. */
export function showAccount(session: Session | null, sessions: Sessions): void {
  const box = element("account", HTMLElement);
  box.hidden = session?.kind !== "user";
  if (session?.kind === "user") {
    const out = Object.assign(create("button", "button plain small", t("Sign out")), { type: "button", id: "sign-out" });
    out.addEventListener("click", () => void signOut(out, sessions));
    const name = Object.assign(create("button", "button plain small"), { type: "button", id: "own-password", title: t("{role}: change the password", { role: roleWords(session.role) }) });
    name.append(create("bdi", "", session.name));
    name.addEventListener("click", () => askPassword(sessions));
    box.replaceChildren(name, out);
  }
  element("open-mode", HTMLElement).hidden = session?.mode !== "open";
}

/** A page that is live asks before it is left. */
async function signOut(button: HTMLButtonElement, sessions: Sessions): Promise<void> {
  button.disabled = true;
  try {
    await sessions.signOut();
    location.assign("/login");
  } catch (error) {
    button.textContent = explain(asFailure(error)).title;
    button.disabled = false;
  }
}
