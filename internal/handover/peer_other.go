//go:build !linux

package handover

import (
	"errors"
	"net"
)

// peer fails: how to ask for the user of the other process differs from system to system.
func peer(*net.UnixConn) (pid int, err error) { return 0, errors.ErrUnsupported }
