package rtmpserver

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"transponder/internal/access"
	"transponder/internal/guard"
	"transponder/internal/hook"
	"transponder/internal/rtmp"
	"transponder/internal/stream"
)

var (
	// errActivity is why a stream ended whose publisher sent nothing for too long.
	errActivity = errors.New("no data from the RTMP publisher for too long")
	// errPublisherClosed is why a stream ended whose publisher stopped it or closed the connection.
	errPublisherClosed = errors.New("the RTMP publisher closed the stream")
	// errCodec is why a stream ended whose publisher sends a codec that cannot be used.
	errCodec = errors.New("the RTMP publisher sends an unsupported codec")

	errRefused = errors.New("refused")
)

// session is one connection. Its fields belong to the goroutine of serve. publish and play start other goroutines and join them.
type session struct {
	srv  *Server
	net  *timedConn
	conn *rtmp.ServerConn
	peer netip.Addr   // the address of the client
	who  rtmp.Connect // set by run

	admitted  func()            // the client may publish or play
	hooks     *hook.Session     // of the application; set by run
	relayed   *stream.Info      // what another server of the cluster publishes; nil: the client is none; set by run
	principal *access.Principal // whom the backend of the application has admitted; nil if it does not decide alone

	id  string
	log *slog.Logger

	toldVideo, toldAudio bool // the log has that some of the pictures, or of the sound, cannot be used
}

// serve serves one client until it disconnects or ctx ends. secure is the configuration of TLS, nil for a connection without it.
// admitted is called when the client may publish or play.
func (s *Server) serve(ctx context.Context, nc net.Conn, secure *tls.Config, admitted func()) {
	tc := &timedConn{Conn: nc, under: nc, write: s.cfg.WriteTimeout}
	if secure != nil {
		tc.Conn = tls.Server(nc, secure) // the first read makes the handshake
	}
	c := &session{srv: s, net: tc, conn: rtmp.NewServerConn(tc, s.budget), id: stream.NewID(), admitted: admitted}
	c.peer, _ = guard.RemoteAddress(nc.RemoteAddr().String())
	tc.unfinished = c.conn.Unfinished
	defer c.conn.Release()
	c.log = s.log.With("session", c.id, "peer", nc.RemoteAddr().String())
	stop := context.AfterFunc(ctx, func() { nc.Close() }) // the only way out of a blocked read or write
	defer stop()
	defer nc.Close()

	opened := time.Now()
	err := c.safely(func() error { return c.run(ctx) })
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if errors.Is(err, errRefused) || errors.Is(err, errCodec) || errors.Is(err, errPlayed) || errors.Is(err, rtmp.ErrProtocol) {
		c.net.linger()
	}
	c.hooks.Close(closeWords(err))
	c.log.Info("rtmp connection closed", "err", err, "duration", time.Since(opened).Round(time.Millisecond),
		"received", c.conn.BytesReceived(), "sent", c.conn.BytesSent())
}

// closeWords returns why a connection has ended, for the backend of its application; "": the client has left.
func closeWords(err error) string {
	if err == nil || errors.Is(err, io.EOF) {
		return ""
	}
	return err.Error()
}

// safely runs f. If f panics, the error ends this connection and no other.
func (c *session) safely(f func() error) error {
	return c.srv.panics.Run(c.log, "rtmp connection panicked", f)
}

// run serves the requests of the client one after another.
func (c *session) run(ctx context.Context) error {
	c.net.limit(c.srv.cfg.HandshakeTimeout)
	if err := c.conn.Handshake(); err != nil {
		c.srv.counters.strangers.Add(1)
		return err
	}
	var err error
	if c.who, err = c.conn.ReadConnect(); err != nil {
		c.srv.counters.strangers.Add(1)
		return err
	}
	if r := c.srv.parts.Relays; r != nil {
		if info, ok := r.Expects(c.who.App); ok {
			c.relayed = &info
		}
	}
	if c.relayed == nil {
		if err := c.open(ctx); err != nil {
			return c.reject(ctx, err)
		}
	}
	if err := c.conn.Grant(); err != nil {
		c.srv.counters.strangers.Add(1)
		return err
	}
	c.log.Info("rtmp connection open", "flashVersion", c.who.FlashVersion)
	c.net.limit(c.srv.cfg.HandshakeTimeout) // the backend may have taken a while
	for {
		req, err := c.conn.Next()
		if err != nil {
			return err
		}
		asked := parseRequest(c.who.App, req.Name)
		switch {
		case c.relayed != nil && req.Verb == rtmp.Publish:
			return c.relay(ctx, req.Name)
		case req.Verb == rtmp.Publish:
			err = c.publish(ctx, asked)
		default:
			err = c.play(ctx, asked)
		}
		if !errors.Is(err, rtmp.ErrStreamClosed) {
			return err
		}
		c.net.limit(c.srv.cfg.HandshakeTimeout)
	}
}

// refuse tells the client why its request is refused, and counts the refusal. The returned error ends the connection.
func (c *session) refuse(code, description string, cause error) error {
	c.srv.counters.refused.Add(1)
	c.log.Warn("rtmp request refused", "code", code, "err", cause)
	if err := c.conn.Refuse(code, description); err != nil {
		return err
	}
	return errRefused
}

// reject refuses the connection, and counts the refusal. The returned error ends the connection.
func (c *session) reject(ctx context.Context, cause error) error {
	if err := waitFor(ctx, refusalPause); err != nil {
		return err
	}
	c.srv.counters.refused.Add(1)
	c.log.Warn("rtmp connection refused", "err", cause)
	if err := c.conn.Reject(wordsFor(cause)); err != nil {
		return err
	}
	return errRefused
}

// address returns the application, without its query, and the stream key of a request. For rtmp://HOST/live/show some clients, MediaMTX for
// one, send the application "live/show" and an empty key. The name is then the last part of the application.
func address(app, key string) (application, streamKey string) {
	app, _, _ = strings.Cut(app, "?")
	path := strings.Trim(app, "/")
	if i := strings.LastIndexByte(path, '/'); i >= 0 && streamName(key) == "" {
		return path[:i], path[i+1:] + key
	}
	return app, key
}

// streamName returns a published or played name without its query, which may have secrets.
func streamName(name string) string {
	name, _, _ = strings.Cut(name, "?")
	return strings.Trim(name, "/")
}

// minSecret is the shortest value in a query that may be a secret. Shorter values are options and names.
const minSecret = 8

// secretQuery returns the queries of an application and of a stream key as one text if they may have a secret, otherwise "".
func secretQuery(app, key string) string {
	_, a, _ := strings.Cut(app, "?")
	_, k, _ := strings.Cut(key, "?")
	for pair := range strings.SplitSeq(a+"&"+k, "&") {
		if _, value, _ := strings.Cut(pair, "="); len(value) >= minSecret {
			return a + "&" + k
		}
	}
	return ""
}

// lingerTime is how long a client may take to read the last answer.
const lingerTime = time.Second

// timedConn is a connection on which each write has a deadline of its own. Reads have one too if patience was called.
type timedConn struct {
	net.Conn
	under net.Conn // below TLS; Conn itself without TLS
	write time.Duration
	idle  time.Duration // of a read; 0: the deadline that limit has set. Set while nothing reads
	early atomic.Bool   // the publisher is read ahead of its time
	short atomic.Bool   // see hurry

	unfinished func() time.Time // when the oldest message began that is not complete yet; called by the goroutine that reads
}

// limit sets one deadline for all reads together.
func (c *timedConn) limit(d time.Duration) {
	c.idle = 0
	c.SetReadDeadline(time.Now().Add(d))
}

// patience gives each read d, and also all reads of one message together; 0: there is no deadline.
func (c *timedConn) patience(d time.Duration) {
	c.idle = d
	c.SetReadDeadline(time.Time{})
}

// interrupt ends the present read, and all further ones until limit is called.
func (c *timedConn) interrupt() { c.SetReadDeadline(time.Unix(1, 0)) }

// Unread returns how many bytes have arrived and have not been read, 0 if the system does not tell. If the publisher is read ahead of its
// time, Unread waits a little for bytes: nearly always more of them come, or the end of the connection.
func (c *timedConn) Unread() int {
	sys, ok := c.under.(syscall.Conn)
	if !ok {
		return 0
	}
	raw, err := sys.SyscallConn()
	if err != nil {
		return 0
	}
	n := 0
	if err := raw.Control(func(fd uintptr) {
		if v, err := unix.IoctlGetInt(int(fd), unix.SIOCINQ); err == nil {
			n = v
		}
		if n == 0 && c.early.Load() {
			n, _ = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(earlyWait.Milliseconds()))
		}
	}); err != nil {
		return 0
	}
	return n
}

// earlyWait is how long Unread waits. A publisher that sends faster than its media plays, and is silent for this long, waits for an
// acknowledgement.
const earlyWait = 200 * time.Millisecond

// Read reads within the deadline.
func (c *timedConn) Read(b []byte) (int, error) {
	if c.idle > 0 {
		until := time.Now()
		if since := c.unfinished(); !since.IsZero() {
			until = since
		}
		c.SetReadDeadline(until.Add(c.idle))
	}
	return c.Conn.Read(b)
}

// hurryTime is how long a write may take to a client that has lost his rights.
const hurryTime = 500 * time.Millisecond

// hurry lets the present write and all further ones take hurryTime at most.
func (c *timedConn) hurry() {
	c.short.Store(true)
	c.SetWriteDeadline(time.Now().Add(hurryTime))
}

// Write writes within the deadline.
func (c *timedConn) Write(b []byte) (int, error) {
	limit := c.write
	if c.short.Load() {
		limit = min(limit, hurryTime)
	}
	c.SetWriteDeadline(time.Now().Add(limit))
	return c.Conn.Write(b)
}

// linger lets the client read what was sent last. If a connection is closed while it has unread data, the system resets it, and bytes on
// the way to the client are lost.
func (c *timedConn) linger() {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		c.limit(lingerTime)
		_, _ = io.Copy(io.Discard, c)
	}
}

// publishEnd returns why the stream ended, from why reading from its publisher ended.
func publishEnd(err error) error {
	var broken *net.OpError
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return errActivity
	case errors.Is(err, rtmp.ErrStreamClosed), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errPublisherClosed
	case errors.As(err, &broken):
		return fmt.Errorf("%w: %w", errPublisherClosed, err)
	default:
		return err
	}
}
