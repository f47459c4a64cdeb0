import { create, setText, showAlert } from "./dom.ts";
import { asFailure } from "./failure.ts";
import { t } from "./language.ts";
import type { Sessions } from "./session.ts";
import { consoleWords } from "./words.ts";

function field(id: string, label: string, autocomplete: string): { box: HTMLElement; input: HTMLInputElement } {
  const input = Object.assign(create("input"), { id, type: "password", autocomplete, required: true });
  const box = create("div", "field");
  box.append(Object.assign(create("label", "", label), { htmlFor: id }), input);
  return { box, input };
}

/** Asks for the present password and a new one, in a dialog of its own that every page has. */
export function askPassword(sessions: Sessions): void {
  const dialog = create("dialog");
  dialog.setAttribute("aria-labelledby", "password-title");
  const form = Object.assign(create("form"), { noValidate: true });
  const present = field("password-present", t("Present password"), "current-password");
  const next = field("password-new", t("New password"), "new-password");
  const hint = create("p", "hint", t("8 to 72 characters. Everywhere else you are signed out, and tokens that you have made end."));
  const trouble = create("div", "alert");
  trouble.setAttribute("role", "alert");
  trouble.hidden = true;
  const cancel = Object.assign(create("button", "button quiet", t("Cancel")), { type: "button" });
  const send = create("button", "button main", t("Change the password"));
  const buttons = create("div", "dialog-actions");
  buttons.append(cancel, send);
  const list = create("div", "form-list");
  list.append(present.box, next.box, hint);
  form.append(Object.assign(create("h2", "", t("Change your password")), { id: "password-title" }), list, trouble, buttons);
  dialog.append(form);
  cancel.addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => dialog.remove()); // with what was entered
  dialog.addEventListener("cancel", (event) => {
    if (send.disabled) {
      event.preventDefault(); // whether the password was changed would not be told
    }
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!send.disabled) {
      void change();
    }
  });
  const change = async (): Promise<void> => {
    const empty = [present.input, next.input].find(({ value }) => value === "");
    if (empty) {
      empty.focus();
      return;
    }
    send.disabled = cancel.disabled = true;
    setText(send, t("Changing…"));
    try {
      await sessions.changePassword(present.input.value, next.input.value);
      dialog.close();
    } catch (error) {
      const failure = asFailure(error);
      showAlert(trouble, failure.reason === "forbidden" ? { title: t("That is not your present password."), advice: t("Type it again.") } : consoleWords(failure), failure.detail);
    } finally {
      send.disabled = cancel.disabled = false;
      setText(send, t("Change the password"));
    }
  };
  document.body.append(dialog);
  dialog.showModal();
  present.input.focus();
}
