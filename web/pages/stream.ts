// The page about one stream: how it looks now, how it gets here, where it goes, and where it went.

import { showAccount } from "./account.ts";
import { Bell, longMs } from "./bell.ts";
import { Chart } from "./chart.ts";
import { loadConfig } from "./config.ts";
import { ConsoleClient, type PublisherInfo } from "./console-client.ts";
import { pageTitle, snapshotWords } from "./console-words.ts";
import { element, setText, showAlert } from "./dom.ts";
import { asFailure, type Failure } from "./failure.ts";
import * as format from "./format.ts";
import { HistoryList } from "./history-list.ts";
import { offerLanguages, t } from "./language.ts";
import { PushActions } from "./push-actions.ts";
import { PushClient, type PushInfo } from "./push-client.ts";
import { followPushes } from "./push-events.ts";
import { briefPush, isTroubled, PushFigures, pushRow } from "./push-row.ts";
import { Rest } from "./rest.ts";
import { Rows } from "./rows.ts";
import { serverNow } from "./server-clock.ts";
import { may, mayPushAnywhere, Sessions, type Session } from "./session.ts";
import { SignIn } from "./sign-in.ts";
import { snapshot } from "./snapshot.ts";
import { Unseen } from "./unseen.ts";
import { consoleWords } from "./words.ts";

const pollMs = 2000;

/** How often the picture is made anew. */
const pictureMs = 5000;

/** Five minutes, with one value for each poll. */
const chartSize = 150;

const name = new URLSearchParams(location.search).get("name") ?? "";
const shownName = format.inSentence(name);
const forever = new AbortController().signal;
const bell = new Bell();
const pictureBell = new Bell();
const unseen = new Unseen();

let historyIsOld = true;
let following = false;
let locked = false;
let me: Session | null = null;
let publisher: PublisherInfo | null = null; // null: nobody publishes the stream, or nobody knows yet
let failed: Failure["reason"] | null = null; // why there is no picture

const rest = new Rest();
const pushes = new PushClient(rest);
const server = new ConsoleClient(rest);
const sessions = new Sessions(rest, unlock);
const signIn = new SignIn(sessions, t("Only people who may read about this stream can see its page."), unlock);
const board = element("board", HTMLElement);
const picture = element("picture", HTMLImageElement);
const figures = new PushFigures();
const actions = new PushActions(pushes, server, {
  announce: (text) => setText(element("news", HTMLElement), text),
  showRefusal: (words, detail) => showAlert(element("refusal", HTMLElement), words, detail),
  fail: show,
  changed,
  forget: (ids) => unseen.forget(ids),
});
const list = new Rows<PushInfo>("pushes", ({ id }) => id, (row, id) => pushRow(row, id, figures, actions, () => false), briefPush);
const history = new HistoryList({ retryPush: actions.retryPush, wanted: changed });
const charts = {
  rate: chart("rate", t("Bitrate"), 500, format.bitrate),
  lost: chart("lost", t("Lost"), 0.02, format.percent),
  trip: chart("trip", t("Round trip"), 50, format.delay),
};

function chart(id: string, label: string, floor: number, words: (value: number | null) => string): Chart {
  const made = new Chart(chartSize, floor, label, words);
  made.appendTo(element(`${id}-chart`, HTMLElement), element(`${id}-max`, HTMLElement));
  return made;
}

function changed(): void {
  historyIsOld = true;
  bell.ring();
}

/** Somebody has signed in or out. */
function unlock(): void {
  me = null;
  locked = false;
  failed = null;
  bell.ring();
}

function show(failure: Failure): void {
  if (failure.reason === "unauthorized") {
    me = null;
    locked = true;
    showAccount(null, sessions);
    showAlert(element("trouble", HTMLElement), null);
    unseen.clear();
    document.title = pageTitle(shownName, 0);
    board.hidden = true;
    signIn.ask(true);
    return;
  }
  showAlert(element("trouble", HTMLElement), consoleWords(failure), failure.detail);
  document.title = pageTitle(shownName, "!");
  board.classList.add("stale");
}

async function refresh(): Promise<void> {
  if (!me) {
    me = await sessions.who();
    showAccount(me, sessions);
    actions.anywhere = mayPushAnywhere(me);
    board.classList.toggle("watching", !may(me, "control"));
    board.classList.toggle("no-push", !may(me, "push"));
  }
  const [found, all] = await Promise.all([server.stream(name), pushes.find({ streamName: name })]);
  const own = unseen.with(all.filter(({ sourceName }) => sourceName === name)); // find also knows the names at destinations
  signIn.hide();
  board.hidden = false;
  board.classList.remove("stale");
  showAlert(element("trouble", HTMLElement), null);
  showPublisher(found?.publisher ?? null, found?.players ?? 0);
  figures.add(own);
  list.show(own);
  setText(element("pushes-empty", HTMLElement), own.length > 0 ? "" : t("This stream is not being pushed."));
  document.title = pageTitle(shownName, own.filter(isTroubled).length);
  if (historyIsOld) {
    historyIsOld = false;
    await history.read((filter) => pushes.past({ ...filter, streamName: name })).catch((error: unknown) => {
      historyIsOld = true;
      throw error;
    });
  }
}

function showPublisher(now: PublisherInfo | null, players: number): void {
  const before = publisher?.id === now?.id ? publisher : null;
  const other = publisher?.id !== now?.id;
  publisher = now;
  if (other) {
    failed = null; // that was about the publisher before
    showPictureNote();
    pictureBell.ring();
  }
  const chip = element("state", HTMLElement);
  chip.dataset["status"] = now ? "PUBLISHING" : "ENDED";
  setText(element("state-text", HTMLElement), now ? t("Published") : t("Not published"));
  const loss = lossSince(before, now);
  const facts: Record<string, string> = {
    size: now ? `${format.size(now.width, now.height)}` : "–",
    fps: format.frameRate(now && now.width > 0 ? now.framesPerSecond : null),
    codecs: now ? format.codecs(now.videoCodec, now.audioCodec) : "–",
    keys: format.interval(now?.keyIntervalMs ?? null),
    way: now ? [now.provider, now.transport].filter((part) => part !== "").join(", ") : "–",
    jitter: format.delay(now?.jitterMs ?? null),
    players: format.count(now ? players : null),
    age: now?.createdAt ? format.clock(serverNow() - now.createdAt) : "–",
    rate: format.bitrate(now?.bitrateKbps ?? null),
    lost: format.percent(loss),
    trip: format.delay(now?.roundTripMs ?? null),
  };
  for (const [id, text] of Object.entries(facts)) {
    setText(element(id, HTMLElement), text);
  }
  charts.rate.push(now?.bitrateKbps ?? null);
  charts.lost.push(loss);
  charts.trip.push(now?.roundTripMs ?? null);
  for (const id of ["push", "stop"]) {
    element(id, HTMLButtonElement).hidden = now === null;
  }
}

/** The share of packets that were lost between two looks; null if it is not known. */
function lossSince(before: PublisherInfo | null, now: PublisherInfo | null): number | null {
  if (!before || !now || now.packets === null || before.packets === null || now.lost === null || before.lost === null) {
    return null;
  }
  const [came, lost] = [now.packets - before.packets, now.lost - before.lost];
  return came + lost > 0 && lost >= 0 ? lost / (came + lost) : null;
}

/** Says why there is no picture. */
function showPictureNote(): void {
  setText(element("picture-note", HTMLElement), snapshotWords(publisher, failed, picture.hidden !== false));
}

/** Shows the stream as it looks, as long as it is published and somebody looks at the page. */
async function showPictures(): Promise<void> {
  for (;;) {
    const of = publisher;
    if (!of?.hasVideo || document.hidden || locked || failed === "forbidden" || failed === "unsupported") {
      picture.hidden = picture.hidden !== false || !of?.hasVideo;
    } else {
      try {
        picture.src = await snapshot(rest, name, forever);
        picture.alt = t("The stream {name} at {time}", { name: shownName, time: format.moment(serverNow(), serverNow()) });
        picture.hidden = false;
        failed = null;
      } catch (error) {
        failed = asFailure(error).reason;
        picture.hidden = picture.hidden !== false || (failed !== "busy" && failed !== "server_gone"); // else the last one stays for a moment
      }
    }
    showPictureNote();
    await pictureBell.wait(publisher === null || (picture.hidden !== false && failed === null) ? pollMs : pictureMs, forever);
  }
}

async function follow(): Promise<void> {
  following = true;
  await followPushes(rest, {
    event: ({ sourceName }) => {
      if (sourceName === name) {
        changed();
      }
    },
    gap: changed,
  }, forever);
  following = false;
}

async function run(): Promise<void> {
  setText(element("name", HTMLElement), name);
  document.title = pageTitle(shownName, 0);
  offerLanguages(() => true);
  element("push", HTMLButtonElement).addEventListener("click", () => actions.startPush(name));
  element("stop", HTMLButtonElement).addEventListener("click", () => publisher && void actions.ask({
    title: t("Stop the stream “{name}”?", { name: shownName }),
    text: t("Its publisher is cut off, and its pushes end."),
    action: t("Stop the stream"),
  }, () => server.stopStream(publisher?.id ?? "")));
  const config = await loadConfig();
  signIn.httpsPort = config.httpsPort;
  document.addEventListener("visibilitychange", () => pictureBell.ring());
  void showPictures();
  for (;;) {
    try {
      await refresh();
      if (!following) { // only after a login has worked
        void follow();
      }
    } catch (error) {
      show(asFailure(error));
    }
    await bell.wait(locked ? longMs : pollMs, forever);
  }
}

if (name === "") {
  location.replace("/console");
} else {
  void run();
}
