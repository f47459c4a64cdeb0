// Package aac is an encoder of AAC-LC (ISO/IEC 14496-3, 4), made for streams by the hundred: it takes a sixth of what FFmpeg's takes
// with its fast coder, and 50 kB of memory instead of a megabyte.
//
// It finds the noise that each band may have by a model of hearing, computes scale factors from that, and quantises once, where
// others try quantisers until they fit. A frame whose channels are the same is coded as one, its side silent; the stream's
// form never changes. There are long and short windows, middle and side by bands, a bit reservoir, and noise that stands for
// bands of noise where bits are few; there is no TNS and no intensity stereo.
//
// The code is C, as its loops want vectors: spectrum.c makes lines of samples, model.c says what can be heard, code.c makes
// bits, aac.c shares the bits out. The transform is libavutil's. Without cgo New fails with libav.ErrDisabled.
package aac
