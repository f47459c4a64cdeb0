// Package transcode makes renditions of a stream's media, once for all who read them: AAC from any sound.
//
// Audio.Feed starts the encoder of a source with its first user; stream.Source runs its goroutine and joins it after the
// last. Inside, the parts follow each other in one goroutine: a decoder, the aligner, which decides from each packet's
// timestamp what belongs where, the tape, which counts samples and joins them without clicks, and the packager, which
// encodes full frames and stamps them with that count. Aligner and tape know no codec and no clock; the codecs are
// package libav's.
package transcode
