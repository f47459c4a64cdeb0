// Package transcode makes renditions of a stream's media, once for all who read them: AAC, G.711 or Speex from any sound.
//
// Audio.Feed starts the encoder of a source and a format with its first user; stream.Source runs its goroutine and joins it after
// the last. Inside, the parts follow each other in one goroutine: a decoder, the aligner, which decides from each packet's
// timestamp what belongs where, the tape, which counts samples and joins them without clicks, and the packager, which
// brings full frames into the encoder's form, encodes them and stamps them with the count. Aligner and tape know no codec and no
// clock; AAC is made by package aac, all other codecs are package libav's. With FFmpeg's encoder for AAC, the pairEncoder codes one
// channel where both are the same, and sends it as stereo.
//
// Sounds puts WAV files in the place of live sound, and Silence nothing: frame by frame, without touching times and headers.
// Sounds.Run owns the goroutines that encode, one for each file that is played; a SoundPlayer only takes what they made.
package transcode
