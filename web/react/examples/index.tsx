// Shows the examples: #player, #broadcast, #studio, or nothing.

import { StrictMode, useSyncExternalStore } from "react";
import { createRoot } from "react-dom/client";
import { Broadcast } from "./broadcast.tsx";
import { Player } from "./player.tsx";
import { Studio } from "./studio.tsx";

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
      {example === "studio" && <Studio name={name} />}
    </main>
  );
}

createRoot(document.body).render(<StrictMode><Examples /></StrictMode>);
