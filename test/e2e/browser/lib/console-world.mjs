// What the servers have that tests look at in the console and on the page about a stream.

import { call, push, stream } from "./mock-server.mjs";

export const session = (fields = {}) => ({ sessionId: "s-1", appKey: "defaultApp", status: "ESTABLISHED", createDate: Date.now() - 5000,
  clientAddress: "192.0.2.7:51234", origin: "https://studio.example", publishers: 1, players: 2, ...fields });

/** Fills the server with pushes, streams, sessions and a history. */
export function busy(mock) {
  const started = Date.now() - 754_000;
  const pushes = [
    push({ mediaSessionId: "p-1", sourceStreamName: "morning-show", streamName: "abcd-1234", rtmpUrl: "rtmps://a.rtmps.youtube.com/live2/abcd-1234", target: "rtmps://a.rtmps.youtube.com/live2/***", secretName: true, startedAt: started }),
    push({ mediaSessionId: "p-2", sourceStreamName: "morning-show", streamName: "rtmp_morning-show", startedAt: started, muted: true }),
    push({ mediaSessionId: "p-3", sourceStreamName: "lobby", streamName: "rtmp_lobby", rtmpUrl: "rtmp://media.example/live", target: "rtmp://media.example/live/***", startedAt: started,
      status: "RECONNECTING", reason: "peer_closed", info: "The server closed the connection.", attempts: 4 }),
    push({ mediaSessionId: "p-4", sourceStreamName: "lobby", streamName: "rtmp_lobby", rtmpUrl: "rtmp://slow.example/live", target: "rtmp://slow.example/live/***", startedAt: started,
      status: "DEGRADED", reason: "peer_slow", info: "The server takes less than is sent.", droppedFrames: 64, queuedMs: 2400 }),
  ];
  mock.find = (n) => (pushes.length === 0 ? 404 : pushes.map((one, i) => ({ ...one, bitrate: 2400 + 300 * Math.sin(n + i), queuedMs: one.queuedMs + (n % 4) * 60 })));
  mock.streams = () => [stream({ name: "morning-show" }), stream({ mediaSessionId: "s-2", name: "lobby", width: 640, height: 360, mediaProvider: "RTMP", videoCodec: "H264", audioCodec: "mpeg4-generic" }),
    stream({ mediaSessionId: "s-4", name: "tower", videoCodec: "unknown-codec-for-a-day", audioCodec: "speex", width: 3840, height: 2160, bitrate: 12_345 }),
    stream({ mediaSessionId: "s-3", name: "lobby", published: false, status: "PLAYING", mediaType: "play", mediaProvider: "WHEP", fps: 0 })];
  mock.calls = () => [
    call({ rtmpStreamStatus: "PUBLISHING", rtmpUrl: "rtmp://localhost/live", rtmpStream: "hidden-key-of-the-call", streamName: "lobby" }),
    call({ callId: "c-2", incoming: true, status: "HOLD", caller: "+49 30 1234567", callee: "studio", visibleName: "Reception", videoCodec: "", digits: "12#",
      injected: "music.wav", streamName: "sip-a-long-id-which-an-application-has-made", mediaProvider: "WebRTC" }),
    call({ callId: "c-3", status: "RING", callee: "sip:room@meet.example", answeredAt: undefined, audioCodec: "", videoCodec: "", packetsReceived: 0, packetsLost: 0 }),
    call({ callId: "c-4", status: "FAILED", callee: "1009", reason: "media_timeout", info: "no RTP from 192.0.2.9; NAT?", endedAt: Date.now() - 1000 }),
  ];
  mock.sessions = () => [session(), session({ sessionId: "s-2", status: "DISCONNECTED", clientAddress: "198.51.100.20:40001", publishers: 0, players: 1 })];
  mock.history = () => [
    push({ mediaSessionId: "h-1", sourceStreamName: "lobby", streamName: "live_77_secret?bandwidthtest=a%2Fb", rtmpUrl: "rtmps://live.twitch.tv/app/live%5F77_secret?bandwidthtest=a%2Fb",
      target: "rtmps://live.twitch.tv/app/***", secretName: true, status: "FAILED",
      reason: "key_rejected", info: "NetStream.Publish.BadName", startedAt: started, endedAt: started + 900 }),
    push({ mediaSessionId: "h-2", sourceStreamName: "evening", streamName: "rtmp_evening", status: "ENDED", reason: "terminated", info: "", startedAt: started - 9e6, endedAt: started }),
  ];
  return pushes;
}

export const node = (fields = {}) => ({ nodeId: "berlin-1", state: "ready", version: "1.4.0", startedAt: Date.now() - 3_700_000, cores: 0.42, coresAllowed: 7.5,
  streams: 3, pushes: 4, players: 25, ...fields });

/** Makes the server one of three. */
export function several(mock) {
  const nodes = [node({ self: true }), node({ nodeId: "berlin-2", state: "full", version: "1.3.9", cores: 7.31, streams: 1 }), node({ nodeId: "paris", state: "draining", streams: 0 })];
  mock.methods["node/find_all"] = () => nodes;
  const pushes = busy(mock);
  pushes[0].nodeId = "berlin-1";
  Object.assign(pushes[1], { nodeId: "rome", stale: true, status: "AWAITING", reason: "node_lost", info: "The server that had the push is gone. The push waits for its publisher." });
  return nodes;
}

/** A picture of 64 × 36 pixels. */
export const jpeg = Buffer.from("/9j/4AAQSkZJRgABAgAAAQABAAD//gAQTGF2YzU5LjM3LjEwMAD/2wBDAAgoKC8oLzc3Nzc3N0E8QUNDQ0FBQUFDQ0NISEhVVVVISEhDQ0hIUFBVVVxfXFdXVVdfX2RkZHh4c3OMjJGsrM//xABNAAEBAAAAAAAAAAAAAAAAAAAABgEBAQEAAAAAAAAAAAAAAAAAAAUHEAEAAAAAAAAAAAAAAAAAAAAAEQEAAAAAAAAAAAAAAAAAAAAA/8AAEQgAJABAAwEiAAIRAAMRAP/aAAwDAQACEQMRAD8AmQFZn4AAAAAAAAAAAAAAAAAAAAAD/9k=", "base64");

const startedAt = Date.now() - 60_000;
export const failedPush = (fields = {}) => push({ mediaSessionId: "p-failed", sourceStreamName: "morning", streamName: "***", secretName: true, rtmpUrl: "rtmps://live.twitch.tv/app/***",
  target: "rtmps://live.twitch.tv/app/***", status: "FAILED", reason: "key_rejected", info: "BadName", startedAt, endedAt: startedAt + 4000, ...fields });

/** A stream over WebRTC with two players and two pushes. */
export function showStream(mock, name = "morning") {
  const world = { streams: [stream({ name }), stream({ mediaSessionId: "s-2", name, published: false, mediaType: "play" }), stream({ mediaSessionId: "s-3", name, published: false, mediaType: "play" })],
    pushes: [push({ mediaSessionId: "p-live", sourceStreamName: name, startedAt }), failedPush({ sourceStreamName: name }), push({ mediaSessionId: "p-other", sourceStreamName: "other", streamName: name })] };
  let packets = 0;
  mock.methods["stream/find"] = () => {
    packets += 970;
    return world.streams.map((one) => (one.published ? { ...one, reception: { packets, lost: Math.round(packets / 970) * 30, late: 0, nacks: 9, brokenFrames: 0, jitterMs: 4.2, roundTripMs: 31 } } : one));
  };
  mock.find = () => world.pushes;
  mock.history = () => [failedPush({ sourceStreamName: name })];
  mock.methods["stream/snapshot"] = () => jpeg;
  mock.terminate = () => {
    const id = JSON.parse(mock.last("POST /rest-api/push/terminate").body).mediaSessionId;
    world.pushes = world.pushes.filter((one) => one.mediaSessionId !== id);
    return 200;
  };
  return world;
}
