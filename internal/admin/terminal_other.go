//go:build !linux

package admin

import (
	"errors"
	"os"
)

// hideInput fails: the command then reads a line, which a terminal shows.
func hideInput(*os.File) (restore func(), err error) { return nil, errors.ErrUnsupported }
