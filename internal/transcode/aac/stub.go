//go:build !cgo

package aac

import (
	"transponder/internal/media"
	"transponder/internal/transcode/libav"
)

// Encoder does not exist in this build.
type Encoder struct{}

// New fails with libav.ErrDisabled.
func New(media.AudioFormat) (*Encoder, error) { return nil, libav.ErrDisabled }

// FrameSize returns 0.
func (e *Encoder) FrameSize() int { return 0 }

// Delay returns 0.
func (e *Encoder) Delay() int { return 0 }

// Config returns nil.
func (e *Encoder) Config() []byte { return nil }

// Encode fails with libav.ErrDisabled.
func (e *Encoder) Encode([]float32) ([]byte, error) { return nil, libav.ErrDisabled }

// Mono returns nothing.
func (e *Encoder) Mono() (packets, changes int64) { return 0, 0 }

// Close does nothing.
func (e *Encoder) Close() {}
