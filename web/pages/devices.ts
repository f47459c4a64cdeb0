import { capture } from "../sdk/src/media.ts";
import { Failure } from "./failure.ts";

export interface Quality {
  label: string;
  width: number;
  height: number;
  maxBitrateKbps: number;
}

/** The qualities that people can choose, by the value in the list. */
export const qualities = {
  "360p": { label: "Low, 360p", width: 640, height: 360, maxBitrateKbps: 800 },
  "480p": { label: "Medium, 480p", width: 854, height: 480, maxBitrateKbps: 1500 },
  "720p": { label: "High, 720p", width: 1280, height: 720, maxBitrateKbps: 2500 },
  "1080p": { label: "Full HD, 1080p", width: 1920, height: 1080, maxBitrateKbps: 4500 },
} as const satisfies Record<string, Quality>;

export type QualityName = keyof typeof qualities;

export type Kind = "video" | "audio";

export interface Choice {
  /** Ids of devices; "" lets the browser choose. */
  camera: string;
  microphone: string;
  /** false: picture without sound. */
  sound: boolean;
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
  const stream = await capture({
    video: kinds.includes("video") && { ...chosen(choice.camera), ...picture(choice.quality) },
    audio: kinds.includes("audio") && chosen(choice.microphone),
  });
  for (const track of stream.getTracks()) {
    track.contentHint = track.kind === "video" ? "motion" : "speech";
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

/** Changes the size of an open camera's picture. A camera that cannot do that stays as it is. */
export async function adapt(camera: MediaStreamTrack, quality: Quality): Promise<void> {
  await camera.applyConstraints(picture(quality)).catch(() => undefined);
}

function picture({ height, width }: Quality): MediaTrackConstraints {
  return { width: { ideal: width }, height: { ideal: height }, frameRate: { ideal: 30, max: 30 } };
}

/** True if the browser will open the devices without asking. A browser that cannot tell counts as one that asks. */
export async function permitted(): Promise<boolean> {
  try {
    const names = ["camera", "microphone"] as const;
    const answers = await Promise.all(names.map((name) => navigator.permissions.query({ name: name as PermissionName })));
    return answers.every((answer) => answer.state === "granted");
  } catch {
    return false;
  }
}
