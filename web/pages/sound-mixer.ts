/** Makes one sound of the microphone, at a volume, and others. */
export class SoundMixer {
  private readonly audio = new AudioContext();
  private readonly out = this.audio.createMediaStreamDestination();
  private readonly volume = this.audio.createGain();
  private readonly inputs = new Map<MediaStreamTrack, MediaStreamAudioSourceNode>();

  constructor() {
    this.volume.connect(this.out);
  }

  get track(): MediaStreamTrack {
    return this.out.stream.getAudioTracks()[0] as MediaStreamTrack;
  }

  /** Mixes these from now on. */
  mix(microphone: MediaStreamTrack | null, volume: number, others: MediaStreamTrack[]): void {
    void this.audio.resume();
    this.volume.gain.setTargetAtTime(volume, this.audio.currentTime, 0.02); // a jump would be heard as a click
    const all = microphone ? [microphone, ...others] : others;
    for (const [track, node] of this.inputs) {
      if (!all.includes(track)) {
        node.disconnect();
        this.inputs.delete(track);
      }
    }
    for (const track of all) {
      if (!this.inputs.has(track)) {
        const node = this.audio.createMediaStreamSource(new MediaStream([track]));
        node.connect(track === microphone ? this.volume : this.out);
        this.inputs.set(track, node);
      }
    }
  }

  close(): void {
    this.track.stop();
    void this.audio.close();
  }
}
