package handover

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

const (
	// talkTimeout is how long the other process may take for a message that needs no work.
	talkTimeout = 5 * time.Second
	// ServeTimeout is how long the new process may take to serve after the old one has ended its work. After that the old process takes the
	// new one for hung. Opening a large database takes a second.
	ServeTimeout = 30 * time.Second
)

// Server is the old process's side: it offers the sockets to a new process.
type Server struct {
	version  string
	log      *slog.Logger
	sockets  *Sockets
	listener *net.UnixListener

	ready chan *Successor

	mu   sync.Mutex
	busy bool // guarded by mu; a process takes over
}

// Listen opens the unix socket in the state folder, which nobody else may use now. The sockets stay the caller's.
func Listen(dir, version string, sockets *Sockets, log *slog.Logger) (*Server, error) {
	s := &Server{version: version, log: log, sockets: sockets, ready: make(chan *Successor)}
	err := withAddress(dir, func(a *net.UnixAddr) error {
		if err := os.Remove(a.Name); err != nil && !errors.Is(err, os.ErrNotExist) { // of a process that has ended
			return err
		}
		l, err := net.ListenUnix(a.Net, a)
		if err != nil {
			return err
		}
		l.SetUnlinkOnClose(false) // the name may be another process's by then
		s.listener = l
		return os.Chmod(a.Name, 0o600)
	})
	if err != nil {
		if s.listener != nil {
			s.listener.Close()
		}
		return nil, fmt.Errorf("open the socket for a process that takes over: %w", err)
	}
	return s, nil
}

// Ready gives the process that is ready to take over. The receiver calls Yours, or waits for Gone.
func (s *Server) Ready() <-chan *Successor { return s.ready }

// Run serves new processes until ctx ends. A Successor that Ready has given lives on.
func (s *Server) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	stop := context.AfterFunc(ctx, func() { s.listener.Close() })
	defer stop()
	for {
		c, err := s.listener.AcceptUnix()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				c.Close()
			}
			return context.Cause(ctx)
		case err != nil:
			s.log.Warn("a process that takes over was not accepted", "err", err)
			if err := pause(ctx, talkTimeout/10); err != nil {
				return err
			}
			continue
		}
		wg.Go(func() { s.serve(ctx, c) })
	}
}

// serve talks to one process until it is ready. Then the Successor has the connection.
func (s *Server) serve(ctx context.Context, c *net.UnixConn) {
	l := line{c}
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	n, err := s.greet(l)
	if err != nil {
		s.log.Warn("process may not take over", "err", err)
		_ = l.send(message{Kind: kindRefused, Why: err.Error()}, nil, time.Now().Add(talkTimeout)) // it may be gone
		c.Close()
		return
	}
	defer s.free()
	n.log.Info("process prepares to take over")
	switch m, files, err := l.receive(time.Time{}); {
	case err != nil:
		n.log.Warn("process that prepared to take over has ended: this one goes on", "err", err)
	case m.Kind != kindReady:
		closeAll(files)
		n.log.Warn("process that prepared to take over made a mistake: this one goes on", "message", m.Kind)
		_ = l.send(message{Kind: kindRefused, Why: errStrange.Error()}, nil, time.Now().Add(talkTimeout)) // without an answer it would take this process for dead
	default:
		go n.watch() // ends with the connection, which Yours or the process's end closes
		select {
		case s.ready <- n:
			stop() // the successor outlives the server: it is told when the work has ended
			<-n.gone
			return
		case <-n.gone:
		case <-ctx.Done():
		}
	}
	c.Close()
}

// greet checks who connects, and sends the sockets.
func (s *Server) greet(l line) (*Successor, error) {
	pid, stranger := peer(l.conn)
	hello, files, err := l.receive(time.Now().Add(talkTimeout)) // also of a stranger: an unread message would reset the connection, and the answer with it
	closeAll(files)
	switch {
	case stranger != nil:
		return nil, stranger
	case err != nil:
		return nil, err
	case hello.Kind != kindHello:
		return nil, errStrange
	case hello.Least > protocol:
		return nil, fmt.Errorf("version %s cannot take over from version %s", hello.Version, s.version)
	case os.Getpid() == 1:
		return nil, errors.New("this is process 1, and the container ends with it: start another container")
	case !s.take():
		return nil, errors.New("another process is taking over already")
	}
	err = s.sockets.descriptors(func(names []string, fds []int) error {
		m := message{Kind: kindSockets, Protocol: protocol, Least: 1, Version: s.version, PID: os.Getpid(), Names: names}
		return l.send(m, fds, time.Now().Add(talkTimeout))
	})
	if err != nil {
		s.free()
		return nil, err
	}
	return &Successor{PID: pid, Version: hello.Version, line: l, gone: make(chan struct{}), serving: make(chan struct{}),
		log: s.log.With("pid", pid, "version", hello.Version)}, nil
}

// Busy reports whether a process prepares to take over, or is ready.
func (s *Server) Busy() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.busy
}

func (s *Server) take() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.busy
	s.busy = true
	return !was
}

func (s *Server) free() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.busy = false
}

// Successor is a process that is ready to take over. One goroutine may call its methods.
type Successor struct {
	PID     int
	Version string

	line line
	log  *slog.Logger

	gone    chan struct{} // closed when the connection ends
	serving chan struct{} // closed when the successor serves
}

// watch reads what the successor says.
func (n *Successor) watch() {
	defer close(n.gone)
	for {
		m, files, err := n.line.receive(time.Time{})
		closeAll(files)
		if err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) {
				n.log.Warn("process that takes over: connection lost", "err", err)
			}
			n.line.conn.Close()
			return
		}
		if m.Kind == kindServing {
			close(n.serving)
			n.line.conn.Close()
			return
		}
	}
}

// Gone is closed when the successor has ended, or serves.
func (n *Successor) Gone() <-chan struct{} { return n.gone }

// Wait tells the successor how long the work of this process may still take.
func (n *Successor) Wait(streams int, left time.Duration) error {
	return n.line.send(message{Kind: kindWait, Streams: streams, LeftMs: left.Milliseconds()}, nil, time.Now().Add(talkTimeout))
}

// Leave tells the successor that this process goes on.
func (n *Successor) Leave(why string) {
	_ = n.line.send(message{Kind: kindRefused, Why: why}, nil, time.Now().Add(talkTimeout)) // it may be gone
	n.line.conn.Close()
	<-n.gone
}

// Yours tells the successor that the sockets and the state are its own, and returns when it serves. If it fails, the successor has ended: one
// that hangs is killed.
func (n *Successor) Yours(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, ServeTimeout, fmt.Errorf("process %d does not serve after %v", n.PID, ServeTimeout))
	defer cancel()
	err := n.line.send(message{Kind: kindYours}, nil, time.Now().Add(talkTimeout))
	if err == nil {
		select {
		case <-n.gone:
			select {
			case <-n.serving:
				return nil
			default:
				err = fmt.Errorf("process %d has ended before it served", n.PID)
			}
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
	}
	select {
	case <-n.gone: // its process may be another one's number now
	default:
		err = errors.Join(err, kill(n.PID))
		n.line.conn.Close()
		<-n.gone
	}
	return err
}

func kill(pid int) error {
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("kill process %d: %w", pid, err)
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
