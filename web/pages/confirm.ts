import { closed, element } from "./dom.ts";

export interface Question {
  title: string;
  text: string;
  /** The text of the button that confirms. */
  action: string;
}

/** Asks before an action that cannot be undone. The button that changes nothing has the focus. */
export function confirm(question: Question): Promise<boolean> {
  const dialog = element("confirm", HTMLDialogElement);
  const yes = element("confirm-yes", HTMLButtonElement);
  element("confirm-title", HTMLElement).textContent = question.title;
  element("confirm-text", HTMLElement).textContent = question.text;
  yes.textContent = question.action;
  dialog.showModal();
  return new Promise((resolve) => {
    const answer = (sure: boolean): void => {
      dialog.close();
      resolve(sure);
    };
    yes.onclick = () => answer(true);
    element("confirm-no", HTMLButtonElement).onclick = () => answer(false);
    void closed(dialog).then(() => resolve(false)); // by the Escape key
  });
}
