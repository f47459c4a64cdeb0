// Devices whose pictures have one colour each, and what the far end sees of them.

/**
 * Put into a page before its own scripts: the camera is green, a screen is red. globalThis.opened has all tracks that were opened, the newest
 * last; a microphone with two channels sounds on the left alone; globalThis.refuse, if set, is the error of the next request, of a camera or of a screen; with globalThis.silentScreen, screens have no sound;
 * what has the colour globalThis.dark becomes black.
 */
export function colours() {
  globalThis.opened = [];
  const picture = (colour, width, height) => {
    const canvas = Object.assign(document.createElement("canvas"), { width, height });
    const context = canvas.getContext("2d");
    const draw = () => {
      context.fillStyle = globalThis.dark === colour ? "#000000" : colour;
      context.fillRect(0, 0, width, height);
    };
    draw();
    setInterval(draw, 30);
    return canvas.captureStream(30).getVideoTracks()[0];
  };
  const tone = (left = false) => {
    const audio = new AudioContext();
    const out = audio.createMediaStreamDestination();
    const source = audio.createOscillator();
    if (left) {
      const both = audio.createChannelMerger(2);
      source.connect(both, 0, 0);
      both.connect(out);
    } else {
      source.connect(out);
    }
    source.start();
    return out.stream.getAudioTracks()[0];
  };
  const give = (make) => {
    const refused = globalThis.refuse;
    globalThis.refuse = null;
    if (refused) {
      throw new DOMException(refused.message ?? "no", refused.name);
    }
    const tracks = make();
    globalThis.opened.push(...tracks);
    return new MediaStream(tracks);
  };
  const device = (track, id, more = {}) => {
    const { getSettings } = track;
    track.getSettings = () => ({ ...getSettings.call(track), deviceId: id, ...more });
    return track;
  };
  const camera = (wishes) => {
    const facingMode = wishes.facingMode?.ideal ?? globalThis.facing;
    return device(picture("#00ff00", wishes.width?.ideal ?? 1280, wishes.height?.ideal ?? 720), "camera", { ...(facingMode && { facingMode }) });
  };
  navigator.mediaDevices.enumerateDevices = async () => [
    { kind: "videoinput", deviceId: "camera", label: "Green" }, { kind: "audioinput", deviceId: "microphone", label: "Tone" },
  ];
  navigator.mediaDevices.getUserMedia = async (wishes) => {
    globalThis.asked = wishes;
    return give(() => [...(wishes.video ? [camera(wishes.video)] : []), ...(wishes.audio ? [device(tone(wishes.audio.channelCount?.ideal === 2), "microphone")] : [])]);
  };
  navigator.mediaDevices.getDisplayMedia = async () => give(() => [picture("#ff0000", 1600, 1000), ...(globalThis.silentScreen ? [] : [tone()])]);
}

/** The picture at the far end: its size, and the colours at points of it, from 0 to 1. Colours are "red", "green", "dark" or their numbers. */
export function farPicture(mock, points) {
  return mock.far.evaluate(async (wanted) => {
    const track = globalThis.peer.getReceivers().map((receiver) => receiver.track).find(({ kind }) => kind === "video");
    globalThis.farVideo ??= Object.assign(document.createElement("video"), { muted: true });
    const video = globalThis.farVideo;
    if (video.srcObject?.getTracks()[0] !== track) {
      video.srcObject = new MediaStream([track]);
    }
    await video.play();
    await new Promise((resolve) => video.requestVideoFrameCallback(resolve));
    const { videoHeight: height, videoWidth: width } = video;
    const canvas = Object.assign(document.createElement("canvas"), { width, height });
    const context = canvas.getContext("2d");
    context.drawImage(video, 0, 0);
    const name = ([r, g, b]) => (r > 180 && g < 80 && b < 80 ? "red" : g > 180 && r < 80 && b < 80 ? "green" : r + g + b < 330 ? "dark" : `${r},${g},${b}`);
    const seen = wanted.map(([x, y]) => name(context.getImageData(Math.floor(x * width), Math.floor(y * height), 1, 1).data));
    return `${width}x${height} ${seen.join(" ")}`;
  }, points);
}

/** The channels of the sound at the far end that are loud: "left right", "left", "right" or "". */
export function farSound(mock) {
  return mock.far.evaluate(async () => {
    const track = globalThis.peer.getReceivers().map((receiver) => receiver.track).find(({ kind }) => kind === "audio");
    if (globalThis.farAudio?.track !== track) {
      const stream = new MediaStream([track]);
      const pull = Object.assign(new Audio(), { srcObject: stream, muted: true }); // otherwise Chromium gives no samples
      await pull.play();
      const audio = new AudioContext();
      const splitter = audio.createChannelSplitter(2);
      audio.createMediaStreamSource(stream).connect(splitter);
      const meters = ["left", "right"].map((name, i) => {
        const meter = audio.createAnalyser();
        splitter.connect(meter, i);
        return { name, meter };
      });
      globalThis.farAudio = { track, pull, meters };
    }
    return globalThis.farAudio.meters.filter(({ meter }) => {
      const samples = new Float32Array(meter.fftSize);
      meter.getFloatTimeDomainData(samples);
      return samples.some((sample) => Math.abs(sample) > 0.05);
    }).map(({ name }) => name).join(" ");
  });
}
