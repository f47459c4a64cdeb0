// Plays a stream whenever somebody publishes it.

import { usePlayer } from "transponder-react";

export function Player({ name }: { name: string }) {
  const { error, publisher, ref, retry, status, unmute, unmuteRequired } = usePlayer({ name });
  return (
    <section>
      <video ref={ref} playsInline aria-label={name} />
      <p role="status">
        {status === "waiting" && (publisher === "left" ? "It is over for now." : "It has not begun yet.")}
        {status === "playing" && publisher === "away" && "The broadcaster's connection is lost."}
        {(status === "interrupted" || status === "failed") && error?.message}
      </p>
      {unmuteRequired && <button type="button" onClick={unmute}>Turn on the sound</button>}
      {status === "failed" && <button type="button" onClick={retry}>Try again</button>}
    </section>
  );
}
