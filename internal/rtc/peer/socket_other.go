//go:build !linux

package peer

import (
	"net/netip"
	"syscall"
)

// canShare is false: other systems do not spread peers over sockets of one port.
const canShare = false

func share(syscall.RawConn) error { return nil }

func tellDestination(syscall.RawConn, string) error { return nil }

func sourceControl(netip.Addr) []byte { return nil }
