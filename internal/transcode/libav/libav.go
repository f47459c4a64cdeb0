//go:build cgo

package libav

/*
#cgo pkg-config: libavcodec libavutil libswresample
#cgo CFLAGS: -O2 -Wall
#include "audio.h"
*/
import "C"

import (
	"errors"
	"unsafe"
)

// Enabled reports whether this build has codecs.
const Enabled = true

func init() { C.tp_quiet() }

// Version returns the version of FFmpeg's libraries, "" in a build without codecs.
func Version() string { return C.GoString(C.tp_version()) }

// avError turns an error code of FFmpeg into an error with FFmpeg's text.
func avError(code C.int) error {
	var text [128]C.char
	C.tp_error(code, &text[0], C.int(len(text)))
	return errors.New(C.GoString(&text[0]))
}

// bytesPtr returns a pointer to the data of b, for a C function that does not keep it.
func bytesPtr(b []byte) *C.uint8_t { return (*C.uint8_t)(unsafe.Pointer(unsafe.SliceData(b))) }

// pcmPtr does the same for PCM.
func pcmPtr(pcm []float32) *C.float { return (*C.float)(unsafe.Pointer(unsafe.SliceData(pcm))) }
