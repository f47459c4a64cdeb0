// The studio: one stream from this browser to many destinations. This file connects the view with the parts that do the work.

import { sleep } from "../sdk/src/backoff.ts";
import { randomId } from "../sdk/src/id.ts";
import { isLive, listDevices } from "../sdk/src/media.ts";
import type { PushOptions, PushRequest } from "../sdk/src/rest.ts";
import { showAccount } from "./account.ts";
import { destinationOf, nameOf, nameProblem, pushRequest, randomName, type Destination, type Saved } from "./address.ts";
import { Awake } from "./awake.ts";
import { beep } from "./beep.ts";
import { Broadcast } from "./broadcast.ts";
import { Capture } from "./capture.ts";
import { checkDestination, type CheckStep } from "./check.ts";
import { loadConfig, type Config } from "./config.ts";
import { pictureRequest } from "./destination-picture.ts";
import type { DestinationView } from "./destination-view.ts";
import { element } from "./dom.ts";
import { obstacle, permitted, type Choice, type Kind, type Quality } from "./devices.ts";
import { asFailure, Failure } from "./failure.ts";
import { patienceMs } from "./http.ts";
import { HealthMeter } from "./health.ts";
import { HistoryView } from "./history-view.ts";
import { offerLanguages, t } from "./language.ts";
import { LevelMeter } from "./level-meter.ts";
import { beeps, hotKeys, keep, kept, recall, remember, rememberBeeps, rememberLive, slate } from "./memory.ts";
import type { Sounding } from "./media-board.ts";
import type { Arrival } from "./monitor-view.ts";
import { askPass } from "./pass.ts";
import { hint, MicrophoneView } from "./microphone.ts";
import { PictureProbe } from "./picture-probe.ts";
import { Fold, Piece } from "./piece.ts";
import { PushClient, type PushInfo } from "./push-client.ts";
import { followPushes } from "./push-events.ts";
import { ending, initialPush, isWaiting, sameButNumbers, type PushState } from "./push-state.ts";
import type { Sending } from "./quality.ts";
import { QualityView } from "./quality-view.ts";
import { RecordView } from "./record-view.ts";
import { asList, Fields, Rest } from "./rest.ts";
import { may, Sessions, type Session } from "./session.ts";
import { SignIn } from "./sign-in.ts";
import { recallDevices, recallMuted, rememberDevices, rememberMuted } from "./source-memory.ts";
import { Sources } from "./sources.ts";
import type { Speed } from "./speed-test.ts";
import { initialStream } from "./stream-state.ts";
import { summarize } from "./summary.ts";
import { askTicket, given, type Ticket } from "./ticket.ts";
import { View, type InUse, type Inputs } from "./view.ts";
import { Watchdog, type Observation, type Warning } from "./warnings.ts";
import { explain, lostWords, qualityWords } from "./words.ts";

/** A destination on the page, and the state of its push. */
interface Entry {
  view: DestinationView;
  state: PushState;
}

/** The level of the sound is shown so often. More would cost as much as sending the stream, because the browser paints the page each time. */
const tickMs = 100;

/** All else that changes with time is shown together, so often, for the same reason. */
const beatMs = 500;

const healthMs = 1000;

/** A token to watch what arrives begins sessions for so long; each session asks for a new one. */
const passS = 60;

/** After a reload, the server may take so long to see that the stream has left. */
const leaveMs = 3000;

let meter: LevelMeter | null = null;
let config: Config | null = null;
let stream = initialStream;
let nextKey = 1;
let usualKey = 0; // of the destination that the page has proposed; 0: none
const entries = new Map<number, Entry>();
let expected = ""; // the show of the link that opened the page, until it was found
const shown = new Set<string>(); // the ids of all destinations that this page has ever shown
const health = new HealthMeter();

let me: Session | null = null; // null: nobody has signed in
let keptOptions = new Map<string, PushOptions | undefined>(); // of the destinations that the server keeps, by their names; undefined: it does not tell them

const rest = new Rest();
const client = new PushClient(rest);
const sessions = new Sessions(rest, () => void meet());
const signIn = new SignIn(sessions, t("This server takes streams only from people that it knows."), () => {
  view.showToken(false);
  void meet();
});
const view = new View({
  open: () => void openCamera().catch(showDeviceFailure),
  start,
  stop: () => void broadcast.stop(),
  token: useToken,
  add: () => addDestination({ kind: "server", address: "", key: "" }).focus(),
  pick: (kind) => {
    sources.pick();
    if (!view.inputs.sound) {
      rememberDevices(view.inputs, true); // at once: after a reload, nobody should be heard by surprise
    }
    void pick().then(() => rememberDevices(view.inputs, kind !== "quality")).catch(showDeviceFailure);
  },
  mute,
  beep: (wanted) => {
    rememberBeeps(wanted);
    if (wanted) {
      beep(); // so that people know what they will hear
    }
  },
});

let sent: Quality | null = null; // the quality of the show
let speedTest = new AbortController();
const quality = new QualityView({
  changed: () => void pick().catch(showDeviceFailure),
  test: measureUpload,
});
const past = new HistoryView();
const footage = new RecordView();
const pieces = {
  film: new Piece(() => import("./film-view.ts")),
  media: new Piece(() => import("./media-board.ts")),
  monitor: new Piece(() => import("./monitor-view.ts")),
  share: new Piece(() => import("./share-view.ts")),
  speed: new Piece(() => import("./speed-test.ts")),
};
const media = new Fold("media", async () => {
  const { MediaBoard } = await pieces.media.get();
  const board = new MediaBoard(rest, { play: playToAll, failed: askLogin });
  board.follow(sounding());
  return board;
});
const film = new Fold("film", async () => {
  const { FilmView } = await pieces.film.get();
  return new FilmView({
    show: (stream, sound, alone) => sources.play(stream, sound, alone),
    hide: (stream, by) => sources.stopPlaying(stream, by === "end"),
    alone: (alone) => sources.playAlone(alone),
  }, sources.stage.audio);
});
const share = new Fold("share", async () => {
  const { ShareView } = await pieces.share.get();
  return new ShareView(rest, () => ({
    name: view.inputs.name, destinations: ordered().map(([, entry]) => entry.view).filter((one) => one.on).map((one) => one.destination),
    me, httpsPort: config?.httpsPort ?? 0,
  }));
});
const monitor = new Fold("arrives", async () => {
  const { MonitorView } = await pieces.monitor.get();
  return new MonitorView(arrivals, async (name) => view.inputs.token || (may(me, "control") ? askPass(rest, name, passS) : ""),
    async () => (stream.phase === "sending" ? broadcast.stats() : null));
});
const awake = new Awake();
const watchdog = new Watchdog();
const probe = new PictureProbe(view.video);
let warned = new Set<string>();
let beatAt = 0; // ms, as performance.now tells it
let healthAt = 0;
let looking = false; // for devices
let missed: Kind[] = []; // the devices that were lost when this was last noted
const stale = new Set<Entry>(); // their pushes have other numbers than are shown

const capture = new Capture({
  changed: showStream,
  use: (kind, track) => sources.take(kind, track),
  lost: () => {
    void sources.lost().then(() => {
      showStream();
      showLost();
    });
    noteDevices();
    void showDevices().catch(() => undefined);
  },
});

const microphone = new MicrophoneView({
  processing: () => void pick().catch((error: unknown) => {
    showDeviceFailure(error);
    microphone.show(capture.processing ?? microphone.processing);
  }),
  volume: (factor) => sources.setVolume(factor),
  monitor: (wanted) => meter?.monitor(wanted),
});

const sources = new Sources({
  changed: showStream,
  use: (track) => broadcast.replaceTrack(track),
  open: () => {
    view.showDeviceProblem(null); // it was about other devices
    return pick();
  },
  name: () => view.inputs.name,
});
sources.stage.wishes.volume = microphone.volume;

const broadcast = new Broadcast(client, (follower, signal) => followPushes(rest, follower, signal), {
  stream: (state) => {
    if ((state.phase === "idle") !== (stream.phase === "idle")) {
      rememberLive(state.phase !== "idle");
    }
    stream = state;
    past.follow(state, view.inputs.name);
    quality.follow(state.phase);
    footage.follow(state.phase, view.inputs.name);
    awake.keep(isRunning());
    if (!isRunning()) {
      sources.end();
    }
    askLogin(state.failure);
    askLogin(state.away);
    if (state.locked) {
      askWho(false);
    }
    render();
  },
  push: (key, state) => {
    const entry = entries.get(key);
    if (entry) {
      const before = entry.state;
      entry.state = state;
      if (sameButNumbers(before, state)) {
        stale.add(entry);
        return;
      }
      stale.delete(entry); // its destination may soon be gone from the page
      past.happenings.push(key, entry.view.name, state);
      entry.view.render(state);
      askLogin(state.failure);
      render();
    }
  },
  found: (push) => [...entries].find(([, { state, view: { saved } }]) => state.phase === "idle" && matches(saved, push))?.[0] ?? addDestination(destinationOf(push)).key,
});

/** Whether a push goes to this destination. */
function matches(to: Saved, push: PushInfo): boolean {
  return pushRequest("", to).rtmpUrl === push.rtmpUrl;
}

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
    view.maySave = may(me, "admin");
    view.offer(may(me, "push") || may(me, "control") ? await findDestinations() : []);
    proposeNamed();
    media.view?.meet();
    await joinExpected();
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

/** Whoever is no administrator may push to what the server keeps, and often to nothing else: that takes the place of the address that nobody has entered. */
function proposeNamed(): void {
  const entry = entries.get(usualKey);
  const [first] = view.offered;
  if (entry && me && !may(me, "admin") && first !== undefined && stream.phase === "idle" && isUsual(entry.view.destination)) {
    entry.view.fill({ kind: "named", address: first, key: "" }, { ...entry.view.saved, keep: false });
    view.arrange();
  }
}

function isUsual({ address, kind }: Destination): boolean {
  return kind === "server" && address === usualAddress();
}

/** The address of our own RTMP port, for the machine of the server; "" if it has none. */
function usualAddress(): string {
  return (config?.rtmpPort ?? 0) === 0 ? "" : `rtmp://localhost:${config?.rtmpPort}/live`;
}

/** The names of the destinations that the server keeps. A server that cannot list them has none for this page. */
async function findDestinations(): Promise<string[]> {
  const found = asList(await rest.search("/destination/find_all", {}).catch(() => [])).map((one) => new Fields(one));
  const none = may(me, "admin") ? {} : undefined;
  keptOptions = new Map(found.map((one) => [one.text("name"), (one.value("options") as PushOptions | undefined) ?? none]));
  return found.map((one) => one.text("name")).filter((name) => name !== "");
}

/**
 * The request for a push that waits while the stream is away. The options of a request replace those of a destination that the server keeps, so
 * without knowing these, the page gives none.
 */
function startRequest(name: string, to: Saved): PushRequest {
  const options = to.kind === "named" ? keptOptions.get(to.address) : {};
  const { options: fit, ...size } = pictureRequest(to.picture);
  const ends = options?.onSourceLoss === "end";
  return { ...pushRequest(name, to), ...size, ...((options || fit) && { options: { ...(!ends && holding()), ...options, ...fit } }) };
}

/** The options of a push that waits while the stream is away. Viewers see the picture that the user has chosen. */
function holding(): PushOptions {
  const picture = slate();
  return { onSourceLoss: "hold", ...(picture !== "" && { slate: picture }) };
}

function render(): void {
  const parts = [...entries.values()].filter(({ state }) => state !== initialPush);
  view.render(stream, summarize(stream, parts.map((entry) => ({ name: entry.view.name, state: entry.state }))));
  media.view?.follow(sounding());
}

/** What the show does with sounds at present. */
function sounding(): Sounding {
  const live = [...entries.values()].filter(({ state }) => state.phase === "live");
  return { live: live.length > 0, playing: live.flatMap(({ state }) => state.push?.soundFile || []) };
}

function showStream(): void {
  const media = sources.stage.stream;
  view.showStream(media, !sources.stage.complete, capture.stream?.getAudioTracks().some(isLive) ?? false);
  footage.use(media, quality.chosen);
  film.view?.follow(sources.stage.wishes.screen);
  const [track] = media.getAudioTracks();
  if (track !== meter?.track) {
    meter?.close();
    meter = track ? new LevelMeter(track, (level) => view.showLevel(level)) : null;
    meter?.monitor(microphone.monitored);
  }
}

/** Opens the devices that are picked in the lists. Then the lists show the devices in use, which may be others. */
async function openDevices(): Promise<MediaStream> {
  try {
    const { quality } = await openChosen();
    view.showDeviceProblem(null);
    noteDevices();
    return await sources.prepare(quality, isRunning());
  } finally {
    await showDevices().catch(() => undefined); // if the devices could not be opened, listing them may be forbidden as well
  }
}

async function openChosen(): Promise<Choice> {
  if (!capture.stream) {
    await pickAsBefore();
  }
  const chosen = choice(view.inputs);
  await capture.open(chosen);
  return chosen;
}

/** Picks the devices that were used before a reload, or picked on another day. */
async function pickAsBefore(): Promise<void> {
  const before = recallDevices();
  if (before) {
    await showDevices().catch(() => undefined);
    view.pickDevices(before);
  }
}

function mute(muted: boolean): void {
  rememberMuted(muted);
  capture.mute(muted);
}

/** Opens the devices by the button on the cover, the camera above all. */
async function openCamera(): Promise<void> {
  await sources.wantCamera();
  await openDevices();
}

/** A show runs: something is sent, or is about to be. */
function isRunning(): boolean {
  return stream.phase !== "idle" && stream.phase !== "waiting";
}

function showDeviceFailure(error: unknown): void {
  const failure = asFailure(error, "device_failed");
  const port = config?.httpsPort ?? 0;
  const link = failure.reason === "insecure_origin" && port !== 0
    ? { text: t("Open this page by https"), href: `https://${location.hostname}:${port}/` } : undefined;
  view.showDeviceProblem(explain(failure), capture.lost.length > 0 ? tryAgain : link);
}

function choice(inputs: Inputs): Choice {
  return { camera: inputs.camera, microphone: inputs.microphone, sound: inputs.sound, processing: microphone.processing, quality: quality.chosen, ...sources.choice };
}

async function showDevices(): Promise<void> {
  const { audio, video } = await listDevices();
  capture.compare(new Set([...audio, ...video].map(({ id }) => id)));
  const one = ([track]: MediaStreamTrack[] = []): InUse | undefined => track && { id: track.getSettings().deviceId ?? "", label: track.label };
  const used = capture.stream;
  view.showDevices(video, audio, { camera: one(used?.getVideoTracks()), microphone: one(used?.getAudioTracks()) });
  if (used) {
    rememberDevices(view.inputs, false);
  }
}

const tryAgain = { text: t("Try again"), run: () => void pick().catch(showDeviceFailure) };

/** Says which devices have gone, if any have. */
function showLost(): void {
  if (capture.lost.length === 0) {
    return;
  }
  view.showDeviceProblem(lostWords(capture.lost, isRunning(), sources.stage.areas.length === 0), tryAgain);
}

/** Notes in the show which devices have gone, and that there are others or the same again. */
function noteDevices(): void {
  const { lost } = capture;
  const camera = lost.includes("video");
  const microphone = lost.includes("audio");
  if (isRunning() && camera !== missed.includes("video")) {
    past.happenings.note(camera ? t("The camera is gone.") : t("There is a camera again."));
  }
  if (isRunning() && microphone !== missed.includes("audio")) {
    past.happenings.note(microphone ? t("The microphone is gone.") : t("There is a microphone again."));
  }
  missed = lost;
}

/** Looks which devices there are. Those that had gone and are back are opened again, if the browser does not ask for permission then. */
async function lookForDevices(): Promise<void> {
  if (looking) {
    return;
  }
  looking = true;
  try {
    await showDevices();
    if (capture.retry() && (await permitted(capture.lost))) {
      await openDevices();
    }
  } catch {
    showLost(); // it may be in use by another program, or need a moment
  } finally {
    looking = false;
  }
}

/** Another device or quality was picked. While nothing is open, it takes effect with the next Start. */
async function pick(): Promise<void> {
  if (capture.stream || stream.phase !== "idle") {
    footage.prepare(quality.chosen);
    await openDevices().finally(() => footage.use(sources.stage.stream, quality.chosen));
    if (stream.phase !== "idle") {
      await broadcast.changeQuality(sending());
      if (sent !== quality.chosen) {
        past.happenings.note(qualityWords(quality.chosen));
        sent = quality.chosen;
      }
    }
  }
}

/** How the stream is sent. */
function sending(): Sending {
  return { ...quality.sending, stereo: hint(microphone.processing) === "music" };
}

/** keep: the browser keeps it. */
function addDestination(to: Destination & Partial<Saved>, keep = false, after: DestinationView | null = null): DestinationView {
  const key = nextKey++;
  const id = to.id ?? randomId();
  shown.add(id);
  const destination = view.addDestination(key, id, {
    start: () => startDestination(key),
    stop: () => void broadcast.stopPush(key),
    remove: () => removeDestination(key),
    check: (card) => void check(key, card),
    mute: (muted) => change(key, (client, id) => client.mute(id, muted)),
    sound: (file) => change(key, (client, id) => (file ? client.soundOn(id, file.name, file.loop) : client.soundOff(id))),
    changed: () => {
      view.arrange();
      store();
    },
    move: (by) => {
      view.moveDestination(key, by);
      store();
    },
    duplicate: () => {
      const { id: _, ...copy } = destination.saved;
      addDestination({ ...copy, name: "" }, destination.kept !== null, destination).focus();
      store();
    },
    save: (name) => saveOnServer(destination, name),
  }, after);
  destination.fill(to, { ...to, keep });
  entries.set(key, { view: destination, state: initialPush });
  view.arrange();
  return destination;
}

/** Stores a destination on the server. From then on the page knows only its name. */
async function saveOnServer(destination: DestinationView, name: string): Promise<void> {
  const { rtmpUrl, rtmpTransponderFullUrl } = pushRequest("", destination.destination);
  const wrong = destination.check();
  if (wrong) {
    wrong.focus();
    return;
  }
  await rest.order("/destination/create", { name, streams: ["*"], rtmpUrl, rtmpTransponderFullUrl, ...(slate() !== "" && { options: holding() }) }, patienceMs.slow);
  view.offer(await findDestinations());
  destination.fill({ kind: "named", address: name, key: "" }, { ...destination.saved, keep: destination.kept !== null });
  view.arrange();
  store();
  destination.focus();
}

function removeDestination(key: number): void {
  entries.delete(key);
  past.remove(key);
  view.removeDestination(key);
  store();
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
  const asked = (): boolean => JSON.stringify(entry.view.destination) === JSON.stringify(to);
  const heard = (step: CheckStep): void => {
    if (asked()) {
      entry.view.showStep(step);
    }
  };
  const result = await checkDestination(rest, pushRequest(nameProblem(name) === "" ? name : "", to), card, heard).catch(asFailure);
  askLogin("steps" in result ? null : result);
  entry.view.showCheck(asked() ? result : null);
}

/** The destinations in the order in which they are shown, with their numbers. */
function ordered(): [key: number, entry: Entry][] {
  return view.order.flatMap((key) => {
    const entry = entries.get(key);
    return entry ? [[key, entry] as [number, Entry]] : [];
  });
}

/** Stores in the browser what the user wants to be kept there, and nothing else. */
function store(): void {
  keep(ordered().map(([, entry]) => entry.view.kept).filter((one) => one !== null), shown);
}

/** Keeps in this tab what a reload of the page brings back. */
function rememberFields(): void {
  const { name, quality } = view.inputs;
  const all = ordered().map(([, entry]) => entry.view);
  remember({ name, quality, live: false, order: all.map(({ saved }) => saved.id), destinations: all.filter((one) => one.kept === null).map((one) => one.saved) });
}

/** Plays a sound at all destinations that get the stream; null ends the sounds that play. What fails is said at its destination. */
function playToAll(name: string | null): void {
  for (const [key, { state }] of entries) {
    if (state.phase === "live" && (name !== null || state.push?.soundFile)) {
      change(key, (client, id) => (name === null ? client.soundOff(id) : client.soundOn(id, name, false)));
    }
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
async function ticket(name: string, token: string, takeOver = false): Promise<Ticket> {
  if (token !== "") {
    return given(token);
  }
  if (!me) {
    throw new Failure("unauthorized");
  }
  // Whoever may not make tokens can publish only where WHIP asks nobody for one.
  return may(me, "control") ? askTicket(rest, name, me.kind === "user" ? "" : "studio", takeOver) : given("");
}

/** Measures the upload to the server, until a show begins. */
async function measureUpload(onProgress: (share: number) => void): Promise<Speed> {
  const { name, token } = view.inputs;
  rest.token = token;
  speedTest = new AbortController();
  try {
    const { testUpload } = await pieces.speed.get();
    return await testUpload(nameProblem(name) === "" ? name : "test", (own) => ticket(own, token), onProgress, speedTest.signal);
  } catch (error) {
    askLogin(asFailure(error));
    throw error;
  }
}

function start(): void {
  const inputs = view.inputs;
  const goesOn = stream.phase === "waiting";
  const takeOver = stream.elsewhere;
  if (!goesOn && !view.showProblems(nameProblem(inputs.name))) {
    return;
  }
  rest.token = inputs.token;
  if (!goesOn) {
    for (const entry of entries.values()) {
      entry.state = initialPush;
      entry.view.render(initialPush);
    }
    store();
    rememberFields();
  }
  speedTest.abort();
  sent = quality.chosen;
  view.begin();
  health.reset();
  broadcast.start({
    open: openDevices,
    name: inputs.name,
    scale: (track) => sources.stage.scale(track),
    takeOver,
    ticket: () => ticket(inputs.name, inputs.token, takeOver),
    ...sending(),
    pushes: new Map(goesOn ? [] : ordered().filter(([, entry]) => entry.view.on)
      .map(([key, entry]) => [key, startRequest(inputs.name, entry.view.saved)])),
  });
}

/** Starts a push of the running stream to one more destination. */
function startDestination(key: number): void {
  const entry = entries.get(key);
  entry?.view.turnOn();
  const wrong = entry?.view.check();
  if (!entry || wrong) {
    wrong?.focus();
    return;
  }
  store();
  void broadcast.startPush(key, startRequest(view.inputs.name, entry.view.saved));
}

/** The streams of the show that this server has: the stream itself, and what gets back to its own RTMP port. */
function arrivals(): Arrival[] {
  const here = location.hostname.replace(/[^a-z0-9-]/g, "\\$&"); // by the name or address by which this page was opened
  const ours = new RegExp(`^rtmp://(localhost|127\\.0\\.0\\.1|\\[::1\\]|${here})${config?.rtmpPort === 1935 ? "(:1935)?" : `:${config?.rtmpPort}`}/`);
  const back = [...entries.values()].flatMap(({ state: { phase, push }, view: { name } }) => (
    phase === "live" && push && !push.secretName && ours.test(push.rtmpUrl) ? [{ name: push.streamName, label: t("At {name}", { name }) }] : []));
  return [{ name: view.inputs.name, label: t("The stream itself") }, ...back];
}

function tick(): void {
  if (performance.now() - beatAt > beatMs - tickMs / 2) {
    beatAt = performance.now();
    void beat();
  } else if (!document.hidden) {
    meter?.read();
  }
}

/** Shows all numbers that have changed, at once: the browser lays out and paints the page each time. */
async function beat(): Promise<void> {
  try {
    if (beatAt - healthAt > healthMs - beatMs / 2) {
      healthAt = beatAt;
      share.view?.render();
      monitor.view?.render();
      if (capture.lost.length > 0) {
        void lookForDevices(); // browsers do not tell of each device that comes
      }
      await readHealth();
    }
  } finally {
    if (stale.size > 0) {
      stale.forEach((entry) => entry.view.render(entry.state));
      stale.clear();
      render();
    }
    view.beat();
    past.showTime();
    if (!document.hidden) {
      meter?.read();
    }
  }
}

async function readHealth(): Promise<void> {
  const stats = await broadcast.stats();
  const report = stream.phase === "sending" ? stats : null;
  const interval = [...entries.values()].map(({ state }) => (state.phase === "live" ? state.push?.keyIntervalMs : null));
  const reasons = [...entries.values()].map(({ state }) => (state.phase === "live" ? (state.push?.reason ?? "") : ""));
  const missing = reasons.find((reason) => reason.startsWith("source_")) ?? null;
  const measured = report ? health.read(report.values()) : null;
  const pictures = report && await probe.read(sources.areas);
  const warnings = warn(stream.phase !== "sending" ? null : {
    at: Date.now(), picture: pictures?.camera ?? null, screen: pictures?.screen ?? null,
    peak: capture.lost.includes("audio") ? null : meter?.peak ?? null, muted: meter !== null && view.muted, health: measured,
    wantedKbps: quality.chosen.maxBitrateKbps, missing,
    destinations: [...entries.values()].map((entry) => ({ name: entry.view.name, state: entry.state })), recording: footage.failure,
  });
  past.read(Date.now(), measured, [...entries].map(([key, { state, view: { name } }]) => ({ key, name, state })), warnings);
  view.showHealth(measured, (report && !stream.silent && interval.find((ms) => (ms ?? 0) > 0)) || null, missing, warnings.some(({ upload }) => upload));
}

/** Shows the warnings of a running show; null: nothing is sent. A warning that is new makes a sound, if the user wants that. */
function warn(now: Observation | null): Warning[] {
  if (!now) {
    watchdog.reset();
  }
  const warnings = now ? watchdog.read(now) : [];
  view.showWarnings(warnings);
  if (warnings.some(({ code }) => !warned.has(code)) && beeps()) {
    beep();
  }
  warned = new Set(warnings.map(({ code }) => code));
  return warnings;
}

/** Fills the fields with the values from before a reload, or with values that work on this server. */
async function begin(): Promise<void> {
  element("media", HTMLDetailsElement).open = hotKeys(); // keys must not play what nobody sees
  const memory = recall();
  const proposal = location.search === "" ? null : await findProposal();
  history.replaceState(history.state, "", location.pathname); // after a reload, it is not proposed again
  config = await loadConfig();
  signIn.httpsPort = config.httpsPort;
  view.namePrefix = config.namePrefix;
  view.fill({ name: (memory?.live ? "" : proposal?.name) || (memory?.name ?? randomName()), quality: memory?.quality ?? "720p" });
  quality.follow(stream.phase);
  await meet();
  const left = memory?.live ? await findLeft(memory.name) : await findPushes(proposal?.name ?? "");
  const usual: Destination = { kind: "server", address: usualAddress(), key: "" };
  const stored = kept();
  const place = (id: string): number => (memory?.order ?? []).indexOf(id) >>> 0; // those that are not in the order come last
  const all = [...(memory?.destinations ?? []).map((to) => ({ to, keep: false })), ...stored.map((to) => ({ to, keep: true }))]
    .sort((a, b) => place(a.to.id) - place(b.to.id));
  const found = new Map(left.map((push) => {
    const one = all.find((known) => known.to.on && matches(known.to, push));
    return [addDestination(one?.to ?? destinationOf(push), one?.keep).key, push];
  }));
  const names = new Set([...entries.values()].map((entry) => entry.view.name));
  for (const { to, keep: keeps } of all) {
    const lost = to.kind === "named" ? !view.offered.includes(to.address) : to.kind === "server" && to.address === "";
    if (!shown.has(to.id) && (keeps || !names.has(nameOf(to)))) {
      addDestination(lost && !keeps ? { ...usual, on: to.on, name: to.name } : to, keeps);
    }
  }
  if (entries.size === 0) {
    usualKey = addDestination(usual).key;
    proposeNamed();
  }
  view.showVersion(config.version);
  offerLanguages(() => {
    const idle = stream.phase === "idle";
    if (idle) {
      rememberFields();
    }
    return idle;
  });
  view.showBeep(beeps());
  if (found.size > 0) {
    join(found);
  } else if (memory?.live) {
    rememberLive(false);
    broadcast.report(new Failure("publish_ended"));
  } else {
    expected = proposal?.name ?? "";
  }
  if (proposal && stream.phase === "idle") {
    void proposal.ask().then((wanted) => wanted.forEach((to) => addDestination(to)));
  }
  setInterval(tick, tickMs);
  if (recallMuted()) {
    view.showMuted(true);
    capture.mute(true);
  }
  const blocked = obstacle();
  if (blocked) {
    showDeviceFailure(blocked);
    return;
  }
  navigator.mediaDevices.addEventListener("devicechange", () => void lookForDevices());
  if (await permitted()) {
    await openDevices();
  }
}

/** What the link that opened the page proposes. */
async function findProposal(): Promise<{ name: string; ask: () => Promise<Destination[]> } | null> {
  try {
    const { leftOutOf, proposalIn, propose } = await pieces.share.get();
    const proposal = proposalIn(location.search) ?? { name: "", destinations: [] };
    const leftOut = leftOutOf(location.search);
    return { name: proposal.name, ask: () => propose(proposal, leftOut) };
  } catch (error) {
    broadcast.report(asFailure(error));
    return null;
  }
}

/** The pushes of a show whose page was left. If they do not wait for it after a while, somebody else sends it. */
async function findLeft(name: string): Promise<PushInfo[]> {
  for (const deadline = Date.now() + leaveMs; ; await sleep(200)) {
    const found = await findPushes(name);
    if (found.length === 0 || found.some(({ status }) => isWaiting(status)) || Date.now() > deadline) {
      return found;
    }
  }
}

/** The running pushes of a stream; none if the person at the page may not know them. */
async function findPushes(name: string): Promise<PushInfo[]> {
  const found = name === "" ? [] : await client.find({ streamName: name }).catch(() => []);
  return found.filter((push) => push.sourceName === name && !ending(push));
}

/** Takes up a show that runs. It waits for this page, or another device sends it. */
function join(found: Map<number, PushInfo>): void {
  expected = "";
  if (!recall()?.live) {
    rememberFields();
  }
  element("proposal", HTMLElement).hidden = true;
  broadcast.adopt(view.inputs.name, found, ![...found.values()].some(({ status }) => isWaiting(status)));
  element("status", HTMLElement).scrollIntoView({ block: "nearest" }); // on a phone it lies far below
}

/** Somebody has signed in: now the page may learn that the show of its link runs. */
async function joinExpected(): Promise<void> {
  const found = await findPushes(expected);
  if (found.length > 0 && stream.phase === "idle" && view.inputs.name === expected) {
    join(new Map(found.map((push) => [addDestination(destinationOf(push)).key, push])));
  }
}

window.addEventListener("pageshow", (event) => {
  if (event.persisted && stream.phase !== "idle") {
    location.reload(); // the browser brings back a page that has ended its stream when it was left
  }
});

for (const event of ["online", "offline"]) {
  window.addEventListener(event, () => broadcast.doubt(event === "online"));
}
for (const event of ["visibilitychange", "resume"]) {
  document.addEventListener(event, () => broadcast.doubt());
}

view.video.addEventListener("resize", () => void sources.lost()); // a phone may have been turned

window.addEventListener("beforeunload", (event) => {
  if (isRunning()) {
    event.preventDefault(); // the browser asks whether to leave
  }
});

window.addEventListener("pagehide", () => {
  if (stream.phase !== "idle") {
    broadcast.abandon();
  }
});

begin().catch(showDeviceFailure);
