import type { Destination } from "./address.ts";
import { create, element } from "./dom.ts";
import { t } from "./language.ts";
import { proposedWords, type Proposal } from "./link.ts";

/** Asks what to do with the proposal of a link. Resolves to its destinations if the person wants them. */
export function propose({ name, destinations }: Proposal): Promise<Destination[]> {
  if (destinations.length === 0) {
    return Promise.resolve([]);
  }
  const box = element("proposal", HTMLElement);
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
    list, buttons,
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
