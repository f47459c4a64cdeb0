// As much of a browser as the SDK needs, for tests that decide what the far end says and what devices do.

/** Put into globalThis, and taken out at the end of the test. */
export function fakeBrowser(t) {
  const world = {
    sockets: [],
    peers: [],
    /** What getUserMedia does: gives a stream, or throws. */
    capture: ({ audio, video }) => new FakeMediaStream([audio && new FakeTrack("audio"), video && new FakeTrack("video")].filter(Boolean)),
    devices: [
      { kind: "videoinput", deviceId: "front", label: "Front" }, { kind: "videoinput", deviceId: "back", label: "Back" },
      { kind: "audioinput", deviceId: "mic", label: "Microphone" }, { kind: "audiooutput", deviceId: "ear", label: "Earphone" },
    ],
    asked: [], // constraints of getUserMedia
    /** Whether the browser plays sound without a click. */
    autoplay: true,
  };
  const capture = async (constraints) => {
    world.asked.push(constraints);
    return world.capture(constraints);
  };
  set(t, {
    WebSocket: class extends FakeSocket {
      constructor(url) {
        super(url);
        world.sockets.push(this);
      }
    },
    RTCPeerConnection: class extends FakePeer {
      constructor(config) {
        super(config);
        world.peers.push(this);
      }
    },
    RTCRtpSender: { getCapabilities: () => ({ codecs }) },
    RTCRtpReceiver: { getCapabilities: () => ({ codecs }) },
    MediaStream: FakeMediaStream,
    HTMLVideoElement: FakeVideo,
    document: { createElement: () => new FakeVideo(world), fullscreenElement: null },
    navigator: {
      appVersion: "5.0", userAgent: "Fake/1.0",
      mediaDevices: { getUserMedia: capture, getDisplayMedia: capture, enumerateDevices: async () => world.devices },
    },
  });
  return world;
}

function set(t, globals) {
  for (const [name, value] of Object.entries(globals)) {
    const before = Object.getOwnPropertyDescriptor(globalThis, name);
    Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
    t.after(() => (before ? Object.defineProperty(globalThis, name, before) : delete globalThis[name]));
  }
}

const codecs = ["video/VP8", "video/H264", "video/rtx"].map((mimeType) => ({ mimeType }));

class FakeSocket {
  static OPEN = 1;
  readyState = 0;
  /** What was sent, as [name, object]. */
  sent = [];

  constructor(url) {
    if (!/^wss?:/.test(url)) {
      throw new SyntaxError(`The URL's scheme must be either 'ws' or 'wss'`);
    }
    this.url = url;
  }

  send(text) {
    const { message, data } = JSON.parse(text);
    this.sent.push([message, data[0]]);
  }

  close() {
    if (this.readyState < 2) {
      this.readyState = 2;
      queueMicrotask(() => this.readyState < 3 && this.drop());
    }
  }

  accept() {
    this.readyState = 1;
    this.onopen();
  }

  /** Accepts, and answers the first message as the server does. */
  establish(authToken = "token") {
    this.accept();
    this.say("getUserData", { ...this.last("connection"), authToken });
  }

  say(message, ...data) {
    this.raw(JSON.stringify({ message, data }));
  }

  raw(data) {
    this.onmessage({ data });
  }

  drop(reason = "") {
    this.readyState = 3;
    this.onclose({ reason });
  }

  /** The last message of that name. */
  last(name) {
    return this.sent.filter(([message]) => message === name).at(-1)?.[1];
  }

  count(name) {
    return this.sent.filter(([message]) => message === name).length;
  }
}

class FakePeer {
  transceivers = [];
  state = "new";
  iceConnectionState = "new";
  /** The options of the offers. */
  offered = [];
  ontrack = null;
  stats = new Map();
  /** An answer that the browser does not take, if a test says so. */
  refuses = false;

  constructor(config) {
    this.config = config;
  }

  addTransceiver(what, { direction }) {
    const kind = what.kind ?? what;
    const parameters = { encodings: [{}] };
    const sender = {
      track: what.kind ? what : null,
      replaceTrack: async (track) => (sender.track = track),
      getParameters: () => parameters,
      setParameters: async () => undefined,
    };
    const transceiver = { direction, sender, receiver: { track: { kind } }, setCodecPreferences: (list) => (transceiver.codecs = list) };
    this.transceivers.push(transceiver);
    return transceiver;
  }

  getTransceivers() {
    return this.transceivers;
  }

  async createOffer(options) {
    this.offered.push(options);
    return { type: "offer", sdp: "v=0\r\na=rtpmap:111 opus/48000/2\r\na=fmtp:111 minptime=10\r\n" };
  }

  async setLocalDescription(description) {
    this.local = description;
  }

  async setRemoteDescription(description) {
    if (this.refuses) {
      throw new Error("Failed to parse SessionDescription");
    }
    this.remote = description;
    if (description.type === "offer") {
      for (const [, kind] of description.sdp.matchAll(/^m=(audio|video) /gm)) {
        this.addTransceiver(kind, { direction: "recvonly" });
      }
    }
  }

  async createAnswer() {
    return { type: "answer", sdp: "v=0\r\na=setup:active\r\n" };
  }

  async getStats() {
    return this.stats;
  }

  /** Both tracks of the far end come. */
  receive() {
    for (const { receiver: { track } } of this.transceivers) {
      this.ontrack({ track: new FakeTrack(track.kind), receiver: {}, streams: [] });
    }
  }

  close() {
    this.state = "closed";
  }
}

export class FakeTrack extends EventTarget {
  readyState = "live";
  enabled = true;

  constructor(kind, deviceId = kind === "video" ? "front" : "mic") {
    super();
    this.kind = kind;
    this.deviceId = deviceId;
  }

  getSettings() {
    return { deviceId: this.deviceId };
  }

  async applyConstraints(constraints) {
    this.applied = constraints;
  }

  stop() {
    this.readyState = "ended";
  }
}

export class FakeMediaStream {
  constructor(tracks = []) {
    this.tracks = [...tracks];
  }

  getTracks() {
    return this.tracks;
  }

  getAudioTracks() {
    return this.tracks.filter(({ kind }) => kind === "audio");
  }

  getVideoTracks() {
    return this.tracks.filter(({ kind }) => kind === "video");
  }

  addTrack(track) {
    this.tracks.push(track);
  }

  removeTrack(track) {
    this.tracks = this.tracks.filter((other) => other !== track);
  }
}

class FakeVideo {
  muted = false;
  volume = 1;
  controls = false;
  srcObject = null;
  id = "";

  constructor(world) {
    this.world = world;
  }

  async play() {
    if (!this.world.autoplay && !this.muted) {
      throw Object.assign(new Error("play() failed because the user didn't interact"), { name: "NotAllowedError" });
    }
  }

  async setSinkId(id) {
    this.sink = id;
  }

  remove() {
    this.parent.children = this.parent.children.filter((child) => child !== this);
  }
}

/** An element that videos are put into. */
export class FakeDisplay {
  children = [];

  appendChild(child) {
    child.parent = this;
    this.children.push(child);
    return child;
  }
}
