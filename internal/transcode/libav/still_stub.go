//go:build !cgo

package libav

import "image"

// EncodeStill fails with ErrDisabled.
func EncodeStill(*image.NRGBA, int, int) ([]byte, error) { return nil, ErrDisabled }
