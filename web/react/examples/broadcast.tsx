// Publishes the camera, and lets the server push it to an RTMP server.

import { usePublisher, usePush } from "transponder-react";

export function Broadcast({ name, address }: { name: string; address: string }) {
  const camera = usePublisher({ name, constraints: { audio: true, video: { width: 640, height: 360 } } });
  const push = usePush({ streamName: name, rtmpUrl: address, options: { onSourceLoss: "hold" } });
  const live = camera.status === "live";
  return (
    <section>
      <video ref={camera.ref} playsInline aria-label="Your picture" />
      <p role="status">{camera.error?.message ?? camera.status}, push: {push.error?.message ?? push.status}</p>
      {camera.status === "idle" || camera.status === "failed"
        ? <button type="button" onClick={camera.start}>Go live</button>
        : <button type="button" onClick={() => void camera.stop()}>Stop</button>}
      {live && <button type="button" onClick={() => camera.muteSound(!camera.soundMuted)}>{camera.soundMuted ? "Unmute" : "Mute"}</button>}
      {live && (push.status === "idle"
        ? <button type="button" onClick={push.start}>Push</button>
        : <button type="button" onClick={() => void push.stop()}>End the push</button>)}
    </section>
  );
}
