package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"transponder/internal/config"
	"transponder/internal/handover"
	"transponder/internal/logs"
	"transponder/internal/state"
)

// lastReady is how long a process that already prepares to take over may still need when this one has stopped.
const lastReady = 10 * time.Second

// Process is what Serve needs of the process that it runs in.
type Process struct {
	Version string
	Getenv  func(string) string

	Load   func() (config.Config, error) // reads the settings again; nil: a reload reads files only
	Levels *logs.Levels                  // of the log; nil: they do not change

	Hurry   <-chan os.Signal // signals to stop, after the one that has ended ctx; nil: they never come
	Upgrade <-chan os.Signal // signals to start a process that takes over

	// Start starts a process that takes over, and returns when that has ended. nil: it cannot be done.
	Start func(ctx context.Context) error
	// Again executes the image of this process again, with the sockets. It returns only if that fails.
	Again func(*handover.Sockets) error
	// Started is called when the server is about to serve.
	Started func(*App) error
}

// Serve takes over from the process that uses the state folder, if there is one, and serves. It returns when the server has stopped. A process
// that takes over serves by then. If that process fails, Serve ends with Process.Again.
func Serve(ctx context.Context, cfg config.Config, p Process, log *slog.Logger) error {
	before, err := handover.Connect(ctx, cfg.State.Dir, p.Version, log)
	if err != nil {
		return fmt.Errorf("state_dir=%s: %w", cfg.State.Dir, state.Advise(err, cfg.State.Dir))
	}
	defer before.Close()
	inherited, manager := handover.Inherited(p.Getenv), handover.NewManager(p.Getenv)
	if before != nil {
		inherited.Close()
		inherited = before.Sockets
		log.Info("taking over from the server that runs", "pid", before.PID, "version", before.Version)
	}
	ports, err := Open(ctx, cfg, inherited, log)
	if err != nil {
		return err
	}
	if err := before.Ready(ctx, reporter(manager, log)); err != nil {
		ports.Close()
		if ctx.Err() != nil {
			log.Info("stopping: the server that runs goes on", "cause", context.Cause(ctx))
			return nil
		}
		return err
	}
	begun := time.Now()
	a, err := NewOn(ctx, ports, cfg, p.Version, log)
	if err != nil {
		return err
	}
	a.reloading.load, a.reloading.levels = p.Load, p.Levels
	if p.Levels != nil {
		p.Levels.OnBack(func(pkg string) { log.Info("a level of the log has gone back by itself", "package", pkg) })
	}
	sockets, err := a.keep()
	if err != nil {
		a.close()
		return err
	}
	defer sockets.Close()
	if p.Started != nil {
		if err := p.Started(a); err != nil {
			a.close()
			return err
		}
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var server *handover.Server
	if dir := a.state.Dir(); dir != "" {
		if server, err = handover.Listen(dir, p.Version, sockets, log); err != nil {
			log.Warn("no process can take over from this one", "err", err)
		} else {
			wg.Go(func() { _ = server.Run(work) })
			a.drainer.successors = server.Ready()
		}
	}
	a.drainer.hurry, a.drainer.upgrade = p.Hurry, p.Upgrade
	a.drainer.start = func(ctx context.Context) {
		if err := startSuccessor(ctx, p, server); err != nil {
			log.Error("no process takes over", "err", err)
		}
	}
	a.drainer.tell = func(streams int, left time.Duration, why error) { tellManager(manager, streams, left) }
	a.serving = func() {
		note(log, errors.Join(manager.Store(sockets, lockName), manager.Main(os.Getpid()), manager.Notify("READY=1", "STATUS=serving")))
		if silence := manager.Silence(); silence > 0 {
			dog := &watchdog{every: silence / 3, pulse: a.pulse, ping: manager.Alive, log: log}
			wg.Go(func() { dog.run(work) })
		}
		before.Serving()
		if before != nil {
			log.Info("took over", "pid", before.PID, "pause", time.Since(begun).Round(time.Millisecond))
		}
	}
	err = a.Run(ctx)
	if err != nil {
		return err // the end of this process tells one that takes over
	}
	return handOver(context.WithoutCancel(ctx), a.next, server, sockets, manager, p, log)
}

// handOver gives the sockets to the process that takes over, if there is one.
func handOver(ctx context.Context, next *handover.Successor, server *handover.Server, sockets *handover.Sockets, manager handover.Manager, p Process, log *slog.Logger) error {
	if next == nil && server != nil && server.Busy() {
		patience := time.NewTimer(lastReady)
		defer patience.Stop()
		select {
		case next = <-server.Ready():
		case <-patience.C:
		}
	}
	if next == nil {
		note(log, manager.Notify("STOPPING=1"))
		return nil
	}
	err := next.Yours(ctx)
	if err == nil {
		note(log, manager.Main(next.PID))
		log.Info("handed over", "pid", next.PID, "version", next.Version)
		return nil
	}
	if p.Again == nil {
		return err
	}
	log.Error("the process that was to take over does not serve: this version starts again", "err", err)
	return p.Again(sockets)
}

// startSuccessor starts a process that takes over.
func startSuccessor(ctx context.Context, p Process, server *handover.Server) error {
	switch {
	case p.Start == nil:
		return errors.ErrUnsupported
	case server == nil:
		return errors.New("without state_dir a new process cannot find this one")
	}
	return p.Start(ctx)
}

// reporter returns a function for what the old process says while its streams may still go on.
func reporter(manager handover.Manager, log *slog.Logger) func(streams int, left time.Duration) {
	var once sync.Once
	return func(streams int, left time.Duration) {
		once.Do(func() {
			log.Info("ready; the server that runs waits for its streams to end", "streams", streams, "limit", left)
		})
	}
}

// tellManager keeps the service manager from taking a server that drains for one that hangs.
func tellManager(manager handover.Manager, streams int, left time.Duration) {
	_ = manager.Notify(fmt.Sprintf("STATUS=draining: %d streams, %v left", streams, left.Round(time.Second)),
		fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d", (left+2*stopLimit+lastReady).Microseconds()))
}

// note logs that the service manager was not told. Nothing depends on it but its view of the service.
func note(log *slog.Logger, err error) {
	if err != nil {
		log.Warn("service manager", "err", err)
	}
}
