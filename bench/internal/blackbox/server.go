package blackbox

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"transponder/bench/internal/proctree"
)

const stopTimeout = 6 * time.Second

// server is the black box: a command and all processes that it starts.
type server struct {
	cmd    *exec.Cmd
	ended  chan error // gets the result of Wait
	before []int      // children of ours from before the server, such as a NATS server; they outlive it
	beside int        // a child of ours that is not the server's; 0: there is none
}

func startServer(cfg Config) (*server, error) {
	if len(cfg.Command) == 0 {
		return nil, errors.New("no server command")
	}
	cmd := exec.Command(cfg.Command[0], cfg.Command[1:]...)
	cmd.Dir = cfg.Dir
	if cfg.Log != "" {
		log, err := os.Create(cfg.Log)
		if err != nil {
			return nil, err
		}
		defer log.Close()
		cmd.Stdout, cmd.Stderr = log, log
	}
	s := &server{cmd: cmd, ended: make(chan error, 1), before: proctree.Children(os.Getpid())}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the server: %w", err)
	}
	go func() { s.ended <- cmd.Wait() }() // stop sees it end
	return s, nil
}

// awaitReady returns when addr accepts connections.
func (s *server) awaitReady(ctx context.Context, addr string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, readyTimeout, fmt.Errorf("the server is not ready after %v", readyTimeout))
	defer cancel()
	var dialer net.Dialer
	for {
		conn, err := dialer.DialContext(ctx, "tcp", addr)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), err)
		case err := <-s.ended:
			s.ended <- err
			return fmt.Errorf("the server ended before it was ready: %v", err)
		case <-time.After(readyPoll):
		}
	}
}

// children returns our children since the server began: the server, what runs beside it, and processes whose own parent has gone.
func (s *server) children() []int {
	return slices.DeleteFunc(proctree.Children(os.Getpid()), func(pid int) bool { return slices.Contains(s.before, pid) })
}

// usage includes the use of our own reaped children: these are processes of the server that have ended.
func (s *server) usage(memory bool) (proctree.Usage, error) {
	roots := slices.DeleteFunc(s.children(), func(pid int) bool { return pid == s.beside })
	u, err := proctree.Measure(roots, memory)
	u.CPU += usedBy(unix.RUSAGE_CHILDREN)
	return u, err
}

// childUsage returns the processor time of the living processes that the server has started, in seconds.
func (s *server) childUsage() float64 {
	u, err := proctree.Measure(proctree.Children(s.cmd.Process.Pid), false)
	if err != nil {
		return 0
	}
	return u.CPU
}

// stop asks the server to end, and then kills all processes that have begun below this one since the server did.
func (s *server) stop() error {
	err := s.cmd.Process.Signal(unix.SIGTERM)
	select {
	case <-s.ended:
		err = nil
	case <-time.After(stopTimeout):
		err = errors.Join(err, fmt.Errorf("the server ran on for %v after SIGTERM", stopTimeout), s.cmd.Process.Kill())
		<-s.ended
	}
	for _, child := range s.children() {
		for _, pid := range append(proctree.Descendants(child), child) {
			_ = unix.Kill(pid, unix.SIGKILL) // it may have ended meanwhile
		}
	}
	return err
}
