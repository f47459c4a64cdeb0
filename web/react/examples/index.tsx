// Shows the examples: #player, #broadcast, or nothing.

import { StrictMode, useSyncExternalStore } from "react";
import { createRoot } from "react-dom/client";
import { Broadcast } from "./broadcast.tsx";
import { Player } from "./player.tsx";

function subscribe(listener: () => void) {
  addEventListener("hashchange", listener);
  return () => removeEventListener("hashchange", listener);
}

function Examples() {
  const [example, name = "show"] = useSyncExternalStore(subscribe, () => location.hash).slice(1).split("/");
  return (
    <main>
      <h1>Examples</h1>
      {example === "player" && <Player name={name} />}
      {example === "broadcast" && <Broadcast name={name} address="rtmp://far.example/live" />}
    </main>
  );
}

createRoot(document.body).render(<StrictMode><Examples /></StrictMode>);
