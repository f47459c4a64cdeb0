package flv

import "errors"

// ErrUnsupported means a codec or a form of it that is known but not taken.
var ErrUnsupported = errors.New("codec is not supported over RTMP")
