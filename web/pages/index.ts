// The page of one broadcast: it wires what people do to the parts that do it.

import { addressProblem, nameProblem, pushRequest, randomName } from "./address.ts";
import { Broadcast } from "./broadcast.ts";
import { Capture } from "./capture.ts";
import { loadConfig, type Config } from "./config.ts";
import { list, obstacle, permitted, qualities, type Choice } from "./devices.ts";
import { Failure } from "./failure.ts";
import { message } from "./http.ts";
import { LevelMeter } from "./level-meter.ts";
import { PushClient } from "./push-client.ts";
import { recall, remember, rememberLive } from "./memory.ts";
import { View, type Inputs } from "./view.ts";
import { explain } from "./words.ts";

let meter: LevelMeter | null = null;
let running = false;
let config: Config | null = null;

const view = new View({
  open: () => void openDevices().catch(showDeviceFailure),
  start,
  stop: () => void broadcast.stop(),
  pick: (kind) => void pick(kind).catch(showDeviceFailure),
  mute: (muted) => capture.mute(muted),
});

const capture = new Capture(showStream, (track) => {
  const device = track.kind === "video" ? "camera" : "microphone";
  view.showDeviceProblem({ title: `The ${device} is gone.`, advice: "Plug it in again, or pick another in the list." });
});

const broadcast = new Broadcast(new PushClient(), (state) => {
  running = state.phase !== "idle";
  view.render(state);
});

function showStream(stream: MediaStream | null): void {
  view.showStream(stream);
  meter?.close();
  const track = stream?.getAudioTracks()[0];
  meter = track ? new LevelMeter(track, (level) => view.showLevel(level)) : null;
}

/** Opens what is picked in the lists. */
async function openDevices(): Promise<MediaStream> {
  const stream = await capture.open(choice(view.inputs));
  view.showDeviceProblem(null);
  await showDevices();
  return stream;
}

function showDeviceFailure(error: unknown): void {
  const failure = error instanceof Failure ? error : new Failure("device_failed", message(error));
  const port = config?.httpsPort ?? 0;
  const link = failure.reason === "insecure_origin" && port !== 0
    ? { text: "Open this page by https", href: `https://${location.hostname}:${port}/` } : undefined;
  view.showDeviceProblem(explain(failure), link);
}

function choice(inputs: Inputs): Choice {
  return { camera: inputs.camera, microphone: inputs.microphone, sound: inputs.sound, quality: qualities[inputs.quality] };
}

async function showDevices(): Promise<void> {
  const [cameras, microphones] = await Promise.all([list("videoinput"), list("audioinput")]);
  const id = (tracks?: MediaStreamTrack[]): string => tracks?.[0]?.getSettings().deviceId ?? "";
  const stream = capture.stream;
  view.showDevices(cameras, microphones, { camera: id(stream?.getVideoTracks()), microphone: id(stream?.getAudioTracks()) });
}

async function pick(kind: "camera" | "microphone" | "quality"): Promise<void> {
  if (!capture.stream && !running) {
    return; // opened with the next Start
  }
  const stream = await openDevices();
  if (running && kind !== "quality") {
    await Promise.all(stream.getTracks().map((track) => broadcast.replaceTrack(track)));
  }
}

function start(): void {
  const inputs = view.inputs;
  const problems = { name: nameProblem(inputs.name), address: addressProblem(inputs.destination.address) };
  if (!view.showProblems(problems)) {
    return;
  }
  remember(inputs);
  view.begin(inputs);
  broadcast.start({
    open: async () => usable(capture.stream) ?? openDevices(),
    push: pushRequest(inputs.name, inputs.destination),
    token: inputs.token,
    maxBitrateKbps: qualities[inputs.quality].maxBitrateKbps,
  });
}

/** The stream, unless a device of it is gone. */
function usable(stream: MediaStream | null): MediaStream | null {
  return stream?.getTracks().every((track) => track.readyState === "live") ? stream : null;
}

/** Fills the page with what was entered before a reload, or with what works on this server. */
async function begin(): Promise<void> {
  const memory = recall();
  config = await loadConfig();
  const address = config.rtmpPort === 0 ? "" : `rtmp://localhost:${config.rtmpPort}/live`;
  view.fill({
    name: memory?.name ?? randomName(),
    address: memory?.address || address,
    platform: memory?.platform ?? false,
    quality: memory?.quality ?? "720p",
  });
  view.showVersion(config.version);
  if (memory?.live) {
    broadcast.report(new Failure("publish_ended"));
    rememberLive(false);
  }
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
  if (running) {
    event.preventDefault(); // the browser asks whether to leave
  }
});

window.addEventListener("pagehide", () => {
  if (running) {
    rememberLive(true);
    broadcast.abandon();
  }
});

begin().catch(showDeviceFailure);
