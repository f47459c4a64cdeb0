import { create, element, setText, showAlert } from "./dom.ts";
import { asFailure, type Failure } from "./failure.ts";
import { t } from "./language.ts";
import type { Session, Sessions } from "./session.ts";
import { explain } from "./words.ts";

/** The form #login of a page, in which people sign in. The password goes to the server and is kept nowhere. */
export class SignIn {
  private readonly form = element("login", HTMLFormElement);
  private readonly user = field("user", "text", "username");
  private readonly password = field("password", "password", "current-password");
  private readonly problem = Object.assign(create("p", "problem"), { id: "login-problem", role: "alert" });
  private readonly trouble = Object.assign(create("div", "alert"), { id: "login-trouble", role: "alert", hidden: true });
  private readonly button = create("button", "button main", t("Sign in"));
  /** The port for https; 0 if there is none. */
  httpsPort = 0;

  /** hint says what people sign in for. */
  constructor(private readonly sessions: Sessions, hint: string, private readonly done: (session: Session) => void) {
    const title = Object.assign(create("h2", "", t("Sign in")), { id: "login-title" });
    this.form.replaceChildren(title, create("p", "hint", hint), labelled(t("User name"), this.user), labelled(t("Password"), this.password),
      this.problem, this.trouble, this.button);
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.submit();
    });
  }

  get shown(): boolean {
    return !this.form.hidden;
  }

  /** Shows the form. focus: the person waits for nothing else. */
  ask(focus: boolean): void {
    if (this.form.hidden) {
      this.form.hidden = false;
      if (focus) {
        this.user.focus();
      }
    }
  }

  hide(): void {
    this.form.hidden = true;
    this.password.value = "";
    this.show(null);
  }

  private async submit(): Promise<void> {
    if (this.button.disabled) {
      return;
    }
    this.button.disabled = true;
    try {
      const session = await this.sessions.signIn(this.user.value.trim(), this.password.value);
      this.hide();
      this.done(session);
    } catch (error) {
      this.show(asFailure(error));
      this.password.select();
    } finally {
      this.button.disabled = false;
    }
  }

  private show(failure: Failure | null): void {
    const wrong = failure?.reason === "unauthorized";
    setText(this.problem, wrong ? t("The server does not know this name and password. Check both, then sign in again.") : "");
    const secure = failure?.reason === "forbidden" && location.protocol === "http:" && this.httpsPort !== 0
      ? { text: t("Open this page by https"), href: `https://${location.hostname}:${this.httpsPort}${location.pathname}${location.search}` } : undefined;
    showAlert(this.trouble, failure && !wrong ? explain(failure) : null, failure?.detail, secure);
  }
}

function field(id: string, type: string, autocomplete: AutoFill): HTMLInputElement {
  const input = Object.assign(create("input"), { id, name: id, type, autocomplete, spellcheck: false });
  input.setAttribute("autocapitalize", "off");
  input.setAttribute("aria-describedby", "login-problem");
  return input;
}

function labelled(text: string, input: HTMLInputElement): HTMLElement {
  const box = create("div", "field");
  box.append(Object.assign(create("label", "", text), { htmlFor: input.id }), input);
  return box;
}
