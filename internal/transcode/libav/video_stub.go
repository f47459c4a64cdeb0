//go:build !cgo

package libav

import (
	"image"

	"transponder/internal/media"
)

// Video does not exist in this build.
type Video struct{}

// NewVideo fails with ErrDisabled.
func NewVideo(VideoConfig) (*Video, error) { return nil, ErrDisabled }

// Decode fails with ErrDisabled.
func (v *Video) Decode(media.Frame) error { return ErrDisabled }

// Pending returns 0.
func (v *Video) Pending() int { return 0 }

// Drop does nothing.
func (v *Video) Drop() {}

// Encode fails with ErrDisabled.
func (v *Video) Encode(bool, func(media.Frame) error) error { return ErrDisabled }

// Snapshot fails with ErrDisabled.
func (v *Video) Snapshot() (*image.NRGBA, error) { return nil, ErrDisabled }

// Stats returns nothing.
func (v *Video) Stats() VideoStats { return VideoStats{} }

// Close does nothing.
func (v *Video) Close() {}
