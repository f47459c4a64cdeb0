//go:build !linux

package peer

import "syscall"

// canShare is false: other systems do not spread peers over sockets of one port.
const canShare = false

func share(syscall.RawConn) error { return nil }
