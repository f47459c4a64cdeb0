/** Put into a page before its own scripts: its offers then lack a codec, as those of browsers that do not have it. */
export function withoutCodec(name) {
  const type = `video/${name}`.toLowerCase();
  for (const method of ["createOffer", "setLocalDescription"]) { // the second makes an offer too
    const original = RTCPeerConnection.prototype[method];
    RTCPeerConnection.prototype[method] = function (...args) {
      for (const transceiver of this.signalingState === "stable" ? this.getTransceivers() : []) {
        if (transceiver.sender.track?.kind === "video") {
          const { codecs } = RTCRtpSender.getCapabilities("video");
          transceiver.setCodecPreferences(codecs.filter((codec) => codec.mimeType.toLowerCase() !== type));
        }
      }
      return original.apply(this, args);
    };
  }
}
