// Command transponder takes live streams from browsers over WebRTC and publishes them to RTMP servers.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"

	"transponder/internal/admin"
	"transponder/internal/app"
	"transponder/internal/config"
	"transponder/internal/handover"
	"transponder/internal/logs"
	"transponder/internal/transcode/picture/worker"
)

// version is set by the build: -ldflags "-X main.version=1.2.3".
var version = "dev"

func main() {
	if len(os.Args) == 2 && os.Args[1] == worker.Argument {
		os.Exit(worker.Main(os.Stdin, os.Stdout))
	}
	if err := forbidCores(); err != nil {
		fmt.Fprintln(os.Stderr, "transponder: a crash may leave a core file with secrets:", err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, func() { signal.Notify(hurry, os.Interrupt, syscall.SIGTERM) })
	err := run(ctx, os.Args[1:], os.Environ(), os.Stdout, os.Stderr)
	switch {
	case err == nil:
	case errors.Is(err, flag.ErrHelp):
		os.Exit(admin.ExitUsage)
	case errors.Is(err, admin.ErrSilent):
		os.Exit(admin.ExitFailed)
	default:
		fmt.Fprintln(os.Stderr, "transponder:", err)
		os.Exit(admin.ExitCode(err))
	}
}

// hurry gets the signals to stop after the first.
var hurry = make(chan os.Signal, 1)

// pairs is a flag that may be given several times.
type pairs []string

func (p *pairs) String() string     { return strings.Join(*p, " ") }
func (p *pairs) Set(v string) error { *p = append(*p, v); return nil }

// run is the whole program: a command of the operator if the first argument is no flag, otherwise the server. It returns when ctx ends or the
// server fails.
func run(ctx context.Context, args, environ []string, stdout, stderr io.Writer) error {
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		return admin.Run(ctx, args, environ, admin.Streams{In: os.Stdin, Out: stdout, Err: stderr})
	}
	flags := flag.NewFlagSet("transponder", flag.ContinueOnError)
	flags.SetOutput(stderr)
	var set pairs
	file := flags.String("config", "", "`FILE` with settings, in the form of flashphoner.properties")
	flags.Var(&set, "set", "`key=value` of one setting; may be repeated, and overrides the file and the environment")
	show := flags.Bool("settings", false, "print every setting with its value, and exit")
	about := flags.Bool("version", false, "print the version, and exit")
	flags.Usage = func() {
		fmt.Fprint(stderr, "Transponder takes live streams from browsers (WebRTC) and publishes them to RTMP servers.\n\n"+
			"Usage: transponder [flags]\n       transponder COMMAND\n\n")
		flags.PrintDefaults()
		fmt.Fprint(stderr, "\nCommands, which talk to the server that runs:\n\n")
		admin.Print(stderr)
		fmt.Fprint(stderr, "\nSettings also come from the environment: TRANSPONDER_HTTP_PORT=8081 is http.port=8081.\n"+
			"While the server runs, it shows its manual at http://localhost:8081/docs/.\n")
	}
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return flag.ErrHelp // the flag set has printed what is wrong
	}
	if *about {
		_, err := fmt.Fprintln(stdout, "transponder", fullVersion())
		return err
	}
	if flags.NArg() > 0 { // after a flag
		return fmt.Errorf("unknown argument %q; see --help", flags.Arg(0))
	}
	sources := config.Sources{File: *file, Environ: environ, Set: set}
	cfg, warnings, err := config.Load(sources)
	if err != nil {
		for _, w := range warnings { // an unknown key may be the third mistake
			fmt.Fprintln(stderr, "transponder:", w)
		}
		return err
	}
	if *show {
		_, err := fmt.Fprintln(stdout, strings.Join(cfg.Properties(), "\n"))
		return err
	}
	log, levels, err := newLogger(cfg.Log, stderr)
	if err != nil {
		return err
	}
	for _, w := range warnings {
		log.Warn("settings", "detail", w)
	}
	hup := make(chan os.Signal, 1) // one that comes while the parts are built waits here; it would end the program otherwise
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	upgrade := make(chan os.Signal, 1)
	signal.Notify(upgrade, syscall.SIGUSR2)
	defer signal.Stop(upgrade)
	cfg.Terminal = isTerminal(stdout)
	program, err := handover.Program(os.Args[0]) // now: the path may be relative
	if err != nil {
		log.Warn("a process that takes over cannot be started by SIGUSR2", "err", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	return app.Serve(ctx, cfg, app.Process{
		Load:    func() (config.Config, error) { cfg, _, err := config.Load(sources); return cfg, err },
		Levels:  levels,
		Version: fullVersion(), Getenv: os.Getenv, Hurry: hurry, Upgrade: upgrade,
		Start: func(ctx context.Context) error { return handover.Start(ctx, program, os.Args[1:], environ, log) },
		Again: func(s *handover.Sockets) error { return s.Again(os.Args, environ) },
		Started: func(server *app.App) error {
			wg.Go(func() { reload(ctx, server, hup) })
			return greet(server, stdout)
		},
	}, log)
}

// reload has the server read its files again on each signal, until ctx ends.
func reload(ctx context.Context, server *app.App, hup <-chan os.Signal) {
	for {
		select {
		case <-hup:
			_, _ = server.Reload(ctx) // the log says what it has done
		case <-ctx.Done():
			return
		}
	}
}

// greet tells a person at a terminal where the server is.
func greet(server *app.App, stdout io.Writer) error {
	if err := server.URLs().Print(stdout, fullVersion()); err != nil {
		return err
	}
	if name, password, ok := server.FirstAdmin(); ok {
		fmt.Fprintf(stdout, "From other machines log in as %s with the password %s, which is shown this once.\n", name, password)
	}
	return nil
}

// newLogger makes the log, with the levels that can change.
func newLogger(cfg config.Log, to io.Writer) (*slog.Logger, *logs.Levels, error) {
	level, err := cfg.SlogLevel()
	if err != nil {
		return nil, nil, err
	}
	levels := logs.New(level)
	options := &slog.HandlerOptions{Level: slog.LevelDebug} // levels decides
	if cfg.JSON {
		return slog.New(levels.Handler(slog.NewJSONHandler(to, options))), levels, nil
	}
	return slog.New(levels.Handler(slog.NewTextHandler(to, options))), levels, nil
}

// fullVersion returns the version, with the commit that the program was built from if the build knows it and the version is not the commit itself.
func fullVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" && len(s.Value) >= 12 && !strings.HasPrefix(s.Value, version) {
				return version + "+" + s.Value[:12]
			}
		}
	}
	return version
}
