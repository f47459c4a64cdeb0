import { Failure, message } from "./failure.ts";

/** Whether this browser can share a screen at all. Those of phones cannot. */
export function canShare(): boolean {
  return "mediaDevices" in navigator && "getDisplayMedia" in navigator.mediaDevices;
}

/** The wishes that only Chromium knows. The others ignore them. */
interface DisplayWishes extends DisplayMediaStreamOptions {
  systemAudio?: "include" | "exclude";
  surfaceSwitching?: "include" | "exclude";
}

/** Lets the user pick a screen, a window or a tab, with its sound where the browser can give it. */
export async function share(): Promise<MediaStream> {
  // A shared picture is never larger than the largest quality; what the browser does to voices would spoil music.
  const wishes: DisplayWishes = {
    video: { width: { max: 1920 }, height: { max: 1080 }, frameRate: { ideal: 30, max: 30 } },
    audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false },
    systemAudio: "include",
    surfaceSwitching: "include",
  };
  try {
    return await navigator.mediaDevices.getDisplayMedia(wishes);
  } catch (error) {
    const name = error instanceof DOMException ? error.name : "";
    const words = message(error);
    // The same name stands for somebody who has closed the dialog, and for a system that forbids it. Only the text tells.
    throw new Failure(name === "NotAllowedError" && !/system/i.test(words) ? "screen_refused" : "screen_failed", name === "NotAllowedError" ? "" : words);
  }
}
