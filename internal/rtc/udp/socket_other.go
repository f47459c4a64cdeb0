//go:build !linux

package udp

import (
	"net/netip"
	"syscall"
)

// canShare is false: other systems do not spread peers over sockets of one port.
const canShare = false

func share(syscall.RawConn) error { return nil }

func tellMore(syscall.RawConn, string) error { return nil }

func sourceControl(netip.Addr) []byte { return nil }
