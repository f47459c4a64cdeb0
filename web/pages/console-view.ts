import { shownTarget } from "./address.ts";
import type { CallInfo } from "./call-client.ts";
import { Alarm } from "./alarm.ts";
import { callRow, type CallHandlers } from "./call-row.ts";
import type { Question } from "./confirm.ts";
import type { NodeInfo, SessionInfo, StreamInfo } from "./console-client.ts";
import { element, setText, showAlert } from "./dom.ts";
import type { Failure } from "./failure.ts";
import * as format from "./format.ts";
import { HistoryList, type HistoryHandlers } from "./history-list.ts";
import { locale, t } from "./language.ts";
import type { PastFilter, PushInfo } from "./push-client.ts";
import { briefPush, isTroubled, PushFigures, pushRow, type PushHandlers } from "./push-row.ts";
import { isTaking } from "./push-state.ts";
import { Rows, type Row } from "./rows.ts";
import { serverNow } from "./server-clock.ts";
import { Unseen } from "./unseen.ts";
import { callLabel, consoleWords, pushLabel, type Words } from "./words.ts";

/** Everything on the server at one moment. */
export interface Picture {
  pushes: PushInfo[];
  streams: StreamInfo[];
  /** null if the server takes no calls. */
  calls: CallInfo[] | null;
  /** null if the server cannot list them. */
  sessions: SessionInfo[] | null;
  /** The servers of the cluster; none or one if the server is alone. */
  nodes: NodeInfo[];
}

export interface ConsoleHandlers extends CallHandlers, PushHandlers, HistoryHandlers {
  /** Asks where the stream shall go. */
  startPush: (stream: string) => void;
  removePushes: (ids: string[]) => void;
  /** Each of these asks the user first; question is the text. */
  stopStream: (id: string, question: Question) => void;
  endSession: (id: string, question: Question) => void;
  drain: (node: string, question: Question) => void;
  resume: (node: string, question: Question) => void;
}

/** How often a value is added to the charts. */
const sampleMs = 2000;

/** The console on the page. It shows the data that it gets, and decides nothing. */
export class ConsoleView {
  private readonly filter = element("filter", HTMLInputElement);
  private readonly pushes: Rows<PushInfo>;
  private readonly streams: Rows<StreamInfo>;
  private readonly calls: Rows<CallInfo>;
  private readonly sessions: Rows<SessionInfo>;
  private readonly nodes: Rows<NodeInfo>;
  private readonly past: HistoryList;
  private readonly figures = new PushFigures();
  private readonly alarm = new Alarm(t("Console"));
  private readonly unseen = new Unseen();
  private readonly onlyTrouble = element("only-trouble", HTMLButtonElement);
  private readonly clear = element("pushes-clear", HTMLButtonElement);
  private mayPush = false;
  private listed: PushInfo[] = []; // the pushes of the server, and those that failed unseen
  private picture: Picture = { pushes: [], streams: [], calls: [], sessions: [], nodes: [] };
  private counts = new Map<string, number>(); // of pushes, by the name of their stream
  private sampledAt = 0;

  constructor(handlers: ConsoleHandlers) {
    this.pushes = new Rows("pushes", ({ id }) => id, (row, id) => pushRow(row, id, this.figures, handlers, () => this.picture.nodes.length > 1), briefPush);
    this.streams = new Rows("streams", ({ id }) => id, (row, id) => this.streamRow(row, id, handlers), ({ name }) => format.inSentence(name));
    this.calls = new Rows("calls", ({ id }) => id, (row, id) => callRow(row, id, handlers, (stream) => this.pushesOf(stream)));
    this.sessions = new Rows("sessions", ({ id }) => id, (row, id) => this.sessionRow(row, id, handlers), ({ address, id }) => address || id);
    this.nodes = new Rows("nodes", ({ id }) => id, (row, id) => nodeRow(row, id, handlers));
    this.past = new HistoryList(handlers, () => this.filter.value);
    this.filter.addEventListener("input", () => {
      this.draw();
      this.past.typed();
    });
    this.onlyTrouble.addEventListener("click", () => {
      this.onlyTrouble.setAttribute("aria-pressed", String(!this.troubleOnly));
      this.draw();
    });
    this.clear.addEventListener("click", () => handlers.removePushes(this.failed()));
  }

  showVersion(version: string): void {
    setText(element("version", HTMLElement), version && `Transponder ${version}`);
  }

  /** Shows nothing of the server: nobody has signed in. */
  lock(): void {
    element("board", HTMLElement).hidden = true;
    this.unseen.clear();
    this.alarm.rest();
  }

  /** Shows whether the person at the page may end and change what others have begun, may start pushes, and may stop servers. */
  allow(control: boolean, push: boolean, admin: boolean): void {
    this.mayPush = push;
    element("board", HTMLElement).classList.toggle("watching", !control);
    element("board", HTMLElement).classList.toggle("no-push", !push);
    element("nodes", HTMLElement).classList.toggle("watched", !admin);
  }

  /** Shows that the server cannot be asked; null hides it. The last data stay on the page, in grey. */
  showTrouble(failure: Failure | null): void {
    showAlert(element("trouble", HTMLElement), failure && consoleWords(failure), failure?.detail);
    element("board", HTMLElement).classList.toggle("stale", failure !== null);
    if (failure) {
      this.alarm.lost();
    }
  }

  /** Shows why something that was asked for was not done, until the next thing is asked for; null hides it. */
  showRefusal(words: Words | null, detail = ""): void {
    const box = element("refusal", HTMLElement);
    showAlert(box, words, detail);
    box.scrollIntoView({ block: "nearest" });
  }

  /** Takes pushes that are over out of the list. */
  forget(ids: string[]): void {
    this.unseen.forget(ids);
  }

  show(picture: Picture): void {
    this.picture = picture;
    this.listed = this.unseen.with(picture.pushes);
    if (Date.now() - this.sampledAt >= sampleMs) {
      this.sampledAt = Date.now();
      this.figures.add(picture.pushes);
    }
    this.counts = new Map();
    for (const { sourceName } of picture.pushes) {
      this.counts.set(sourceName, this.pushesOf(sourceName) + 1);
    }
    element("board", HTMLElement).hidden = false;
    this.draw();
    const troubled = this.alarm.look(this.listed);
    this.onlyTrouble.hidden = troubled === 0 && !this.troubleOnly;
    setText(this.onlyTrouble, t("Only trouble ({n})", { n: troubled }));
    const live = picture.pushes.filter(({ status }) => isTaking(status));
    const total = live.reduce((sum, { bitrateKbps }) => sum + (bitrateKbps ?? 0), 0);
    const show = (id: string, text: string): void => setText(element(id, HTMLElement), text);
    show("stream-count", format.count(picture.streams.filter(({ plays }) => !plays).length));
    show("push-count", t("{some} of {all}", { some: live.length, all: this.listed.length }));
    show("session-count", format.count(picture.sessions?.length ?? null));
    show("total", format.bitrate(total));
  }

  readHistory(ask: (filter: PastFilter) => Promise<PushInfo[]>): Promise<void> {
    return this.past.read(ask);
  }

  /** Shows the latest event. */
  announce(text: string): void {
    setText(element("news", HTMLElement), text);
  }

  private draw(): void {
    const { streams, calls, sessions, nodes } = this.picture;
    const pushes = this.listed;
    const several = nodes.length > 1;
    const troubleOnly = this.troubleOnly;
    const shownPushes = pushes.filter((push) => (!troubleOnly || isTroubled(push)) &&
      this.wanted(push.sourceName, shownTarget(push), pushLabel(push.status), several ? push.node : "", push.startedBy?.name ?? ""));
    this.pushes.show(shownPushes);
    const failed = this.failed().length;
    this.clear.hidden = failed < 2; // one has its own button
    setText(this.clear, t("Remove the {n} that failed", { n: failed }));
    this.showEmpty("pushes", pushes.length, shownPushes.length, this.mayPush && streams.some(({ plays }) => !plays)
      ? t("Nothing is being pushed. Start a push in the Studio, beside a stream below, or by REST.") : t("Nothing is being pushed. Start a push in the Studio, or by REST."));
    const shownStreams = streams.filter(({ name, provider }) => this.wanted(name, provider));
    this.streams.show(shownStreams);
    this.showEmpty("streams", streams.length, shownStreams.length, t("Nobody publishes to this server."));
    element("calls-card", HTMLElement).hidden = calls === null;
    const shownCalls = (calls ?? []).filter((call) => this.wanted(call.caller, call.callee, call.visibleName, call.streamName, callLabel(call.status)));
    this.calls.show(shownCalls);
    this.showEmpty("calls", calls?.length ?? 0, shownCalls.length, t("There are no calls with phones. Start one by REST."));
    const shownSessions = (sessions ?? []).filter(({ id, app, address, origin }) => this.wanted(id, app, address, origin));
    this.sessions.show(shownSessions);
    this.showEmpty("sessions", sessions?.length ?? 0, shownSessions.length,
      sessions ? t("No page is connected by the Web SDK.") : t("This server does not list its sessions."));
    this.drawNodes(nodes);
  }

  private drawNodes(nodes: NodeInfo[]): void {
    element("nodes-card", HTMLElement).hidden = nodes.length < 2;
    const shown = nodes.filter(({ id, state }) => this.wanted(id, nodeState(state)));
    this.nodes.show(shown);
    this.showEmpty("nodes", nodes.length, shown.length, "");
  }

  private get troubleOnly(): boolean {
    return this.onlyTrouble.getAttribute("aria-pressed") === "true";
  }

  /** The pushes in the list that have failed. */
  private failed(): string[] {
    return this.listed.filter(({ status }) => status === "FAILED").map(({ id }) => id);
  }

  private wanted(...texts: string[]): boolean {
    const wish = this.filter.value.trim().toLowerCase();
    return wish === "" || texts.some((text) => text.toLowerCase().includes(wish));
  }

  private showEmpty(list: string, all: number, shown: number, nothing: string): void {
    setText(element(`${list}-empty`, HTMLElement), all === 0 ? nothing : shown === 0 ? t("Nothing here matches the filter.") : "");
  }

  private pushesOf(stream: string): number {
    return this.counts.get(stream) ?? 0;
  }

  private streamRow(row: Row, id: string, handlers: ConsoleHandlers): (stream: StreamInfo) => void {
    let shown: StreamInfo | null = null;
    row.part("stop").addEventListener("click", () => shown && handlers.stopStream(id, streamQuestion(shown, this.pushesOf(shown.name))));
    row.part("push").addEventListener("click", () => shown && handlers.startPush(shown.name));
    return (stream) => {
      shown = stream;
      row.root.dataset["status"] = stream.plays ? "" : "PUBLISHING";
      row.set("state", stream.plays ? t("Played") : t("Published"));
      row.link("name", stream.name, format.streamPage(stream.name));
      row.set("provider", stream.provider);
      row.set("picture", `${format.size(stream.width, stream.height)}${stream.plays || stream.width === 0 ? "" : `, ${format.frameRate(stream.framesPerSecond)}`}`);
      row.set("codecs", format.codecs(stream.videoCodec, stream.audioCodec));
      row.set("bitrate", format.bitrate(stream.bitrateKbps));
      row.set("pushes", format.count(stream.plays ? null : this.pushesOf(stream.name)));
      row.set("age", age(stream.createdAt));
      row.part("push").classList.toggle("absent", stream.plays);
      row.part("push").setAttribute("aria-label", t("Push the stream {name}", { name: format.inSentence(stream.name) }));
      row.part("stop").setAttribute("aria-label", stream.plays ? t("Stop playing {name}", { name: stream.name }) : t("Stop the stream {name}", { name: stream.name }));
    };
  }

  private sessionRow(row: Row, id: string, handlers: ConsoleHandlers): (session: SessionInfo) => void {
    let where = "";
    row.part("stop").addEventListener("click", () => handlers.endSession(id, {
      title: t("End the session of {who}?", { who: format.inSentence(where) }),
      text: t("The streams that it publishes and plays end with it."),
      action: t("End the session"),
    }));
    return (session) => {
      where = session.address || session.id;
      row.root.dataset["status"] = session.connected ? "PUBLISHING" : "HOLDING";
      row.set("state", session.connected ? t("Connected") : t("Away"));
      row.set("address", where);
      row.set("origin", session.origin || session.app);
      row.set("streams", sessionStreams(session));
      row.set("age", age(session.createdAt));
      row.part("stop").setAttribute("aria-label", t("End the session of {who}", { who: where }));
    };
  }
}

function streamQuestion(stream: StreamInfo, pushes: number): Question {
  const name = format.inSentence(stream.name);
  if (stream.plays) {
    return { title: t("Stop playing “{name}”?", { name }), text: t("This viewer is cut off. The stream and its other viewers go on."), action: t("Stop playing") };
  }
  return { title: t("Stop the stream “{name}”?", { name }), text: cutOff(pushes), action: t("Stop the stream") };
}

function cutOff(pushes: number): string {
  switch (pushes) {
    case 0: return t("Its publisher is cut off.");
    case 1: return t("Its publisher is cut off, and with it 1 push.");
    default: return t("Its publisher is cut off, and with it {n} pushes.", { n: pushes });
  }
}

function sessionStreams({ players, publishers }: SessionInfo): string {
  return publishers === 1 ? t("1 stream in, {players} out", { players }) : t("{n} streams in, {players} out", { n: publishers, players });
}

function nodeState(state: string): string {
  switch (state) {
    case "full": return t("Full");
    case "draining": return t("Draining");
    default: return t("Ready");
  }
}

/** How long streams may go on at a server that is taken out. */
export const drainMs = 3_600_000;

function nodeRow(row: Row, id: string, handlers: ConsoleHandlers): (node: NodeInfo) => void {
  let shown: NodeInfo | null = null;
  const name = format.inSentence(id);
  row.part("drain").addEventListener("click", () => handlers.drain(id, {
    title: t("Take the server “{name}” out?", { name }),
    text: drainWords(shown?.streams ?? 0),
    action: t("Take it out"),
  }));
  row.part("resume").addEventListener("click", () => handlers.resume(id, {
    title: t("Let the server “{name}” go on?", { name }),
    text: t("It takes new streams again, and does not stop."),
    action: t("Let it go on"),
  }));
  row.part("drain").setAttribute("aria-label", t("Take out the server {name}", { name }));
  row.part("resume").setAttribute("aria-label", t("Go on with the server {name}", { name }));
  return (node) => {
    shown = node;
    const draining = node.state === "draining";
    row.root.dataset["status"] = node.state === "ready" ? "PUBLISHING" : "HOLDING";
    row.set("state", nodeState(node.state));
    row.set("name", node.id);
    row.set("version", node.self ? t("{version}, this server", { version: node.version }) : node.version);
    row.set("cores", node.coresAllowed > 0 ? t("{some} of {all}", { some: cores(node.cores), all: cores(node.coresAllowed) }) : cores(node.cores));
    row.set("streams", format.count(node.streams));
    row.set("pushes", format.count(node.pushes));
    row.set("players", format.count(node.players));
    row.set("age", age(node.startedAt));
    row.part("drain").hidden = draining;
    row.part("resume").hidden = !draining;
  };
}

function drainWords(streams: number): string {
  switch (streams) {
    case 0: return t("It takes no new streams, and stops when nothing is left to do, which is at once. That can be taken back until then.");
    case 1: return t("It takes no new streams, and stops when its only stream has ended, at the latest in an hour. That can be taken back until then.");
    default: return t("It takes no new streams, and stops when the last of its {n} streams has ended, at the latest in an hour. That can be taken back until then.", { n: streams });
  }
}

function cores(n: number): string {
  return n.toLocaleString(locale, { minimumFractionDigits: 2, maximumFractionDigits: 2 });
}

function age(since: number | null): string {
  return since === null || since === 0 ? "–" : format.clock(serverNow() - since);
}
