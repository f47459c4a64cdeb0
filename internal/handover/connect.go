package handover

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"syscall"
	"time"
)

// RefusedError says why the old process does not hand over.
type RefusedError struct{ Why string }

// Error says so.
func (e *RefusedError) Error() string { return "the server that runs does not hand over: " + e.Why }

// Predecessor is the old process, from the new one's side. One goroutine may call its methods. A nil Predecessor has nothing and does nothing.
type Predecessor struct {
	PID     int
	Version string
	Sockets *Sockets

	line line
	log  *slog.Logger
}

// Connect asks the process that uses a state folder for its sockets. It returns nil if there is none, or one that does not hand over because it
// is too old to know how. The error is a *RefusedError if the process does not want to.
func Connect(ctx context.Context, dir, version string, log *slog.Logger) (*Predecessor, error) {
	if dir == "" {
		return nil, nil
	}
	var c net.Conn
	err := withAddress(dir, func(a *net.UnixAddr) (err error) {
		d := net.Dialer{Timeout: talkTimeout}
		c, err = d.DialContext(context.WithoutCancel(ctx), a.Net, a.Name) // there is no wait that could be cancelled
		return err
	})
	switch {
	case errors.Is(err, os.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ENOTDIR):
		return nil, nil // nobody listens
	case err != nil:
		return nil, fmt.Errorf("connect to the server that runs: %w", err)
	}
	p := &Predecessor{line: line{c.(*net.UnixConn)}}
	if err := p.greet(version); err != nil {
		c.Close()
		if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
			return nil, nil // it has ended just now
		}
		return nil, err
	}
	p.log = log.With("pid", p.PID, "version", p.Version)
	return p, nil
}

func (p *Predecessor) greet(version string) error {
	if _, err := peer(p.line.conn); err != nil {
		return fmt.Errorf("the server that runs is not to be trusted: %w", err)
	}
	deadline := time.Now().Add(2 * talkTimeout)
	if err := p.line.send(message{Kind: kindHello, Protocol: protocol, Least: 1, Version: version, PID: os.Getpid()}, nil, deadline); err != nil {
		return err
	}
	m, files, err := p.line.receive(deadline)
	switch {
	case err != nil:
		return err
	case m.Kind == kindRefused:
		closeAll(files)
		return &RefusedError{m.Why}
	case m.Kind != kindSockets:
		closeAll(files)
		return errStrange
	case m.Least > protocol:
		closeAll(files)
		return &RefusedError{fmt.Sprintf("version %s needs a newer one than %s to take over", m.Version, version)}
	}
	p.PID, p.Version, p.Sockets = m.PID, m.Version, &Sockets{}
	for i, f := range files {
		p.Sockets.add(m.Names[i], f)
	}
	return nil
}

// Ready says that all that can fail is done, and returns when the old process has ended its work: it has said so, or it is gone. told is called
// with what the old process says meanwhile.
func (p *Predecessor) Ready(ctx context.Context, told func(streams int, left time.Duration)) error {
	if p == nil {
		return nil
	}
	stop := context.AfterFunc(ctx, func() { p.line.conn.Close() })
	defer stop()
	err := p.line.send(message{Kind: kindReady}, nil, time.Now().Add(talkTimeout))
	for err == nil {
		var m message
		var files []*os.File
		m, files, err = p.line.receive(time.Time{})
		closeAll(files)
		switch {
		case err != nil:
		case m.Kind == kindYours:
			return nil
		case m.Kind == kindRefused:
			return &RefusedError{m.Why}
		case m.Kind == kindWait:
			told(m.Streams, time.Duration(m.LeftMs)*time.Millisecond)
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	p.log.Warn("the server that handed over has ended before it was done: going on as after a crash", "err", err)
	return nil
}

// Serving tells the old process to exit.
func (p *Predecessor) Serving() {
	if p == nil {
		return
	}
	if err := p.line.send(message{Kind: kindServing}, nil, time.Now().Add(talkTimeout)); err != nil {
		p.log.Warn("the server that handed over does not listen", "err", err)
	}
	p.line.conn.Close()
}

// Close lets the old process go on, if it has not ended its work.
func (p *Predecessor) Close() {
	if p == nil {
		return
	}
	p.line.conn.Close()
	p.Sockets.Close()
}
