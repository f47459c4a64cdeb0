import { capture } from "../sdk/src/media.ts";
import { Failure } from "./failure.ts";
import { t } from "./language.ts";
import { constraints, hint, type Processing } from "./microphone.ts";

export interface Quality {
  label: string;
  width: number;
  height: number;
  maxBitrateKbps: number;
  /** Pictures a second. */
  frameRate: number;
}

/** The qualities that people can choose, by the value in the list. */
export const qualities = {
  "360p": { label: t("Low, 360p"), width: 640, height: 360, maxBitrateKbps: 800, frameRate: 30 },
  "480p": { label: t("Medium, 480p"), width: 854, height: 480, maxBitrateKbps: 1500, frameRate: 30 },
  "720p": { label: t("High, 720p"), width: 1280, height: 720, maxBitrateKbps: 2500, frameRate: 30 },
  "1080p": { label: t("Full HD, 1080p"), width: 1920, height: 1080, maxBitrateKbps: 4500, frameRate: 30 },
} as const satisfies Record<string, Quality>;

export type QualityName = keyof typeof qualities;

export type Kind = "video" | "audio";

export interface Choice {
  /** Ids of devices; "" lets the browser choose. */
  camera: string;
  /** Where the camera of a phone looks; "" for any. It counts while no id is given. */
  facing: "" | "user" | "environment";
  microphone: string;
  /** false: sound without a camera. */
  picture: boolean;
  /** false: picture without sound. */
  sound: boolean;
  processing: Processing;
  quality: Quality;
}

/** The reason why this page cannot use a camera at all; null if it can. */
export function obstacle(): Failure | null {
  if (!window.isSecureContext) {
    return new Failure("insecure_origin");
  }
  if (!("mediaDevices" in navigator) || !("RTCPeerConnection" in window)) {
    return new Failure("unsupported_browser");
  }
  return null;
}

/** Opens the chosen devices of these kinds. The browser asks for permission first, unless it was given before. */
export async function open(choice: Choice, kinds: readonly Kind[]): Promise<MediaStreamTrack[]> {
  const blocked = obstacle();
  if (blocked) {
    throw blocked;
  }
  const chosen = (deviceId: string): MediaTrackConstraints => (deviceId === "" ? {} : { deviceId: { exact: deviceId } });
  const camera = choice.camera === "" && choice.facing !== "" ? { facingMode: { ideal: choice.facing } } : chosen(choice.camera);
  const stream = await capture({
    video: kinds.includes("video") && { ...camera, ...picture(choice.quality) },
    audio: kinds.includes("audio") && { ...chosen(choice.microphone), ...constraints(choice.processing) },
  });
  for (const track of stream.getTracks()) {
    track.contentHint = track.kind === "video" ? "motion" : hint(choice.processing);
  }
  return stream.getTracks();
}

/** Opens the chosen device of one kind. */
export async function openOne(choice: Choice, kind: Kind): Promise<MediaStreamTrack> {
  const [track] = await open(choice, [kind]);
  if (!track) {
    throw new Failure("device_failed", "the browser gave no track");
  }
  return track;
}

/** Changes the size and the frame rate of an open camera's picture. A camera that cannot do that stays as it is. */
export async function adapt(camera: MediaStreamTrack, quality: Quality): Promise<void> {
  await camera.applyConstraints(picture(quality)).catch(() => undefined);
}

function picture({ frameRate, height, width }: Quality): MediaTrackConstraints {
  return { width: { ideal: width }, height: { ideal: height }, frameRate: { ideal: frameRate, max: frameRate } };
}

/** True if the browser will open devices of these kinds without asking. A browser that cannot tell counts as one that asks. */
export async function permitted(kinds: readonly Kind[] = ["video", "audio"]): Promise<boolean> {
  try {
    const names = kinds.map((kind) => (kind === "video" ? "camera" : "microphone"));
    const answers = await Promise.all(names.map((name) => navigator.permissions.query({ name: name as PermissionName })));
    return answers.every((answer) => answer.state === "granted");
  } catch {
    return false;
  }
}
