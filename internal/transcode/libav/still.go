//go:build cgo

package libav

/*
#cgo pkg-config: libswscale
#include "still.h"
*/
import "C"

import (
	"fmt"
	"image"
	"runtime"
	"unsafe"
)

// EncodeStill encodes a picture as one H.264 IDR picture of constrained baseline profile: an access unit with start codes and
// parameter sets. The picture is scaled to fit into width x height, which are even, and centred on black. It takes 20 to 150
// ms.
func EncodeStill(picture *image.NRGBA, width, height int) ([]byte, error) {
	from := picture.Bounds().Size()
	if from.X < 1 || from.Y < 1 || picture.Stride != 4*from.X || width < 16 || height < 16 || width%2 != 0 || height%2 != 0 {
		return nil, fmt.Errorf("encode a picture of %v as %dx%d: %w", from, width, height, ErrUnsupported)
	}
	var out *C.uint8_t
	n := C.tp_still_encode(bytesPtr(picture.Pix), C.int(from.X), C.int(from.Y), C.int(width), C.int(height), &out)
	runtime.KeepAlive(picture)
	if n < 0 {
		return nil, fmt.Errorf("encode a picture: %w", avError(n))
	}
	defer C.tp_still_free(out)
	return C.GoBytes(unsafe.Pointer(out), n), nil
}
