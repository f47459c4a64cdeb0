// Publishes camera and microphone by WHIP (RFC 9725), without a library.

const element = <T extends HTMLElement = HTMLElement>(id: string): T => document.getElementById(id) as T;
const [name, preview] = [element<HTMLInputElement>("name"), element<HTMLVideoElement>("preview")];
let stop: (() => Promise<void>) | null = null;

function show(phase: string, sentence: string): void {
  element("state").dataset["phase"] = phase;
  element("state").lastElementChild!.textContent = sentence;
  element("go").textContent = stop ? "Stop" : "Publish";
  element("go").classList.toggle("stop", stop !== null);
}

async function publish(): Promise<void> {
  const media = await navigator.mediaDevices.getUserMedia({ audio: true, video: { width: 1280, height: 720 } });
  const peer = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
  const headers = element<HTMLInputElement>("token").value ? { Authorization: `Bearer ${element<HTMLInputElement>("token").value}` } : undefined;
  let session = ""; // its address, from the answer
  stop = async () => {
    stop = null;
    media.getTracks().forEach((track) => track.stop());
    session && await fetch(session, { method: "DELETE", ...(headers && { headers }) }).catch(() => undefined); // the name is free at once
    peer.close();
    show("idle", "Stopped.");
  };
  Object.assign(preview, { srcObject: media, muted: true }).play();
  media.getTracks().forEach((track) => peer.addTransceiver(track, { direction: "sendonly", streams: [media] }));
  peer.onconnectionstatechange = () => show(...({
    connected: ["live", "Live."], failed: ["failed", "The connection is lost."],
  } as Record<string, [string, string]>)[peer.connectionState] ?? ["opening", "Connecting."]);
  await peer.setLocalDescription(); // makes the offer; the candidates of the answer are enough to connect
  const answer = await fetch(`/whip/${encodeURIComponent(name.value)}`, {
    method: "POST", headers: { "Content-Type": "application/sdp", ...headers }, body: peer.localDescription!.sdp,
  });
  if (answer.status !== 201) {
    throw new Error((await answer.json()).detail); // RFC 9457
  }
  session = new URL(answer.headers.get("Location")!, answer.url).href;
  await peer.setRemoteDescription({ type: "answer", sdp: await answer.text() });
}

element("go").addEventListener("click", () => (stop ?? name.reportValidity()) && void (stop ?? publish)().catch(async ({ message }: Error) => {
  await stop?.();
  show("failed", message);
}));

name.value = new URLSearchParams(location.search).get("name") ?? Math.random().toString(16).slice(2, 6);
