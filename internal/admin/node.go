package admin

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"strconv"
	"strings"
	"time"

	"transponder/pkg/client"
)

var nodeCommands = group{name: "node", summary: "the server itself, and the other servers of its cluster", commands: []command{
	{name: "list", summary: "list the servers", prepare: listNodes},
	{name: "drain", summary: "take no new streams, and stop when the last one has ended", prepare: drainNode},
	{name: "resume", summary: "take new streams again", prepare: resumeNode},
	{name: "reload", summary: "read the settings and their files again; exit code 1 if something is wrong", prepare: reloadNode},
	{name: "log", usage: "[LEVEL]", summary: "list the levels of the log, or change one: debug, info, warn, error, or back for what it was", prepare: nodeLog},
}}

func listNodes(*flag.FlagSet) runner {
	return func(ctx context.Context, s *session, _ []string) error {
		c, err := s.client()
		if err != nil {
			return err
		}
		all, err := c.ListNodes(ctx)
		if err != nil {
			return err
		}
		return s.show(func() error {
			var rows [][]string
			for _, n := range all {
				name := n.NodeID
				if n.Self {
					name += " (answers)"
				}
				rows = append(rows, []string{
					name, n.State, n.Version, ago(n.StartedAt), strconv.FormatFloat(n.Cores, 'f', 2, 64),
					strconv.Itoa(n.Streams), strconv.Itoa(n.Pushes), strconv.Itoa(n.Players),
				})
			}
			return s.table([]string{"SERVER", "STATE", "VERSION", "UP", "CORES", "STREAMS", "PUSHES", "PLAYERS"}, rows)
		})
	}
}

func drainNode(f *flag.FlagSet) runner {
	finish := f.String("finish", "", "how long streams may go on: a `DURATION` such as 5m; without it the settings decide, and 0s ends them at once")
	return func(ctx context.Context, s *session, _ []string) error {
		var r client.DrainNode
		if *finish != "" {
			d, err := duration(*finish)
			if err != nil {
				return usageError(fmt.Sprintf("--finish must be a duration such as 5m, not %q", *finish))
			}
			r.FinishMs = new(d.Milliseconds())
		}
		c, err := s.client()
		if err != nil {
			return err
		}
		state, err := c.DrainNode(ctx, r)
		if err != nil {
			return err
		}
		return s.show(func() error { return s.printState(state) })
	}
}

func resumeNode(*flag.FlagSet) runner {
	return func(ctx context.Context, s *session, _ []string) error {
		c, err := s.client()
		if err != nil {
			return err
		}
		state, err := c.ResumeNode(ctx)
		if err != nil {
			return err
		}
		return s.show(func() error { return s.printState(state) })
	}
}

func reloadNode(*flag.FlagSet) runner {
	return func(ctx context.Context, s *session, _ []string) error {
		c, err := s.client()
		if err != nil {
			return err
		}
		done, err := c.ReloadNode(ctx)
		if err != nil {
			return err
		}
		err = s.show(func() error {
			for _, line := range []struct {
				words string
				list  []string
			}{{"changed", done.Changed}, {"needs a restart", done.Restart}, {"read again", done.Read}, {"wrong, so as it was", done.Wrong}} {
				if len(line.list) > 0 {
					fmt.Fprintf(s.out, "%s: %s\n", line.words, printable(strings.Join(line.list, ", ")))
				}
			}
			return nil
		})
		if err == nil && len(done.Wrong) > 0 {
			return ErrSilent
		}
		return err
	}
}

func nodeLog(f *flag.FlagSet) runner {
	pkg := f.String("package", "", "`PACKAGE` of the server whose level changes, such as rtc or rtc/pion; all if it is not given")
	after := f.String("for", "", "after which `DURATION`, such as 10m, the level goes back; when the server ends if it is not given")
	return func(ctx context.Context, s *session, args []string) error {
		c, err := s.client()
		if err != nil {
			return err
		}
		var all []client.LogLevel
		if len(args) == 0 {
			all, err = c.ListLogLevels(ctx)
		} else {
			r := client.NewLogLevel{Package: *pkg, Level: strings.TrimSuffix(args[0], "back")}
			if *after != "" {
				d, bad := duration(*after)
				if bad != nil || d < time.Second {
					return usageError(fmt.Sprintf("--for must be a duration such as 10m, not %q", *after))
				}
				r.ForSeconds = int64(d.Seconds())
			}
			all, err = c.SetLogLevel(ctx, r)
		}
		if err != nil {
			return err
		}
		return s.show(func() error {
			var rows [][]string
			for _, l := range all {
				rows = append(rows, []string{cmp.Or(l.Package, "all others"), l.Level, moment(int64(l.Until))})
			}
			return s.table([]string{"PACKAGE", "LEVEL", "UNTIL"}, rows)
		})
	}
}

func (s *session) printState(n client.NodeState) error {
	var err error
	if n.State == "DRAINING" {
		left := time.Duration(n.FinishMs) * time.Millisecond
		_, err = fmt.Fprintf(s.out, "The server takes no new streams. It stops when its %d streams have ended, in %v at the latest.\n", n.Streams, left.Round(time.Second))
	} else {
		_, err = fmt.Fprintf(s.out, "The server takes new streams. It has %d.\n", n.Streams)
	}
	return err
}
