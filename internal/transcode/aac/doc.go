// Package aac is an encoder of AAC-LC (ISO/IEC 14496-3, 4) for servers with hundreds of streams. It takes a sixth of the time of
// FFmpeg's encoder with its fast coder, and 50 kB of memory instead of a megabyte.
//
// A psychoacoustic model tells how much noise each band may have. Scale factors are computed from that, and the spectrum is quantised
// once, where other encoders try several quantisers. A frame whose channels are the same is encoded as mid with an empty side; the
// form of the stream never changes. There are long and short windows, M/S stereo by bands, a bit reservoir, and perceptual noise
// substitution; there is no TNS and no intensity stereo.
//
// The code is C, because its loops need vector instructions: spectrum.c makes the spectrum, model.c is the psychoacoustic model,
// code.c writes bits, aac.c decides which band gets how many bits. The transform is libavutil's. Without cgo, New fails with
// libav.ErrDisabled.
package aac
