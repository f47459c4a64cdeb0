import type { Destination } from "./address.ts";
import { create, element } from "./dom.ts";
import { sentences, t } from "./language.ts";
import { proposedWords, type Proposal } from "./link.ts";

/**
 * Asks what to do with the proposal of a link, and says what of it is left out. Resolves to its destinations if the person wants them.
 */
export function propose({ name, destinations }: Proposal, leftOut: string[]): Promise<Destination[]> {
  const box = element("proposal", HTMLElement);
  if (destinations.length === 0) {
    if (leftOut.length > 0) {
      const done = create("button", "button plain small", t("OK"));
      done.type = "button";
      done.addEventListener("click", () => {
        box.hidden = true;
      });
      const buttons = create("div", "actions");
      buttons.append(done);
      box.replaceChildren(create("strong", "", t("The link that opened this page cannot be used as it is.")), create("span", "", sentences(...leftOut)), buttons);
      box.hidden = false;
    }
    return Promise.resolve([]);
  }
  const [yes, no] = [create("button", "button quiet small", t("Add to this show")), create("button", "button plain small", t("Ignore"))];
  const buttons = create("div", "actions");
  buttons.append(yes, no);
  const list = create("ul");
  list.append(...destinations.map((to) => {
    const line = create("li");
    line.append(create("bdi", "", proposedWords(to)));
    return line;
  }));
  box.replaceChildren(
    create("strong", "", t("A link proposes where your camera is sent.")),
    create("span", "", name === "" ? t("Add this only if you trust whoever gave you the link. Nothing is sent before you press Start.")
      : t("Add this only if you trust whoever gave you the link, which also names the stream {name}. Nothing is sent before you press Start.", { name })),
    list, create("span", "", sentences(...leftOut)), buttons,
  );
  box.hidden = false;
  for (const button of [yes, no]) {
    button.type = "button";
  }
  return new Promise((resolve) => {
    const answer = (wanted: Destination[]) => () => {
      box.hidden = true;
      resolve(wanted);
    };
    yes.addEventListener("click", answer(destinations));
    no.addEventListener("click", answer([]));
  });
}
