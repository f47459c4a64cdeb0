package admin

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"transponder/internal/config"
	"transponder/pkg/client"
)

var supportCommand = group{
	name: "support", summary: "write what helps to find a fault into one archive, without secrets; also while the server is down", prepare: support,
}

const (
	// partTimeout is how long one part of the archive may take, beside a profile. A server that hangs answers nothing.
	partTimeout = 10 * time.Second

	// journalLines is how many lines of the service's log are taken.
	journalLines = "2000"
)

func support(f *flag.FlagSet) runner {
	out := f.String("out", "", "`FILE` to write; transponder-support-TIME.tar.gz if it is not given")
	seconds := f.Int("seconds", 10, "how many `SECONDS` the profile of the processor takes; 0 for none")
	unit := f.String("unit", "transponder", "`UNIT` of systemd whose last log lines are taken")
	return func(ctx context.Context, s *session, _ []string) error {
		if *seconds < 0 || *seconds > 30 {
			return usageError("--seconds must be from 0 to 30")
		}
		now := time.Now()
		name := *out
		if name == "" {
			name = "transponder-support-" + now.UTC().Format("20060102-150405") + ".tar.gz"
		}
		file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		a := newArchive(file, now)
		s.fromServer(ctx, a, *seconds)
		s.fromMachine(ctx, a, *unit)
		if err := errors.Join(a.close(), file.Close()); err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
		fmt.Fprintf(s.out, "%s has %d files.\n", name, a.files)
		for _, m := range a.missing {
			fmt.Fprintf(s.out, "Missing: %s\n", printable(m))
		}
		return nil
	}
}

// fromServer adds what the running server tells an administrator.
func (s *session) fromServer(ctx context.Context, a *archive, seconds int) {
	c, err := s.client()
	if err != nil {
		a.miss("everything of the server", err)
		return
	}
	if _, err := c.ListNodes(ctx); err != nil {
		a.miss("everything of the server", err)
		return
	}
	for _, part := range []struct {
		name  string
		fetch func(context.Context) ([]byte, error)
	}{
		{"nodes.json", func(ctx context.Context) ([]byte, error) { _, err := c.ListNodes(ctx); return s.answer, err }},
		{"metrics.txt", c.Metrics},
		{"log-levels.json", func(ctx context.Context) ([]byte, error) { _, err := c.ListLogLevels(ctx); return s.answer, err }},
		{"pushes.json", func(ctx context.Context) ([]byte, error) {
			all, err := c.FindAllPushes(ctx, client.Page{})
			return withoutKeys(all, err)
		}},
		{"history.json", func(ctx context.Context) ([]byte, error) {
			all, err := c.PushHistory(ctx, client.PushHistoryQuery{Limit: 500})
			return withoutKeys(all, err)
		}},
		{"events.json", func(ctx context.Context) ([]byte, error) { return lastEvents(ctx, c) }},
		{"goroutines.txt", func(ctx context.Context) ([]byte, error) {
			return c.Profile(ctx, "goroutine", url.Values{"debug": {"2"}})
		}},
		{"heap.pprof", func(ctx context.Context) ([]byte, error) { return c.Profile(ctx, "heap", nil) }},
	} {
		limited, cancel := context.WithTimeout(ctx, partTimeout)
		text, err := part.fetch(limited)
		cancel()
		a.add(part.name, text, err)
	}
	if seconds > 0 {
		limited, cancel := context.WithTimeout(ctx, partTimeout+time.Duration(seconds)*time.Second)
		text, err := c.Profile(limited, "profile", url.Values{"seconds": {strconv.Itoa(seconds)}})
		cancel()
		a.add("cpu.pprof", text, err)
	}
}

// supportPush is what the archive has of a push: no address as it was given, and no name under which it is published, which may be a key.
type supportPush struct {
	ID, Node, Stream, Target, Status, Reason, Info string
	Since, StartedAt, EndedAt                      client.Moment
	Attempts                                       int
	BytesSent, BytesAcked, DroppedFrames, Bitrate  int64
	QueuedBytes                                    int
	QueuedMs                                       int64
	Health                                         []client.Finding
}

func withoutKeys(all []client.Push, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	pushes := []supportPush{}
	for _, p := range all {
		pushes = append(pushes, supportPush{
			p.MediaSessionID, p.NodeID, p.SourceStreamName, p.Target, string(p.Status), string(p.Reason), p.Info, p.Since, p.StartedAt, p.EndedAt,
			p.Attempts, p.BytesSent, p.BytesAcked, p.DroppedFrames, p.Bitrate, p.QueuedBytes, p.QueuedMs, p.Health,
		})
	}
	return json.MarshalIndent(pushes, "", "  ")
}

// lastEvents returns the events that the server has kept, one a line.
func lastEvents(ctx context.Context, c *client.Client) ([]byte, error) {
	const quiet = time.Second // the end of those that it has kept
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	late := time.AfterFunc(quiet, cancel)
	defer late.Stop()
	var out bytes.Buffer
	lines := json.NewEncoder(&out)
	for e, err := range c.Events(ctx, client.EventFilter{After: "0"}) {
		switch {
		case err != nil && ctx.Err() == nil:
			return nil, err
		case err != nil:
			return out.Bytes(), nil
		case e.Push != nil:
			late.Reset(quiet)
			if err := lines.Encode(e.Push); err != nil {
				return nil, err
			}
		}
	}
	return out.Bytes(), nil
}

// fromMachine adds what can be seen without a server.
func (s *session) fromMachine(ctx context.Context, a *archive, unit string) {
	about := fmt.Sprintf("time %s\nsystem %s/%s\ncores %d\ngo %s\n", time.Now().UTC().Format(time.RFC3339), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version())
	if info, ok := debug.ReadBuildInfo(); ok {
		about += "\n" + info.String()
	}
	a.add("version.txt", []byte(about), nil)
	cfg, warnings, err := config.Load(config.Sources{File: s.file, Environ: s.environ, Set: s.set})
	if err != nil {
		a.miss("settings.properties", errors.New("the settings are wrong: transponder doctor says how")) // the error may quote a value
	} else {
		a.add("settings.properties", []byte(strings.Join(cfg.WithoutSecrets(), "\n")+"\n"), nil)
		a.add("settings-unknown.txt", fmt.Appendf(nil, "%d settings are unknown or have no effect\n", len(warnings)), nil)
		found, err := json.MarshalIndent(examine(ctx, cfg, machine{"/proc", time.Now()}), "", "  ")
		a.add("doctor.json", found, err)
	}
	for name, path := range map[string]string{
		"limits.txt": "/proc/self/limits", "memory.txt": "/proc/meminfo", "load.txt": "/proc/loadavg", "udp.txt": "/proc/net/snmp", "sockets.txt": "/proc/net/sockstat",
	} {
		text, err := os.ReadFile(path)
		a.add(name, text, err)
	}
	for name, text := range serverProcesses() {
		a.add(name, text, nil)
	}
	limited, cancel := context.WithTimeout(ctx, partTimeout)
	defer cancel()
	text, err := exec.CommandContext(limited, "journalctl", "--no-pager", "-u", unit, "-n", journalLines).Output()
	a.add("journal.txt", text, err)
}

// serverProcesses returns the state of the processes of this program: a server that hangs tells nothing itself. Their command lines are left out: they
// may have secrets in them.
func serverProcesses() map[string][]byte {
	all := map[string][]byte{}
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		name, err := os.ReadFile(filepath.Join(dir, "comm"))
		if err != nil || strings.TrimSpace(string(name)) != "transponder" || filepath.Base(dir) == strconv.Itoa(os.Getpid()) {
			continue
		}
		var text bytes.Buffer
		for _, part := range []string{"status", "limits", "wchan", "schedstat"} {
			if content, err := os.ReadFile(filepath.Join(dir, part)); err == nil {
				fmt.Fprintf(&text, "== %s\n%s\n", part, content)
			}
		}
		files, _ := os.ReadDir(filepath.Join(dir, "fd"))
		fmt.Fprintf(&text, "== open files: %d\n", len(files))
		all["process-"+filepath.Base(dir)+".txt"] = text.Bytes()
	}
	return all
}

// archive is a tar archive that is compressed by gzip, and what could not be put into it.
type archive struct {
	zip *gzip.Writer
	tar *tar.Writer
	now time.Time

	files   int
	missing []string
	err     error
}

func newArchive(to io.Writer, now time.Time) *archive {
	zip := gzip.NewWriter(to)
	return &archive{zip: zip, tar: tar.NewWriter(zip), now: now}
}

// add adds a file, or notes why it is missing.
func (a *archive) add(name string, content []byte, err error) {
	if err != nil {
		a.miss(name, err)
		return
	}
	h := &tar.Header{Name: "transponder-support/" + name, Mode: 0o600, Size: int64(len(content)), ModTime: a.now}
	if err := a.tar.WriteHeader(h); err != nil {
		a.err = errors.Join(a.err, err)
		return
	}
	_, err = a.tar.Write(content)
	a.err = errors.Join(a.err, err)
	a.files++
}

func (a *archive) miss(name string, err error) {
	a.missing = append(a.missing, fmt.Sprintf("%s: %v", name, err))
}

func (a *archive) close() error {
	if len(a.missing) > 0 {
		a.add("MISSING.txt", []byte(strings.Join(a.missing, "\n")+"\n"), nil)
	}
	return errors.Join(a.err, a.tar.Close(), a.zip.Close())
}
