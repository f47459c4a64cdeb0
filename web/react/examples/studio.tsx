// A studio: camera or screen, mute, and a push to an RTMP server, with what goes on in words.

import { useState } from "react";
import { usePublisher, usePush } from "transponder-react";

/** What people read of a push. PUBLISHING is the only state in which all is well. */
function words(status: string, info: string) {
  const known: Record<string, string> = { idle: "Not pushed.", PUBLISHING: "Pushed.", ENDED: "The push has ended.", HOLDING: "Viewers see a still picture." };
  return known[status] ?? `${status.toLowerCase()}: ${info}`;
}

export function Studio({ name }: { name: string }) {
  const [address, setAddress] = useState("");
  const [problem, setProblem] = useState("");
  const camera = usePublisher({ name, constraints: { audio: true, video: { width: 1280, height: 720 } } });
  // The address ends with the stream key. While the camera is away, the RTMP server gets a still picture.
  const push = usePush({ streamName: name, rtmpUrl: address, rtmpTransponderFullUrl: true, options: { onSourceLoss: "hold" } });

  const live = camera.status === "live";
  const pushed = !["idle", "ENDED", "FAILED"].includes(push.status);
  const share = () => (camera.screen ? camera.stopScreen() : camera.shareScreen());
  const stop = async () => {
    await push.stop(); // first: a push that holds would wait for the camera
    await camera.stop();
  };

  return (
    <section>
      <video ref={camera.ref} playsInline aria-label="What is sent" />
      <p role="status">
        {camera.error?.message ?? (live ? "Live." : camera.status)} {push.error?.message ?? words(push.status, push.info)} {problem}
      </p>
      {camera.status === "idle" || camera.status === "failed"
        ? <button type="button" onClick={camera.start}>Go live</button>
        : <button type="button" onClick={() => void stop()}>Stop</button>}
      <button type="button" disabled={!live} aria-pressed={camera.soundMuted} onClick={() => camera.muteSound(!camera.soundMuted)}>Mute</button>
      <button type="button" disabled={!live} aria-pressed={camera.screen} onClick={() => share().then(() => setProblem(""), ({ message }) => setProblem(message))}>
        Show the screen
      </button>
      <label>RTMP address <input type="url" value={address} disabled={pushed} onChange={({ target }) => setAddress(target.value)} /></label>
      {pushed
        ? <button type="button" onClick={() => void push.stop()}>End the push</button>
        : <button type="button" disabled={!live || !address} onClick={push.start}>Push</button>}
    </section>
  );
}
