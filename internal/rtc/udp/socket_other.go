//go:build !linux

package udp

import (
	"errors"
	"net/netip"
	"syscall"
)

// canShare is false: other systems do not spread clients over the sockets of a port.
const canShare = false

func share(syscall.RawConn) error { return nil }

func force(syscall.RawConn, int) error { return errors.ErrUnsupported }

func granted(syscall.RawConn) int { return 0 }

func tellMore(syscall.RawConn, string) error { return nil }

func sourceControl(netip.Addr) []byte { return nil }
