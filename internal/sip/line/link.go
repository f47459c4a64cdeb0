package line

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// maxQueued is how many messages wait for a slow connection. After that it is closed: the peer has to make a new one. When the server ends,
// every call of a trunk sends its BYE at once.
const maxQueued = 1024

var errSlow = errors.New("the peer reads too slowly")

// link is one TCP or TLS connection.
type link struct {
	route   route
	inbound bool
	out     chan []byte

	used  time.Time // the last message; owned by the goroutine of the Line
	conn  net.Conn  // of an inbound connection; owned by run
	ended chan struct{}
	once  sync.Once
	cause error // why end was called; set before ended is closed
}

func newLink(r route, conn net.Conn) *link {
	return &link{route: r, inbound: conn != nil, out: make(chan []byte, maxQueued), conn: conn, ended: make(chan struct{})}
}

// write queues bytes. A peer that does not read loses the connection.
func (c *link) write(data []byte) error {
	select {
	case c.out <- data:
		return nil
	default:
		c.end(errSlow)
		return errSlow
	}
}

// end closes the connection. It may be called from any goroutine.
func (c *link) end(cause error) {
	c.once.Do(func() {
		c.cause = cause
		close(c.ended)
	})
}

// run makes the connection if there is none, and carries messages until it ends. It returns why.
func (c *link) run(ctx context.Context, s *links) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	conn := c.conn
	if conn == nil {
		var err error
		if conn, err = s.dial(ctx, c.route); err != nil {
			return err
		}
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() }) // the only way out of a blocked read
	defer stop()
	if secure, ok := conn.(*tls.Conn); ok && c.inbound {
		within, done := context.WithTimeout(ctx, s.cfg.Timers.Finish)
		defer done()
		if err := secure.HandshakeContext(within); err != nil {
			return err
		}
	}
	s.log.Debug("SIP connection", "transport", c.route.transport, "peer", c.route.remote, "inbound", c.inbound)
	var wg sync.WaitGroup
	wg.Go(func() {
		cancel(s.confine(func() error { return c.writeAll(ctx, conn, s.cfg.Timers.Finish, &s.counts.sent) }))
	})
	wg.Go(func() {
		cancel(s.confine(func() error { return c.readAll(ctx, conn, s) }))
	})
	wg.Wait()
	return context.Cause(ctx)
}

func (c *link) writeAll(ctx context.Context, conn net.Conn, limit time.Duration, sent *atomic.Int64) error {
	for {
		select {
		case data := <-c.out:
			if err := conn.SetWriteDeadline(time.Now().Add(limit)); err != nil {
				return err
			}
			if _, err := conn.Write(data); err != nil {
				return err
			}
			if len(data) > len(ping) {
				sent.Add(1)
			}
		case <-c.ended:
			return c.cause
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (c *link) readAll(ctx context.Context, conn net.Conn, s *links) error {
	f := &framer{
		reader:   bufio.NewReaderSize(conn, 4<<10),
		deadline: func(on bool) error { return conn.SetReadDeadline(deadline(on, s.cfg.Timers.Finish)) },
		pong:     func() { _ = c.write(ping[:2]) },
	}
	for {
		data, err := f.next()
		if err != nil {
			if errors.Is(err, errFrame) {
				s.counts.malformed.Add(1)
			}
			return err
		}
		s.post(ctx, func(now time.Time) { c.used = now })
		s.received(ctx, data, c.route.origin(), true)
	}
}

// deadline returns when a message must be complete, or no time between messages.
func deadline(on bool, limit time.Duration) time.Time {
	if !on {
		return time.Time{}
	}
	return time.Now().Add(limit)
}
