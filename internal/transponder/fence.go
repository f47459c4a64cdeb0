package transponder

import (
	"context"
	"fmt"
	"net"
	"time"
)

const (
	// unfedFor and unfedLooks: a push of a process that is cut off from the others ends here if it has got no media for so long, at so many looks
	// in a row. One look is not enough: a process that was paused finds all media old when it wakes. Together that is 2 s.
	unfedFor   = 1500 * time.Millisecond
	unfedLooks = 3
	unfedLook  = 250 * time.Millisecond
)

// errAlone ends a push in this process because its publisher may be at another one, and nobody can say.
var errAlone = fmt.Errorf("this server is cut off from the others, and the publisher sends nothing: %w", ErrMoved)

// fence waits until another process has the push, or may get it while this process cannot know of that. It returns why the push ends here, or nil
// once over is closed.
func (e *entry) fence(over <-chan struct{}) error {
	looks := 0
	for {
		changed := e.claim.Changed()
		var look <-chan time.Time
		if _, alone := e.claim.Alone(); !alone {
			looks = 0
		} else {
			if looks++; time.Since(e.in.Source().LastMedia()) < unfedFor {
				looks = 0
			}
			if looks >= unfedLooks {
				return errAlone
			}
			look = time.After(unfedLook)
		}
		select {
		case <-e.claim.Lost():
			return ErrMoved
		case <-over:
			return nil
		case <-changed:
		case <-look:
		}
	}
}

// untilTogether waits until this process may connect to a destination: not while it is cut off from the others, or unsure of its lease.
func (p *push) untilTogether(ctx context.Context) error {
	for {
		changed := p.claim.Changed()
		if _, alone := p.claim.Alone(); !alone && p.claim.Open() {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// reset closes a connection without sending what the kernel still holds: another process may be writing to the same address.
func reset(conn net.Conn) {
	if secured, ok := conn.(*securedConn); ok {
		conn = secured.NetConn()
	}
	if c, ok := conn.(interface{ SetLinger(int) error }); ok {
		_ = c.SetLinger(0) // the connection is closed next, whatever comes of that
	}
}
