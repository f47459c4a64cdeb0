// A camera that flashes and a microphone that beeps at the same moments, for measuring how far sound and picture drift apart
// on their way. Chromium's own fake devices beep twice a second but show nothing at that moment.

/** Put into a page before its own scripts: every getUserMedia then gets a white picture and 1 kHz for 100 ms each second. */
export function flashAndBeep() {
  /** One camera and one microphone, however often they are opened: two pairs would not flash and beep together. */
  let devices;
  const begin = async () => {
    const audio = new AudioContext({ sampleRate: 48000 });
    await audio.resume();
    const tone = new OscillatorNode(audio, { frequency: 1000 });
    const gate = new GainNode(audio, { gain: 0 });
    const microphone = new MediaStreamAudioDestinationNode(audio);
    tone.connect(gate).connect(microphone);
    tone.start();
    const first = Math.ceil(audio.currentTime) + 1;
    for (let at = first; at < first + 300; at++) {
      gate.gain.setValueAtTime(0.5, at);
      gate.gain.setValueAtTime(0, at + 0.1);
    }

    const canvas = Object.assign(document.createElement("canvas"), { width: 640, height: 360 });
    const context = canvas.getContext("2d");
    const draw = () => {
      const now = audio.currentTime;
      context.fillStyle = now >= first && now % 1 < 0.1 ? "white" : "black";
      context.fillRect(0, 0, canvas.width, canvas.height);
      context.fillStyle = `hsl(${(now * 90) % 360} 60% 40%)`; // so that no picture is like the last
      context.fillRect(0, 0, 40, 40);
    };
    draw();
    setInterval(draw, 8);
    return { video: canvas.captureStream(30).getVideoTracks()[0], audio: microphone.stream.getAudioTracks()[0] };
  };
  navigator.mediaDevices.getUserMedia = async (constraints) => {
    devices ??= begin();
    const { video, audio } = await devices;
    return new MediaStream([
      ...(constraints?.video ? [video.clone()] : []),
      ...(constraints?.audio ? [audio.clone()] : []),
    ]);
  };
  // The official SDK asks in Chromium's old way.
  const camera = navigator.mediaDevices.getUserMedia;
  for (const name of ["getUserMedia", "webkitGetUserMedia"]) {
    navigator[name] = (constraints, done, failed) => void camera(constraints).then(done, failed);
  }
}
