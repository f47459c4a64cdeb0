package peer

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"syscall"
)

// socket is one of those that share the port.
type socket struct{ *net.UDPConn }

// listen opens a socket on a port, which others share if asked for. The first one of a port is bound alone, so that a
// second server on the same port fails in place of taking half of the first one's packets; only then is it shared.
func listen(ctx context.Context, network string, port, readBuffer int, join bool) (*socket, error) {
	var lc net.ListenConfig
	if join {
		lc.Control = func(_, _ string, raw syscall.RawConn) error { return share(raw) }
	}
	pc, err := lc.ListenPacket(ctx, network, net.JoinHostPort("", strconv.Itoa(port)))
	if err != nil {
		return nil, err
	}
	c := pc.(*net.UDPConn)
	if err := prepare(c, network, join); err != nil {
		c.Close()
		return nil, err
	}
	if readBuffer > 0 {
		_ = c.SetReadBuffer(readBuffer) // as much as the kernel allows
	}
	return &socket{c}, nil
}

func prepare(c *net.UDPConn, network string, shared bool) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	if !shared {
		if err := share(raw); err != nil {
			return fmt.Errorf("share the port: %w", err)
		}
	}
	if err := tellDestination(raw, network); err != nil {
		return fmt.Errorf("ask for destination addresses: %w", err)
	}
	return nil
}
