// The studio: one stream from this browser to many destinations. This file connects the view with the parts that do the work.

import { listDevices } from "../sdk/src/media.ts";
import { showAccount } from "./account.ts";
import { nameProblem, pushRequest, randomName, type Destination } from "./address.ts";
import { Broadcast } from "./broadcast.ts";
import { Capture } from "./capture.ts";
import { checkDestination } from "./check.ts";
import { loadConfig, type Config } from "./config.ts";
import type { DestinationView } from "./destination-view.ts";
import { obstacle, permitted, qualities, type Choice } from "./devices.ts";
import { asFailure, Failure } from "./failure.ts";
import { HealthMeter } from "./health.ts";
import { LevelMeter } from "./level-meter.ts";
import { forget, keep, kept, recall, remember, rememberLive } from "./memory.ts";
import { PushClient } from "./push-client.ts";
import { followPushes } from "./push-events.ts";
import { initialPush, type PushState } from "./push-state.ts";
import { asList, Fields, Rest } from "./rest.ts";
import { may, Sessions, type Session } from "./session.ts";
import { SignIn } from "./sign-in.ts";
import { initialStream } from "./stream-state.ts";
import { summarize } from "./summary.ts";
import { askTicket, given, type Ticket } from "./ticket.ts";
import { View, type Inputs } from "./view.ts";
import { explain } from "./words.ts";

/** A destination on the page, and the state of its push. */
interface Entry {
  view: DestinationView;
  state: PushState;
  /** The copy in the browser's storage; null if there is none. */
  stored: Destination | null;
}

const healthMs = 1000;

let meter: LevelMeter | null = null;
let config: Config | null = null;
let stream = initialStream;
let nextKey = 1;
const entries = new Map<number, Entry>();
const health = new HealthMeter();

let me: Session | null = null; // null: nobody has signed in

const rest = new Rest();
const sessions = new Sessions(rest, () => void meet());
const signIn = new SignIn(sessions, "This server takes streams only from people that it knows.", () => {
  view.showToken(false);
  void meet();
});
const view = new View({
  open: () => void openDevices().catch(showDeviceFailure),
  start,
  stop: () => void broadcast.stop(),
  token: useToken,
  add: () => addDestination({ kind: "server", address: "", key: "" }).focus(),
  pick: () => void pick().catch(showDeviceFailure),
  mute: (muted) => capture.mute(muted),
});

const capture = new Capture({
  changed: showStream,
  use: (track) => broadcast.replaceTrack(track),
  lost: (track) => {
    const device = track.kind === "video" ? "camera" : "microphone";
    showStream(capture.stream);
    view.showDeviceProblem({ title: `The ${device} is gone.`, advice: "Plug it in again, or pick another in the list." });
  },
});

const broadcast = new Broadcast(new PushClient(rest), (follower, signal) => followPushes(rest, follower, signal), {
  stream: (state) => {
    stream = state;
    askLogin(state.failure);
    if (state.locked) {
      askWho(false);
    }
    render();
  },
  push: (key, state) => {
    const entry = entries.get(key);
    if (entry) {
      entry.state = state;
      entry.view.render(state);
      askLogin(state.failure);
      render();
    }
  },
});

function askLogin(failure: Failure | null): void {
  if (failure?.reason === "unauthorized") {
    askWho(false);
  }
}

/** Shows how somebody can tell the server who he is. */
function askWho(focus: boolean): void {
  me = null;
  showAccount(null, sessions);
  signIn.ask(focus);
  view.showToken(true);
}

/** Asks the server who is at the page, and what he may use. A broadcast that waits for somebody to sign in goes on. */
async function meet(): Promise<void> {
  try {
    me = await sessions.who();
    signIn.hide();
    view.showToken(me.kind !== "user" && rest.token !== "");
    broadcast.signIn();
    view.offer(may(me, "push") || may(me, "control") ? await findDestinations() : []);
  } catch (error) {
    const failure = asFailure(error);
    if (failure.reason === "unauthorized") {
      askWho(false);
      return;
    }
    broadcast.report(failure);
  }
  showAccount(me, sessions);
}

/** The names of the destinations that the server keeps. A server that cannot list them has none for this page. */
async function findDestinations(): Promise<string[]> {
  const found = await rest.search("/destination/find_all", {}).catch(() => []);
  return asList(found).map((one) => new Fields(one).text("name")).filter((name) => name !== "");
}

function render(): void {
  const parts = [...entries.values()].filter(({ state }) => state !== initialPush);
  view.render(stream, summarize(stream, parts.map((entry) => ({ name: entry.view.name, state: entry.state }))));
}

function showStream(media: MediaStream | null): void {
  view.showStream(media);
  const track = media?.getAudioTracks()[0];
  if (track !== meter?.track) {
    meter?.close();
    meter = track ? new LevelMeter(track, (level) => view.showLevel(level)) : null;
  }
}

/** Opens the devices that are picked in the lists. Then the lists show the devices in use, which may be others. */
async function openDevices(): Promise<MediaStream> {
  try {
    const opened = await capture.open(choice(view.inputs));
    view.showDeviceProblem(null);
    return opened;
  } finally {
    await showDevices().catch(() => undefined); // if the devices could not be opened, listing them may be forbidden as well
  }
}

function showDeviceFailure(error: unknown): void {
  const failure = asFailure(error, "device_failed");
  const port = config?.httpsPort ?? 0;
  const link = failure.reason === "insecure_origin" && port !== 0
    ? { text: "Open this page by https", href: `https://${location.hostname}:${port}/` } : undefined;
  view.showDeviceProblem(explain(failure), link);
}

function choice(inputs: Inputs): Choice {
  return { camera: inputs.camera, microphone: inputs.microphone, sound: inputs.sound, quality: qualities[inputs.quality] };
}

async function showDevices(): Promise<void> {
  const { audio, video } = await listDevices();
  const id = (tracks?: MediaStreamTrack[]): string => tracks?.[0]?.getSettings().deviceId ?? "";
  const used = capture.stream;
  view.showDevices(video, audio, { camera: id(used?.getVideoTracks()), microphone: id(used?.getAudioTracks()) });
}

/** Another device or quality was picked. While nothing is open, it takes effect with the next Start. */
async function pick(): Promise<void> {
  if (capture.stream || stream.phase !== "idle") {
    await openDevices();
  }
}

function addDestination(to: Destination, stored: Destination | null = null): DestinationView {
  const key = nextKey++;
  const destination = view.addDestination(key, {
    start: () => startDestination(key),
    stop: () => void broadcast.stopPush(key),
    remove: () => removeDestination(key),
    check: (card) => void check(key, card),
    mute: (muted) => change(key, (client, id) => client.mute(id, muted)),
    sound: (file) => change(key, (client, id) => (file ? client.soundOn(id, file.name, file.loop) : client.soundOff(id))),
    forget: () => store(key, false),
  });
  destination.fill(to, stored !== null);
  entries.set(key, { view: destination, state: initialPush, stored });
  return destination;
}

function removeDestination(key: number): void {
  store(key, false);
  entries.delete(key);
  view.removeDestination(key);
  render();
}

/** Lets the server check a destination. The answer to a check of an address that was changed meanwhile is not shown. */
async function check(key: number, card: boolean): Promise<void> {
  const entry = entries.get(key);
  const wrong = entry?.view.check();
  if (!entry || wrong) {
    wrong?.focus();
    return;
  }
  const { name, token } = view.inputs;
  rest.token = token;
  entry.view.showChecking();
  const to = entry.view.destination;
  const result = await checkDestination(rest, pushRequest(nameProblem(name) === "" ? name : "", to), card).catch(asFailure);
  askLogin("steps" in result ? null : result);
  entry.view.showCheck(JSON.stringify(entry.view.destination) === JSON.stringify(to) ? result : null);
}

/** Stores the fields of a destination in the browser, or removes them. */
function store(key: number, wanted: boolean): void {
  const entry = entries.get(key);
  if (!entry) {
    return;
  }
  if (entry.stored) {
    forget(entry.stored);
  }
  entry.stored = wanted ? entry.view.destination : null;
  if (entry.stored) {
    keep(entry.stored);
  }
}

function change(key: number, run: (client: PushClient, id: string) => Promise<void>): void {
  const entry = entries.get(key);
  entry?.view.showSoundTrouble(null);
  broadcast.change(key, run).catch((error: unknown) => {
    const failure = asFailure(error);
    askLogin(failure);
    entry?.view.showSoundTrouble(failure);
  });
}

/** Uses the access token in its field for all requests. */
function useToken(): void {
  const { token } = view.inputs;
  if (token !== rest.token) {
    rest.token = token;
    void meet();
  }
}

/** The right to publish the stream. */
async function ticket(name: string, token: string): Promise<Ticket> {
  if (token !== "") {
    return given(token);
  }
  if (!me) {
    throw new Failure("unauthorized");
  }
  // Whoever may not make tokens can publish only where WHIP asks nobody for one.
  return may(me, "control") ? askTicket(rest, name, me.kind === "user" ? "" : "studio") : given("");
}

function start(): void {
  const inputs = view.inputs;
  if (!view.showProblems(nameProblem(inputs.name))) {
    return;
  }
  rest.token = inputs.token;
  for (const [key, entry] of entries) {
    store(key, entry.view.kept);
    entry.state = initialPush;
    entry.view.render(initialPush);
  }
  const open = [...entries.values()].filter((entry) => !entry.stored).map((entry) => entry.view.destination);
  remember({ name: inputs.name, quality: inputs.quality, destinations: open, live: false });
  view.begin();
  health.reset();
  broadcast.start({
    open: openDevices,
    name: inputs.name,
    ticket: () => ticket(inputs.name, inputs.token),
    maxBitrateKbps: qualities[inputs.quality].maxBitrateKbps,
    pushes: new Map([...entries].map(([key, entry]) => [key, pushRequest(inputs.name, entry.view.destination)])),
  });
}

/** Starts a push of the running stream to one more destination. */
function startDestination(key: number): void {
  const entry = entries.get(key);
  const wrong = entry?.view.check();
  if (!entry || wrong) {
    wrong?.focus();
    return;
  }
  store(key, entry.view.kept);
  void broadcast.startPush(key, pushRequest(view.inputs.name, entry.view.destination));
}

async function readHealth(): Promise<void> {
  const stats = await broadcast.stats();
  const report = stream.phase === "sending" ? stats : null;
  const interval = [...entries.values()].map(({ state }) => (state.phase === "live" ? state.push?.keyIntervalMs : null));
  const reasons = [...entries.values()].map(({ state }) => (state.phase === "live" ? (state.push?.reason ?? "") : ""));
  const missing = reasons.find((reason) => reason.startsWith("source_")) ?? null;
  view.showHealth(report ? health.read(report.values()) : null, interval.find((ms) => (ms ?? 0) > 0) ?? null, missing);
}

/** Fills the fields with the values from before a reload, or with values that work on this server. */
async function begin(): Promise<void> {
  const memory = recall();
  config = await loadConfig();
  signIn.httpsPort = config.httpsPort;
  view.namePrefix = config.namePrefix;
  view.fill({ name: memory?.name ?? randomName(), quality: memory?.quality ?? "720p" });
  await meet();
  const stored = kept();
  const address = config.rtmpPort === 0 ? "" : `rtmp://localhost:${config.rtmpPort}/live`;
  const usual: Destination = { kind: "server", address, key: "" };
  for (const to of memory?.destinations ?? []) {
    const lost = to.kind === "named" ? !view.offered.includes(to.address) : to.kind === "server" && to.address === "";
    addDestination(lost ? usual : to);
  }
  for (const to of stored) {
    addDestination(to, to);
  }
  if (entries.size === 0) {
    // Whoever is no administrator may push to what the server keeps, and often to nothing else.
    const [first] = view.offered;
    addDestination(first !== undefined && !may(me, "admin") ? { kind: "named", address: first, key: "" } : usual);
  }
  view.showVersion(config.version);
  if (memory?.live) {
    broadcast.report(new Failure("publish_ended"));
    rememberLive(false);
  }
  setInterval(() => void readHealth(), healthMs);
  const blocked = obstacle();
  if (blocked) {
    showDeviceFailure(blocked);
    return;
  }
  navigator.mediaDevices.addEventListener("devicechange", () => void showDevices());
  if (await permitted()) {
    await openDevices();
  }
}

window.addEventListener("beforeunload", (event) => {
  if (stream.phase !== "idle") {
    event.preventDefault(); // the browser asks whether to leave
  }
});

window.addEventListener("pagehide", () => {
  if (stream.phase !== "idle") {
    rememberLive(true);
    broadcast.abandon();
  }
});

begin().catch(showDeviceFailure);
