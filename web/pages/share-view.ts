import type { Destination } from "./address.ts";
import { copy, create, element, setText, showAlert } from "./dom.ts";
import { asFailure } from "./failure.ts";
import { t } from "./language.ts";
import { onlyHere, proposalLink, viewerLink } from "./link.ts";
import { askPass } from "./pass.ts";
import { qrPicture } from "./qr.ts";
import type { Rest } from "./rest.ts";
import { may, type Session } from "./session.ts";
import { explain } from "./words.ts";

export { leftOutOf, proposalIn } from "./link.ts";
export { propose } from "./proposal.ts";

/** How long a link with a token lets viewers in. */
const passS = 24 * 3600;

/** What the links are made of. */
export interface Show {
  name: string;
  destinations: Destination[];
  me: Session | null;
  httpsPort: number;
}

/** The links to a show: for viewers, and for another device of the person at the page. */
export class ShareView {
  private passFor = ""; // the stream of the token
  private token = "";
  private readonly open = element("share", HTMLDetailsElement);
  private readonly everybody = element("share-pass", HTMLInputElement);

  constructor(private readonly rest: Rest, private readonly show: () => Show) {
    this.open.addEventListener("toggle", () => this.render());
    this.everybody.addEventListener("change", () => void this.givePass());
    element("share-copy", HTMLButtonElement).addEventListener("click", () => void copy(element("share-copy", HTMLButtonElement), element("share-link", HTMLElement)));
    this.render();
  }

  /** Shows the links as the page is now. */
  render(): void {
    if (!this.open.open) {
      return;
    }
    const { destinations, httpsPort, me, name } = this.show();
    if (this.passFor !== name) {
      this.token = "";
      this.everybody.checked = false;
    }
    element("share-pass-label", HTMLElement).hidden = me?.mode === "open" || !may(me, "control");
    element("share-local", HTMLElement).hidden = !onlyHere(location.hostname);
    this.draw("share", viewerLink(location.origin, name, this.token), t("The link for viewers of {name}", { name }));
    element("share-embed", HTMLElement).textContent = `<iframe src="${viewerLink(location.origin, name, "")}" width="640" height="360" allow="autoplay; fullscreen"></iframe>`;
    const secure = location.protocol === "https:" || httpsPort === 0 ? location.origin : `https://${location.hostname}:${httpsPort}`;
    this.draw("phone", proposalLink(secure, { name, destinations }), t("The link that opens this show on another device"));
  }

  private draw(id: string, link: string, label: string): void {
    const place = element(`${id}-code`, HTMLElement);
    setText(element(`${id}-link`, HTMLElement), link);
    if (place.dataset["link"] !== link) {
      place.dataset["link"] = link;
      try {
        place.replaceChildren(qrPicture(link, label));
      } catch {
        place.replaceChildren(create("p", "hint", t("The link is too long for a code.")));
      }
    }
  }

  private async givePass(): Promise<void> {
    const problem = element("share-problem", HTMLElement);
    showAlert(problem, null);
    const { name } = this.show();
    this.token = "";
    if (this.everybody.checked) {
      this.everybody.disabled = true;
      try {
        this.token = await askPass(this.rest, name, passS);
        this.passFor = name;
      } catch (error) {
        const failure = asFailure(error);
        this.everybody.checked = false;
        showAlert(problem, explain(failure), failure.detail);
      } finally {
        this.everybody.disabled = false;
      }
    }
    this.render();
  }
}
