// Pages that reach others through TURN servers only, as in a network that lets nothing else out.

/** Makes all connections of a page use TURN servers only. */
export function onlyRelays(page) {
  return page.addInitScript(() => {
    const Peer = globalThis.RTCPeerConnection;
    globalThis.relayed = [];
    globalThis.RTCPeerConnection = class extends Peer {
      constructor(config) {
        super({ ...config, iceTransportPolicy: "relay" });
        globalThis.relayed.push(this);
      }
    };
  });
}

/** How the connections of such a page reach the far end now: the kinds of candidates that are in use, such as "relay relay". */
export function ways(page) {
  return page.evaluate(async () => {
    const all = [];
    for (const peer of globalThis.relayed.filter(({ connectionState }) => connectionState === "connected")) {
      const stats = await peer.getStats();
      for (const { type, selectedCandidatePairId } of stats.values()) {
        if (type === "transport" && selectedCandidatePairId) {
          all.push(stats.get(stats.get(selectedCandidatePairId).localCandidateId).candidateType);
        }
      }
    }
    return all.join(" ");
  });
}
