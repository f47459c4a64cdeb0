import { element, setText, showAlert } from "./dom.ts";
import type { Failure } from "./failure.ts";
import { t } from "./language.ts";
import type { Arrangement } from "./scene.ts";
import { explain } from "./words.ts";

/** The actions of the user. */
export interface SourceHandlers {
  camera: () => void;
  flip: () => void;
  screen: () => void;
  arrange: (arrangement: Arrangement) => void;
  shape: () => void;
  /** Another text of the card. */
  text: () => void;
  /** Another image of the card; null: none. */
  image: (file: File | null) => void;
}

export interface SourceState {
  cameraOff: boolean;
  /** The camera is open, or was lost: it can be switched off. */
  sharing: boolean;
  /** A file is shown. */
  playing: boolean;
  /** A dialog of the browser is open. */
  asking: boolean;
  /** There is a second camera, on the other side of a phone. */
  canFlip: boolean;
  canShare: boolean;
  arrangement: Arrangement;
  hasImage: boolean;
  note: string;
}

/** The controls of camera, screen and card. They show states and read fields, and decide nothing. */
export class SourceView {
  private readonly cameraButton = element("camera-off", HTMLButtonElement);
  private readonly flipButton = element("flip", HTMLButtonElement);
  private readonly screenButton = element("screen", HTMLButtonElement);
  private readonly arrangement = element("arrangement", HTMLElement);
  private readonly cardText = element("card-text", HTMLInputElement);
  private readonly cardFile = element("card-file", HTMLInputElement);
  private readonly shapeList = element("shape", HTMLSelectElement);

  constructor(handlers: SourceHandlers) {
    this.cameraButton.addEventListener("click", () => handlers.camera());
    this.flipButton.addEventListener("click", () => handlers.flip());
    this.screenButton.addEventListener("click", () => handlers.screen());
    this.arrangement.addEventListener("change", (event) => handlers.arrange((event.target as HTMLInputElement).value as Arrangement));
    this.shapeList.addEventListener("change", () => handlers.shape());
    this.cardText.addEventListener("change", () => handlers.text());
    this.cardFile.addEventListener("change", () => {
      handlers.image(this.cardFile.files?.[0] ?? null);
      this.cardFile.value = ""; // so that the same file can be picked again
    });
    element("card-pick", HTMLButtonElement).addEventListener("click", () => this.cardFile.click());
    element("card-remove", HTMLButtonElement).addEventListener("click", () => handlers.image(null));
  }

  get text(): string {
    return this.cardText.value.trim();
  }

  get shape(): string {
    return this.shapeList.value;
  }

  fill(text: string, shape: string): void {
    this.cardText.value = text;
    this.shapeList.value = shape;
  }

  render(state: SourceState): void {
    setText(this.cameraButton, state.cameraOff ? t("Turn on camera") : t("Turn off camera"));
    this.flipButton.hidden = !state.canFlip || state.cameraOff;
    this.screenButton.hidden = !state.canShare;
    this.screenButton.disabled = state.asking;
    setText(this.screenButton, state.sharing ? t("Stop sharing") : t("Share screen"));
    this.arrangement.hidden = !(state.sharing || state.playing) || state.cameraOff;
    setText(element("only-screen", HTMLElement), state.playing ? t("Only the file") : t("Only the screen"));
    element(`arrange-${state.arrangement}`, HTMLInputElement).checked = true;
    element("card-remove", HTMLElement).hidden = !state.hasImage;
    setText(element("card-pick", HTMLElement), state.hasImage ? t("Another image") : t("Use an image"));
    setText(element("source-note", HTMLElement), state.note);
  }

  showProblem(failure: Failure | null): void {
    showAlert(element("source-problem", HTMLElement), failure && explain(failure), failure?.detail ?? "");
  }
}
