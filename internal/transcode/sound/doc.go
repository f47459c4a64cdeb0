// Package sound converts the sound of live streams: to AAC, G.711, G.722, Speex or Opus, from these and MP3.
//
// Transcoder.Feed returns the sound of a source in one format. The first user of a format starts a rendition, that is, one encoder
// for all users of that format; stream.Source runs the goroutine of the rendition, and waits for its end after the last user left.
// In that goroutine one part hands on to the next: the decoder; the aligner, which decides from each packet's timestamp where the
// sound belongs; the tape, which counts samples and joins sound without clicks; and the packager, which fills whole frames, encodes
// them and stamps them with the count of samples. Aligner and tape know no codec and no clock.
//
// Package aac makes AAC; package libav (FFmpeg) makes and decodes all other codecs. If the settings ask for FFmpeg's AAC encoder,
// the pairEncoder saves half of the cost where both channels are the same: it encodes one channel and sends it as stereo.
//
// Silence replaces the sound of a frame by silence of the same codec and length, without an encoder.
package sound
