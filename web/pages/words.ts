import type { Kind, Quality } from "./devices.ts";
import { type Failure, pushFailure, type Reason } from "./failure.ts";
import { bitrate, size } from "./format.ts";
import type { Health } from "./health.ts";
import { sentences, t } from "./language.ts";
import type { Text } from "./languages/en.ts";
import type { StreamPhase } from "./stream-state.ts";
import type { Sight } from "./watcher.ts";

/** A sentence that says what happened, and an advice. */
export interface Words {
  title: string;
  advice: string;
}

/** The same in English, to be translated. */
interface Sentences {
  title: Text;
  advice: Text;
}

function translated({ title, advice }: Sentences): Words {
  return { title: t(title), advice: t(advice) };
}

const words: Record<Reason, Sentences> = {
  insecure_origin: {
    title: "The browser gives the camera only to secure pages.",
    advice: "Open this page by https, or on the server's own machine as http://localhost.",
  },
  unsupported_browser: {
    title: "This browser cannot send video.",
    advice: "Use a current Chrome, Edge, Firefox or Safari.",
  },
  permission_denied: {
    title: "The browser may not use the camera or the microphone.",
    advice: "Allow both for this page, by the icon beside its address or in the system's settings, then try again.",
  },
  no_device: {
    title: "No such camera or microphone is connected.",
    advice: "Plug one in, or pick another in the lists, then try again. Without a camera, press “Turn off camera”; without a microphone, pick “No sound”.",
  },
  device_busy: {
    title: "The camera or the microphone could not be opened.",
    advice: "Another program probably uses it. Close that program, or pick another device, then try again.",
  },
  device_failed: {
    title: "The camera or the microphone could not be opened.",
    advice: "Pick another device, or restart the browser, then try again.",
  },
  screen_refused: {
    title: "No screen is shared.",
    advice: "Press “Share screen” again, pick a screen, a window or a tab, and allow it.",
  },
  screen_failed: {
    title: "The browser could not share the screen.",
    advice: "Allow the browser to record the screen in the system's settings, then press “Share screen” again.",
  },
  mixer_failed: {
    title: "This browser cannot put several pictures together.",
    advice: "Viewers see one of them. Reload the page before the next show, or use a current Chrome, Edge or Firefox.",
  },
  image_unreadable: {
    title: "This file is not an image that the browser can show.",
    advice: "Pick a PNG or JPEG file.",
  },
  file_unplayable: {
    title: "The browser cannot play this file.",
    advice: "Choose an MP4 file with H.264 and AAC, or a WebM file. If it is one, it may be damaged.",
  },
  piece_missing: {
    title: "The server did not give this part of the page.",
    advice: "Check that the server is running and that your network is up, then try again. If it fails each time, the server has other pages now: reload this one after the show.",
  },

  name_in_use: {
    title: "Somebody is already live under this stream name.",
    advice: "Choose another name. If it was you a moment ago, wait a few seconds and start again.",
  },
  takeover_refused: {
    title: "The other device keeps the show: you may not take it over.",
    advice: "Close the page there, or end the stream there. Then go on here.",
  },
  offer_refused: {
    title: "The server did not accept the stream.",
    advice: "Try another stream name or another browser. The server's own words below say more.",
  },
  no_common_codecs: {
    title: "The browser and the server have no video format in common.",
    advice: "Use a browser that sends H.264, such as Chrome, Edge or Safari.",
  },
  transcoder_failed: {
    title: "The picture could not be converted for this address.",
    advice: "Start again. If it happens each time, the server's log says why.",
  },
  transcoder_slow: {
    title: "The server cannot convert the picture as fast as it comes; some of it is left out.",
    advice: "Send a smaller picture, or end other streams that are converted.",
  },
  no_capacity: {
    title: "The server has no room to convert another picture.",
    advice: "Use a browser that sends H.264, which needs no conversion, or try again later.",
  },
  token_needed: {
    title: "The server wants an access token.",
    advice: "Enter the token that the server's owner gave you, then start again.",
  },
  unauthorized: {
    title: "The server wants to know who you are.",
    advice: "Sign in, or enter the access token that the server's owner gave you, then start again.",
  },
  forbidden: {
    title: "You may not do that.",
    advice: "Ask the server's owner for the right to it, or sign in as somebody else.",
  },
  too_many_tries: {
    title: "There were too many tries.",
    advice: "Wait a moment, then try again.",
  },
  busy: {
    title: "The server takes no more streams right now.",
    advice: "Wait a little, then start again.",
  },
  server_error: {
    title: "The server failed to do this.",
    advice: "Start again. If it happens each time, the server's log says why.",
  },
  server_gone: {
    title: "The server does not answer.",
    advice: "Check that it is running and that your network is up, then start again.",
  },
  ice_failed: {
    title: "The page reaches the server, but sound and pictures do not.",
    advice: "A firewall probably blocks UDP. Open the server's media port, or use another network, then start again.",
  },
  disconnected: {
    title: "The connection to the server was lost.",
    advice: "Check that the server is running and that your network is up, then start again.",
  },
  publish_ended: {
    title: "The page was reloaded or left, so the stream ended.",
    advice: "Start again when you are ready.",
  },

  bad_request: {
    title: "The server cannot use this destination.",
    advice: "Check the address for typing errors, its host above all, then start again.",
  },
  not_found: {
    title: "The stream ended before it could be sent on.",
    advice: "Start again.",
  },
  conflict: {
    title: "This stream already goes to this address.",
    advice: "Choose another stream name or another address.",
  },
  unsupported: {
    title: "This server cannot do that.",
    advice: "Check the destination's address. The server's own words below say more.",
  },
  push_gone: {
    title: "The server no longer sends the stream on, and has not said why.",
    advice: "Start again.",
  },
  push_failed: {
    title: "The server could not send the stream on.",
    advice: "The server's own words below say why. Mend that, or try another address, then start again.",
  },
  digits_refused: {
    title: "The server cannot send these digits.",
    advice: "Use 0 to 9, *, #, A to D, and a comma for a pause of a second; 64 of them at most.",
  },
  call_unanswered: {
    title: "The phone has not answered yet.",
    advice: "Send the digits when it has.",
  },
  disk_full: {
    title: "The recording here has stopped: the disk is full, or this browser may not use more of it.",
    advice: "The show goes on. What was written until now is kept in the list below: download it, delete it, then record again.",
  },
  disk_slow: {
    title: "The recording here has stopped: the disk is too slow.",
    advice: "The show goes on. What was written until now is kept in the list below. Close programs that use the disk, then record again.",
  },
  recording_failed: {
    title: "The recording here has stopped: the browser failed to write it.",
    advice: "The show goes on. What was written until now is kept in the list below. The disk may be full: make room, then tick the box again to record the rest.",
  },
  sound_missing: {
    title: "The server has no sound file of that name.",
    advice: "Check the name, or put the file into the server's media folder (media_dir).",
  },
  sound_refused: {
    title: "The server cannot play that file.",
    advice: "Use a WAV file. The server's own words below say what is wrong with this one.",
  },

  dns: {
    title: "The destination's name could not be found.",
    advice: "Check the host in the address for typing errors, then start again.",
  },
  tcp_refused: {
    title: "Nothing listens at the destination.",
    advice: "Check the host and the port in the address, and that the RTMP server there is running, then start again.",
  },
  unreachable: {
    title: "There is no way from the server to the destination.",
    advice: "Check the address and the server's network, then start again.",
  },
  timeout: {
    title: "The destination did not answer in time.",
    advice: "Check the address, and that no firewall stands in between, then start again.",
  },
  tls: {
    title: "No secure connection to the destination could be made.",
    advice: "Check that the address and its port are meant for rtmps://; else try rtmp://. Then start again.",
  },
  tls_verify: {
    title: "The destination's certificate is not valid for its name.",
    advice: "Use the host name that the certificate was made for, or have the certificate renewed.",
  },
  rtmp_handshake: {
    title: "The program at the destination does not speak RTMP.",
    advice: "Check the port in the address: 1935 is usual for rtmp://, 443 for rtmps://. Then start again.",
  },
  rtmp_protocol: {
    title: "The destination answered with something that is not valid RTMP.",
    advice: "Check that the address belongs to an RTMP server, then start again.",
  },
  auth_rejected: {
    title: "The destination wants another user name or password.",
    advice: "Put the right ones into the address, as in rtmp://user:password@host/app, then start again.",
  },
  bad_app: {
    title: "The destination does not know the application in the address.",
    advice: "Check the part after the host, such as /live, then start again.",
  },
  key_in_use: {
    title: "The destination says that this name or key is in use, or not allowed.",
    advice: "Stop whatever else sends to it, or choose another name or key, then start again.",
  },
  key_rejected: {
    title: "The destination refused the stream name or key.",
    advice: "Copy the stream key from the platform again, without spaces, then start again.",
  },
  peer_closed: {
    title: "The destination closed the connection.",
    advice: "Check the address and the stream key, and that the event there is still open, then start again.",
  },
  peer_stalled: {
    title: "The destination stopped taking data.",
    advice: "Its network or ours is too slow. Pick a lower quality, then start again.",
  },
  peer_slow: {
    title: "The destination takes less than is sent, so pictures are left out.",
    advice: "Its network or ours is too slow. Pick a lower quality, then start again.",
  },
  address_down: {
    title: "One of the destination's addresses does not get the stream.",
    advice: "The others get it. Check the address that is named.",
  },
  target_forbidden: {
    title: "This server may not send to that address.",
    advice: "Use another address, or ask the server's owner to allow this one.",
  },
  source_lost: {
    title: "The server no longer receives this stream.",
    advice: "Check your network, then start again.",
  },
  source_no_media: {
    title: "The server received no pictures to send on.",
    advice: "Check in the preview that the camera works, then start again.",
  },
  source_no_keyframe: {
    title: "The browser sends no key frame, so nobody could start to watch.",
    advice: "Use a current Chrome, Edge, Firefox or Safari, then start again.",
  },
  source_no_video: {
    title: "The server receives sound, but no pictures.",
    advice: "Check in the preview that the camera works and that this page is in the foreground; phones stop the camera of a hidden page.",
  },
  source_no_audio: {
    title: "The server receives pictures, but no sound; it sends silence.",
    advice: "Check that the microphone is connected and not in use by another program.",
  },
  source_unusable: {
    title: "The server cannot read the pictures or the sound of this stream.",
    advice: "Set the encoder to H.264 and AAC. The server's log says what is wrong with them.",
  },
  source_b_frames: {
    title: "The stream has B-frames, so the pictures jerk.",
    advice: "Turn B-frames off in the encoder (0 B-frames, or tune zerolatency).",
  },
  codec_unsupported: {
    title: "The stream's format cannot be sent by RTMP.",
    advice: "Use a browser that sends H.264, such as Chrome, Edge or Safari.",
  },
  terminated: {
    title: "Somebody ended this push on the server.",
    advice: "If that was not meant, start again.",
  },
  shutdown: {
    title: "The server is being shut down.",
    advice: "Wait until it runs again, then start again.",
  },
  restarted: {
    title: "The server was restarted and waits for the stream.",
    advice: "Start the stream again: the push goes on by itself.",
  },
  node_lost: {
    title: "The server that had this push is gone. Another one waits for the stream.",
    advice: "Start the stream again: the push goes on by itself.",
  },
  moved: {
    title: "Another server goes on with this push.",
    advice: "There is nothing to do.",
  },
  resume_expired: {
    title: "The stream did not come back in time after a restart.",
    advice: "Start again.",
  },
  internal: {
    title: "The server ran into an error of its own.",
    advice: "Start again. If it happens each time, the server's log says why.",
  },
};

/** All reasons, for the tests of the languages. */
export function reasons(): Reason[] {
  return Object.keys(words) as Reason[];
}

export function explain(failure: Failure): Words {
  return translated(words[failure.reason]);
}

/** What has to be changed for these needs another stream, or a field that is disabled while a stream is sent. */
const needStop: Reason[] = ["peer_stalled", "peer_slow", "source_no_keyframe"];

/** The same for one destination. others: the stream goes on to others, so the destination has a button of its own to start again. */
export function destinationWords(failure: Failure, others: boolean): Words {
  const { title, advice } = words[failure.reason];
  return translated({ title, advice: others && !needStop.includes(failure.reason) ? elsewhere(advice) : advice });
}

/** The advice where the button to start again has another name. */
function elsewhere(advice: Text): Text {
  return advice.replace("Start again", "Press “Go live here too”").replace("start again", "press “Go live here too”") as Text; // a test knows all of them
}

const consoleOnly: Partial<Record<Reason, Sentences>> = {
  server_gone: {
    title: "The server does not answer.",
    advice: "Check that it is running and that your network is up. This page goes on as soon as the server answers.",
  },
  busy: {
    title: "The server takes no more requests right now.",
    advice: "Wait a little. This page goes on as soon as the server answers.",
  },
  server_error: {
    title: "The server failed to do this.",
    advice: "If it happens each time, the server's log says why.",
  },
  bad_request: {
    title: "The server cannot use that.",
    advice: "Check what was entered. The server's own words below say what is wrong.",
  },
  not_found: {
    title: "The server does not have that any more.",
    advice: "Reload the page to see what it has.",
  },
  conflict: {
    title: "The server has that already.",
    advice: "Choose another name.",
  },
};

/** The same for the console, where nothing has to be started again: it polls the server all the time. */
export function consoleWords(failure: Failure): Words {
  return translated(consoleOnly[failure.reason] ?? words[failure.reason]);
}

/** What the page does while the stream is away, and why it is away. silent: the server does not answer. */
export function awayNote(why: Failure | null, silent: boolean): string {
  const reason = why && why.reason !== "disconnected" ? explain(why).title : "";
  return sentences(reason, silent || why?.reason === "server_gone"
    ? t("Your camera stays on, and the page goes on by itself. If the server still runs, viewers see a still picture meanwhile.")
    : t("Your camera stays on, and the page goes on by itself. Viewers see a still picture meanwhile."));
}

/** The state of a push in words; host names the destination. */
export function pushWords(status: string, host: string): string {
  switch (status) {
    case "STARTING": return t("Waiting for the first picture");
    case "CONNECTING": return t("Connecting to {host}", { host });
    case "PUBLISHING": return t("Live on {host}", { host });
    case "DEGRADED": return t("Live on {host}, but not well", { host });
    case "HOLDING": return t("Waiting for the stream; {host} shows a still picture", { host });
    case "RECONNECTING": return t("Connection to {host} lost; trying again", { host });
    case "DRAINING": return t("Sending the rest");
    case "AWAITING": return t("Waiting for the stream to come back");
    case "ENDED": return t("Ended");
    case "FAILED": return t("Not live");
    default: return t("Working on it ({state})", { state: status.toLowerCase() || t("no state given") });
  }
}

/** The state of a push in a word or two. */
export function pushLabel(status: string): string {
  switch (status) {
    case "STARTING": return t("Starting");
    case "CONNECTING": return t("Connecting");
    case "PUBLISHING": return t("Live");
    case "DEGRADED": return t("Live, not well");
    case "HOLDING": return t("Holding");
    case "RECONNECTING": return t("Reconnecting");
    case "DRAINING": return t("Ending");
    case "AWAITING": return t("Waiting for its stream");
    case "ENDED": return t("Ended");
    case "FAILED": return t("Failed");
    default: return status.toLowerCase() || t("Unknown");
  }
}

/** The text in place of the preview while the camera is off. troubled: a problem with camera or microphone is shown. */
export function coverText(phase: StreamPhase, troubled: boolean): string {
  const ask = t("Your browser asks for permission first.");
  const wait = t("Nothing is sent before you press Start.");
  switch (phase) {
    case "idle": return troubled ? wait : sentences(ask, wait);
    case "opening": return ask;
    default: return t("Viewers see your card while the camera is off.");
  }
}

/** Devices of these kinds have gone while they were in use. card: viewers see the card meanwhile. */
export function lostWords(kinds: readonly Kind[], live: boolean, card: boolean): Words {
  const [camera, microphone] = [kinds.includes("video"), kinds.includes("audio")];
  return {
    title: camera && microphone ? t("Camera and microphone are gone.") : camera ? t("The camera is gone.") : t("The microphone is gone."),
    advice: sentences(
      camera && microphone ? t("Plug them in again, or pick others in the lists.") : t("Plug it in again, or pick another in the list."),
      live && camera && card ? t("Viewers see your card meanwhile.") : "",
      live && microphone ? t("Viewers do not hear you meanwhile.") : "",
    ),
  };
}

/**
 * How well the stream gets to the server, and what can be done about it. missing: the reason why the server gets only a part of
 * the stream; null if it gets everything.
 */
export function healthAdvice(health: Health | null, missing: string | null, sending = true): string {
  if (!sending) {
    return t("Measured while a stream is sent.");
  }
  if (missing !== null) {
    const { title, advice } = explain(pushFailure(missing, ""));
    return sentences(title, advice);
  }
  if (!health) {
    return t("The first numbers come in a moment.");
  }
  if ((health.loss ?? 0) > 0.05) {
    return t("Part of the stream is lost on its way to the server. A cable in place of Wi-Fi helps, or a lower quality.");
  }
  switch (health.limit) {
    case "cpu": return t("This computer cannot keep up with the picture. Close other programs, or pick a lower quality.");
    case "bandwidth": return t("Your network is too slow for this quality. Pick a lower one, or use a cable in place of Wi-Fi.");
    default: return health.loss === null ? t("How well the stream gets to the server is not known yet.") : t("The stream gets to the server well.");
  }
}

/** A quality that was chosen during a show. */
export function qualityWords({ frameRate, height, maxBitrateKbps, width }: Quality): string {
  return t("The quality is changed to {size}, {n} pictures a second, up to {rate}.", { size: size(width, height), n: frameRate, rate: bitrate(maxBitrateKbps) });
}

/** The state of a call in a word or two. */
export function callLabel(status: string): string {
  switch (status) {
    case "PENDING": return t("Waiting");
    case "TRYING": return t("Calling");
    case "RING": return t("Ringing");
    case "RING_MEDIA": return t("Ringing");
    case "SESSION_PROGRESS": return t("Ringing");
    case "ESTABLISHED": return t("Connected");
    case "HOLD": return t("On hold");
    case "BUSY": return t("Busy");
    case "FINISH": return t("Ended");
    case "FAILED": return t("Failed");
    default: return status;
  }
}

/** The state of the push that belongs to a call. */
export function callPushLabel(status: string): string {
  switch (status) {
    case "PENDING": return t("Starting");
    case "PUBLISHING": return t("Live");
    case "FAILED": return t("Failed");
    case "STOPPED": return t("Ended");
    default: return status;
  }
}

const callEnds: Record<string, Text> = {
  busy: "The line is busy.",
  no_answer: "Nobody answered.",
  rejected: "The call was refused.",
  not_found: "There is no such number.",
  auth_failed: "The SIP server refused the login.",
  no_codec: "The phone and this server have no codec in common.",
  media_timeout: "No media came from the phone.",
  transport: "The phone or the SIP server could not be reached.",
  cancelled: "The call was given up before an answer.",
  hung_up: "Somebody hung up.",
  policy: "The settings of this server forbid this call.",
  session_expired: "The other side stopped confirming the call.",
};

/** Why a call has ended; "" for a call that goes on. */
export function callEnd(reason: string): string {
  return reason === "" ? "" : t(callEnds[reason] ?? "The call has ended.");
}

/** What a viewer is told. linked: the link has a token. */
export function sightWords(sight: Sight, linked: boolean): Words {
  switch (sight) {
    case "connecting": return { title: t("Connecting"), advice: "" };
    case "playing": return { title: "", advice: "" };
    case "interrupted": return { title: t("The stream is interrupted."), advice: t("The picture goes on by itself when the stream is back.") };
    case "offline": return { title: t("This stream is not live now."), advice: t("It begins here by itself. You can leave this page open.") };
    case "ended": return { title: t("The stream has ended."), advice: t("If it comes back, it goes on here by itself.") };
    case "unauthorized": return linked
      ? { title: t("This link is no longer valid."), advice: t("Ask whoever gave it to you for a new one, or sign in.") }
      : { title: t("This stream is only for some."), advice: t("Open the whole link that you were given, or sign in.") };
    case "forbidden": return { title: t("You may not watch this stream."), advice: t("Ask whoever shows it for a link, or sign in as somebody else.") };
    case "busy": return { title: t("The server takes no more viewers right now."), advice: t("This page tries again by itself.") };
    case "away": return { title: t("The server does not answer."), advice: t("This page tries again by itself. Check that your network is up.") };
    case "failed": return { title: t("The stream cannot be played here."), advice: t("This page tries again by itself. Another browser or another network may help.") };
  }
}
