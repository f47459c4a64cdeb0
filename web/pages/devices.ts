import { Failure, message } from "./failure.ts";

export interface Quality {
  label: string;
  width: number;
  height: number;
  maxBitrateKbps: number;
}

/** What people may choose from, by its key in the page. */
export const qualities = {
  "360p": { label: "Low, 360p", width: 640, height: 360, maxBitrateKbps: 800 },
  "480p": { label: "Medium, 480p", width: 854, height: 480, maxBitrateKbps: 1500 },
  "720p": { label: "High, 720p", width: 1280, height: 720, maxBitrateKbps: 2500 },
  "1080p": { label: "Full HD, 1080p", width: 1920, height: 1080, maxBitrateKbps: 4500 },
} as const satisfies Record<string, Quality>;

export type QualityName = keyof typeof qualities;

export type Kind = "video" | "audio";

export interface Choice {
  /** Device ids; "" lets the browser choose. */
  camera: string;
  microphone: string;
  /** Off: pictures without sound. */
  sound: boolean;
  quality: Quality;
}

/** What keeps this page from using a camera at all; null when nothing does. */
export function obstacle(): Failure | null {
  if (!window.isSecureContext) {
    return new Failure("insecure_origin");
  }
  if (!("mediaDevices" in navigator) || !("RTCPeerConnection" in window)) {
    return new Failure("unsupported_browser");
  }
  return null;
}

/** Opens the chosen devices of these kinds; the browser asks for permission where it was not given. */
export async function open(choice: Choice, kinds: readonly Kind[]): Promise<MediaStreamTrack[]> {
  const blocked = obstacle();
  if (blocked) {
    throw blocked;
  }
  const { camera, microphone } = choice;
  try {
    const stream = await navigator.mediaDevices.getUserMedia({
      video: kinds.includes("video") && { ...(camera && { deviceId: { exact: camera } }), ...picture(choice.quality) },
      audio: kinds.includes("audio") && (microphone ? { deviceId: { exact: microphone } } : true),
    });
    for (const track of stream.getTracks()) {
      track.contentHint = track.kind === "video" ? "motion" : "speech";
    }
    return stream.getTracks();
  } catch (error) {
    throw deviceFailure(error);
  }
}

/** Changes the picture of an open camera. A camera that cannot do that goes on as it is. */
export async function adapt(camera: MediaStreamTrack, quality: Quality): Promise<void> {
  await camera.applyConstraints(picture(quality)).catch(() => undefined);
}

function picture({ height, width }: Quality): MediaTrackConstraints {
  return { width: { ideal: width }, height: { ideal: height }, frameRate: { ideal: 30, max: 30 } };
}

/** The devices of one kind. Their names are empty until permission was given. */
export async function list(kind: "videoinput" | "audioinput"): Promise<MediaDeviceInfo[]> {
  const devices = await navigator.mediaDevices.enumerateDevices();
  return devices.filter((device) => device.kind === kind);
}

/** True if the browser will not ask again. Browsers that cannot tell count as not permitted. */
export async function permitted(): Promise<boolean> {
  try {
    const names = ["camera", "microphone"] as const;
    const answers = await Promise.all(names.map((name) => navigator.permissions.query({ name: name as PermissionName })));
    return answers.every((answer) => answer.state === "granted");
  } catch {
    return false;
  }
}

export function stop(tracks: MediaStreamTrack[]): void {
  for (const track of tracks) {
    track.stop();
  }
}

/** Media Capture and Streams, 10.2: why getUserMedia refused. */
function deviceFailure(error: unknown): Failure {
  switch (error instanceof DOMException ? error.name : "") {
    case "NotAllowedError":
    case "SecurityError": return new Failure("permission_denied");
    case "NotFoundError":
    case "OverconstrainedError": return new Failure("no_device");
    case "NotReadableError":
    case "AbortError": return new Failure("device_busy", message(error));
    default: return new Failure("device_failed", message(error));
  }
}
