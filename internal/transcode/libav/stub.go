//go:build !cgo

package libav

import "transponder/internal/media"

// Enabled reports whether this build has codecs.
const Enabled = false

// Version returns "".
func Version() string { return "" }

// OpusDecoder does not exist in this build.
type OpusDecoder struct{}

// NewOpusDecoder fails with ErrDisabled.
func NewOpusDecoder() (*OpusDecoder, error) { return nil, ErrDisabled }

// Decode fails with ErrDisabled.
func (d *OpusDecoder) Decode([]float32, []byte) (int, error) { return 0, ErrDisabled }

// Conceal fails with ErrDisabled.
func (d *OpusDecoder) Conceal([]float32, int) (int, error) { return 0, ErrDisabled }

// Recover fails with ErrDisabled.
func (d *OpusDecoder) Recover([]float32, int, []byte) (int, error) { return 0, ErrDisabled }

// Delay returns 0.
func (d *OpusDecoder) Delay() int { return 0 }

// Close does nothing.
func (d *OpusDecoder) Close() {}

// Decoder does not exist in this build.
type Decoder struct{}

// NewDecoder fails with ErrDisabled.
func NewDecoder(*media.Track) (*Decoder, error) { return nil, ErrDisabled }

// Decode fails with ErrDisabled.
func (d *Decoder) Decode([]float32, []byte) (int, error) { return 0, ErrDisabled }

// Delay returns 0.
func (d *Decoder) Delay() int { return 0 }

// Close does nothing.
func (d *Decoder) Close() {}

// CanEncode says no.
func CanEncode(media.Codec) bool { return false }

// Encoder does not exist in this build.
type Encoder struct{}

// NewEncoder fails with ErrDisabled.
func NewEncoder(media.AudioFormat) (*Encoder, error) { return nil, ErrDisabled }

// FrameSize returns 0.
func (e *Encoder) FrameSize() int { return 0 }

// Delay returns 0.
func (e *Encoder) Delay() int { return 0 }

// Config returns nil.
func (e *Encoder) Config() []byte { return nil }

// Encode fails with ErrDisabled.
func (e *Encoder) Encode([]float32) ([]byte, error) { return nil, ErrDisabled }

// Close does nothing.
func (e *Encoder) Close() {}
