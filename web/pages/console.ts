// The console: what the server receives and sends now. This file connects the view with the parts that ask the server.

import { sleep } from "../sdk/src/backoff.ts";
import { showAccount } from "./account.ts";
import { hostOf } from "./address.ts";
import { CallClient } from "./call-client.ts";
import { loadConfig } from "./config.ts";
import { ConsoleClient, type NodeInfo, type SessionInfo } from "./console-client.ts";
import { ConsoleView, drainMs } from "./console-view.ts";
import { asFailure, Failure } from "./failure.ts";
import { inSentence } from "./format.ts";
import { offerLanguages, t } from "./language.ts";
import { PushActions } from "./push-actions.ts";
import { PushClient } from "./push-client.ts";
import { followPushes, type PushEvent } from "./push-events.ts";
import { Rest } from "./rest.ts";
import { may, mayPushAnywhere, Sessions, type Session } from "./session.ts";
import { SignIn } from "./sign-in.ts";
import { pushLabel } from "./words.ts";

/** How often the server is asked for numbers. Changes of pushes come at once, as events. */
const pollMs = 2000;

/** The same while nobody looks at the page: the title tells of trouble then, too. */
const hiddenPollMs = 10_000;

const settleMs = 200;

const longMs = 2 ** 31 - 1; // the longest time that setTimeout can wait

const forever = new AbortController().signal;

let wake = new AbortController();
let historyIsOld = true;
let following = false;
let me: Session | null = null; // null: nobody is known, or the server has to be asked again
let locked = false; // somebody has to sign in: polling waits for it

const rest = new Rest();
const pushes = new PushClient(rest);
const server = new ConsoleClient(rest);
const calls = new CallClient(rest);
const sessions = new Sessions(rest, unlock);
const signIn = new SignIn(sessions, t("Only people who may read from this server can see its console."), unlock);
const actions = new PushActions(pushes, server, {
  announce: (text) => view.announce(text),
  showRefusal: (words, detail) => view.showRefusal(words, detail),
  fail: show,
  changed: gap,
  forget: (ids) => view.forget(ids),
});
const view = new ConsoleView({
  stopPush: actions.stopPush,
  startPush: actions.startPush,
  retryPush: actions.retryPush,
  removePush: actions.removePush,
  removePushes: actions.removePushes,
  wanted: gap,
  stopStream: (id, question) => void actions.ask(question, () => server.stopStream(id)),
  endSession: (id, question) => void actions.ask(question, () => server.endSession(id)),
  drain: (node, question) => void actions.ask(question, () => server.drain(node, drainMs)),
  resume: (node, question) => void actions.ask(question, () => server.resume(node)),
  hangUp: (id, question) => void actions.ask(question, () => calls.terminate(id)),
  sendDigits: (id, digits, sent) => void sendDigits(id, digits, sent),
});

async function sendDigits(id: string, digits: string, sent: () => void): Promise<void> {
  try {
    await calls.sendDigits(id, digits);
  } catch (error) {
    actions.refused(asFailure(error));
    return;
  }
  sent();
  view.announce(t("Sent: {digits}", { digits }));
}

/** Somebody has signed in or out. */
function unlock(): void {
  me = null;
  locked = false;
  wake.abort();
}

/** Asks for everything once. */
async function refresh(): Promise<void> {
  if (!me) {
    me = await sessions.who();
    showAccount(me, sessions);
    actions.anywhere = mayPushAnywhere(me);
    view.allow(may(me, "control"), may(me, "push"), may(me, "admin"));
  }
  const [found, streams, phones, pages, nodes] = await Promise.all([pushes.find({}), server.streams(), calls.all(), findSessions(), findNodes()]);
  signIn.hide();
  view.show({ pushes: found, streams, calls: phones, sessions: pages, nodes });
  if (historyIsOld) {
    historyIsOld = false;
    await view.readHistory((filter) => pushes.past(filter)).catch((error: unknown) => {
      historyIsOld = true;
      throw error;
    });
  }
  view.showTrouble(null);
}

/** null if the server is of a version that cannot list sessions. */
async function findSessions(): Promise<SessionInfo[] | null> {
  try {
    return await server.sessions();
  } catch (error) {
    if (error instanceof Failure && error.reason === "unsupported") {
      return null;
    }
    throw error;
  }
}

/** Empty if the server is of a version that cannot list servers. */
async function findNodes(): Promise<NodeInfo[]> {
  try {
    return await server.nodes();
  } catch (error) {
    if (error instanceof Failure && error.reason === "unsupported") {
      return [];
    }
    throw error;
  }
}

function show(failure: Failure): void {
  if (failure.reason === "unauthorized") {
    me = null;
    locked = true;
    showAccount(null, sessions);
    view.showTrouble(null);
    view.lock();
    signIn.ask(true);
  } else {
    view.showTrouble(failure);
  }
}

function tell(event: PushEvent): void {
  historyIsOld ||= event.status === "ENDED" || event.status === "FAILED";
  view.announce(t("{name} to {target}: {state}", { name: inSentence(event.sourceName), target: hostOf(event.target), state: pushLabel(event.status) }));
  wake.abort();
}

/** What the page shows is old: pushes have ended, something was done, or events were missed. */
function gap(): void {
  historyIsOld = true;
  wake.abort();
}

async function follow(): Promise<void> {
  following = true;
  await followPushes(rest, { event: tell, gap }, forever);
  following = false;
}

async function run(): Promise<void> {
  offerLanguages(() => true);
  const config = await loadConfig();
  view.showVersion(config.version);
  signIn.httpsPort = config.httpsPort;
  for (;;) {
    try {
      await refresh();
      if (!following) { // only after a login has worked
        void follow();
      }
    } catch (error) {
      show(asFailure(error));
    }
    await sleep(locked ? longMs : document.hidden ? hiddenPollMs : pollMs, wake.signal).catch(() => undefined);
    await sleep(settleMs, forever); // one request for many events
    wake = new AbortController();
  }
}

document.addEventListener("visibilitychange", () => wake.abort());
void run();
