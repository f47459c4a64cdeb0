/**
 * Lets an AudioContext run. A browser stops it, and never starts it again by itself, when a loudspeaker or its own audio service is gone, or, on
 * phones, while somebody calls: then everything that passes through it is silent. Returns how to stop it.
 */
export function keepRunning(audio: AudioContext): () => void {
  const go = (): void => void (audio.state !== "running" && audio.state !== "closed" && audio.resume());
  audio.addEventListener("statechange", go);
  void audio.resume();
  return () => {
    audio.removeEventListener("statechange", go);
    void audio.suspend();
  };
}

/** Makes one sound of the microphone, at a volume, and others. Each other one is a track, or a node of the same AudioContext. */
export class SoundMixer {
  private readonly out: MediaStreamAudioDestinationNode;
  private readonly volume: GainNode;
  private readonly inputs = new Map<MediaStreamTrack | AudioNode, AudioNode>();
  private readonly stop: () => void;

  /** audio: one that nobody else needs while this mixer is open. It is kept for the next mixer. */
  constructor(private readonly audio: AudioContext) {
    this.out = audio.createMediaStreamDestination();
    this.volume = audio.createGain();
    this.volume.connect(this.out);
    this.stop = keepRunning(audio);
  }

  get track(): MediaStreamTrack {
    return this.out.stream.getAudioTracks()[0] as MediaStreamTrack;
  }

  /** Mixes these from now on. */
  mix(microphone: MediaStreamTrack | null, volume: number, others: (MediaStreamTrack | AudioNode)[]): void {
    void this.audio.resume(); // a browser may stop it until the user has done something
    this.volume.gain.setTargetAtTime(volume, this.audio.currentTime, 0.02); // a jump would be heard as a click
    const all = microphone ? [microphone, ...others] : others;
    for (const [input, node] of this.inputs) {
      if (!all.includes(input)) {
        node.disconnect();
        this.inputs.delete(input);
      }
    }
    for (const input of all) {
      if (!this.inputs.has(input)) {
        const node = input instanceof AudioNode ? input : this.audio.createMediaStreamSource(new MediaStream([input]));
        node.connect(input === microphone ? this.volume : this.out);
        this.inputs.set(input, node);
      }
    }
  }

  close(): void {
    this.inputs.forEach((node) => node.disconnect());
    this.track.stop();
    this.stop();
  }
}
