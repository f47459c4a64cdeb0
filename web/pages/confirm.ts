import { element } from "./dom.ts";

export interface Question {
  title: string;
  text: string;
  /** What the button says that does it. */
  action: string;
}

/** Asks before something is done that cannot be undone. The answer that changes nothing has the focus. */
export function confirm(question: Question): Promise<boolean> {
  const dialog = element("confirm", HTMLDialogElement);
  const yes = element("confirm-yes", HTMLButtonElement);
  element("confirm-title", HTMLElement).textContent = question.title;
  element("confirm-text", HTMLElement).textContent = question.text;
  yes.textContent = question.action;
  dialog.returnValue = "";
  yes.onclick = () => dialog.close("yes");
  element("confirm-no", HTMLButtonElement).onclick = () => dialog.close();
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true }));
}
