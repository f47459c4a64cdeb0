// What people do with pushes in the console and on the page about a stream.

import { hostOf } from "./address.ts";
import { confirm, type Question } from "./confirm.ts";
import type { ConsoleClient } from "./console-client.ts";
import { retryWords } from "./console-words.ts";
import { asFailure, type Failure } from "./failure.ts";
import { FormDialog } from "./form-dialog.ts";
import { inSentence } from "./format.ts";
import { t } from "./language.ts";
import type { PushClient, PushInfo } from "./push-client.ts";
import { askForPush } from "./push-form.ts";
import type { PushHandlers } from "./push-row.ts";
import { consoleWords, type Words } from "./words.ts";

/** How many pushes are removed at a time. */
const atATime = 8;

/** The page on which the actions happen. */
export interface Stage {
  announce: (text: string) => void;
  /** Shows why something was not done; null hides it. */
  showRefusal: (words: Words | null, detail?: string) => void;
  /** Shows that the server does not do what it should, or wants a login. */
  fail: (failure: Failure) => void;
  /** The server has something else than before: ask it. */
  changed: () => void;
  /** These pushes, which are over, are taken out of the list. */
  forget: (ids: string[]) => void;
}

export class PushActions implements PushHandlers {
  private readonly form = new FormDialog();
  private asking = false;

  /** The person at the page may push to any address, and not only to the destinations that the server keeps. */
  anywhere = true;

  constructor(private readonly pushes: PushClient, private readonly server: ConsoleClient, private readonly stage: Stage) {}

  readonly stopPush = (id: string, question: Question): void => void this.ask(question, () => this.pushes.terminate(id));
  readonly startPush = (stream: string): void => void this.start(stream);
  readonly retryPush = (push: PushInfo): void => void this.retry(push);
  readonly removePush = (id: string): void => void this.remove([id]);
  readonly removePushes = (ids: string[]): void => void this.remove(ids);

  /** Runs an action after the user has confirmed it. */
  async ask(question: Question, run: () => Promise<void>): Promise<void> {
    if (!(await confirm(question))) {
      return;
    }
    this.stage.showRefusal(null);
    try {
      await run();
    } catch (error) {
      this.refused(asFailure(error));
      return;
    }
    this.stage.changed();
  }

  /** Tells why something was not done, until the next thing is asked for: the next look at the server must not hide it. */
  refused(failure: Failure, words: Words = consoleWords(failure)): void {
    if (failure.reason === "unauthorized") {
      this.stage.fail(failure);
    } else {
      this.stage.showRefusal(words, failure.detail);
    }
  }

  private async start(stream: string): Promise<void> {
    if (this.asking) {
      return; // a second form would replace what is entered in the first
    }
    this.asking = true;
    this.stage.showRefusal(null);
    const saved = await this.server.destinations().catch(() => []); // who may not know them enters an address
    this.asking = false;
    if (saved.length === 0 && !this.anywhere) {
      this.stage.showRefusal({ title: t("There are no destinations."), advice: t("You may push to saved destinations only. Ask an administrator to save one.") });
      return;
    }
    askForPush(this.form, stream, saved, this.anywhere, async (request) => {
      const push = await this.pushes.startup(request);
      this.stage.announce(t("Started: {name} to {target}", { name: inSentence(push.sourceName), target: hostOf(push.target) }));
      this.stage.changed();
    });
  }

  private async retry(push: PushInfo): Promise<void> {
    this.stage.showRefusal(null);
    try {
      await this.pushes.retry(push.id);
    } catch (error) {
      const failure = asFailure(error);
      this.refused(failure, retryWords(failure));
      return;
    }
    this.stage.announce(t("Started again: {name} to {target}", { name: inSentence(push.sourceName), target: hostOf(push.target) }));
    await this.remove([push.id]);
  }

  /** Takes pushes that are over out of the list; the history keeps them. */
  private async remove(ids: string[]): Promise<void> {
    try {
      for (let i = 0; i < ids.length; i += atATime) {
        await Promise.all(ids.slice(i, i + atATime).map((id) => this.pushes.terminate(id)));
      }
    } catch (error) {
      this.refused(asFailure(error));
      return;
    }
    this.stage.forget(ids);
    this.stage.changed();
  }
}
