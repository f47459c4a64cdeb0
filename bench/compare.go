package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"transponder/bench/internal/blackbox"
	"transponder/bench/internal/lipsync"
	"transponder/bench/internal/proctree"
)

// comparison measures our server and the floor, one run after the other.
type comparison struct {
	server     string
	serverArgs string
	dir        string // holds logs, reports and the dump
	media      string
	window     time.Duration
	quiet      time.Duration
	out        io.Writer
}

// The sound files that mkmedia.sh makes.
const stereoSound, monoSound = "audio.ogg", "mono.ogg"

// compare measures our server and the floor, and prints our rows beside those of the floor and of the peers.
func compare(ctx context.Context, args []string, out io.Writer) error {
	c := comparison{out: out}
	flags := c.flags("compare")
	streams := flags.String("n", "25,50", "numbers of streams")
	_ = flags.Parse(args) // exits on an error
	numbers, err := parseNumbers(*streams)
	if err != nil {
		return err
	}
	return c.inDir(func() error { return c.run(ctx, numbers) })
}

// flags returns the flags that all comparisons share.
func (c *comparison) flags(command string) *flag.FlagSet {
	flags := flag.NewFlagSet(command, flag.ExitOnError)
	flags.StringVar(&c.server, "server", "bin/transponder", "our server's binary")
	flags.StringVar(&c.serverArgs, "server-args", "", "further arguments for it, such as --set key=value")
	flags.DurationVar(&c.window, "duration", 20*time.Second, "how long to measure each")
	flags.DurationVar(&c.quiet, "quiet", 80*time.Second, "how long to wait at most for other work on this machine to end")
	flags.StringVar(&c.media, "media", "bench/testdata", "folder of the sources that mkmedia.sh made")
	flags.StringVar(&c.dir, "keep", "", "folder to keep reports and logs in; empty: nothing is kept")
	return flags
}

// inDir calls f while c.dir is a folder to write to. It is a temporary folder, which is removed, unless -keep names one.
func (c *comparison) inDir(f func() error) (err error) {
	if c.dir != "" {
		if err := os.MkdirAll(c.dir, 0o755); err != nil {
			return err
		}
		return f()
	}
	if c.dir, err = os.MkdirTemp("", "bench"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(c.dir)) }()
	return f()
}

func parseNumbers(list string) ([]int, error) {
	var out []int
	for field := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(field))
		if err != nil || n < 1 {
			return nil, fmt.Errorf("%q in %q is no number", field, list)
		}
		out = append(out, n)
	}
	return out, nil
}

func (c *comparison) run(ctx context.Context, numbers []int) error {
	fmt.Fprintf(c.out, "One stream for the sound, then %v for the cost; about %v.\n\n", numbers,
		(time.Duration(3*len(numbers)+1) * (c.window + 10*time.Second)).Round(time.Minute))
	sound, err := c.soundOf(ctx)
	if err != nil {
		return err
	}
	printSound(c.out, sound)
	for _, n := range numbers {
		floor, err := c.measureFloor(ctx, n)
		if err != nil {
			return err
		}
		ours, err := c.measureServer(ctx, n, "transponder", stereoSound, "")
		if err != nil {
			return err
		}
		mono, err := c.measureServer(ctx, n, "mono", monoSound, "")
		if err != nil {
			return err
		}
		printTable(c.out, n, rowOf("transponder", ours), rowOf("transponder, mono", mono), rowOf("pion floor (receives only)", floor))
		printNotes(c.out, ours, mono, floor)
	}
	return nil
}

// soundOf dumps one stream and judges its sound.
func (c *comparison) soundOf(ctx context.Context) (soundRow, error) {
	dump := filepath.Join(c.dir, "dump")
	if err := os.MkdirAll(dump, 0o755); err != nil {
		return soundRow{}, err
	}
	if _, err := c.measureServer(ctx, 1, "transponder", stereoSound, dump); err != nil {
		return soundRow{}, err
	}
	dumps, err := filepath.Glob(filepath.Join(dump, "*.flv"))
	if err != nil || len(dumps) != 1 {
		return soundRow{}, errors.Join(err, fmt.Errorf("%d streams were dumped, want 1", len(dumps)))
	}
	result, err := lipsync.Judge(ctx, strings.TrimSuffix(dumps[0], ".flv"))
	if err != nil {
		return soundRow{}, err
	}
	return soundRow{
		name: "transponder", skew: result.SkewMS.P50, skewMin: result.SkewMS.Min, skewMax: result.SkewMS.Max,
		latency: result.AudioLatencyMS.P50,
	}, nil
}

func (c *comparison) measureServer(ctx context.Context, n int, label, sound, dump string) (*blackbox.Report, error) {
	cfg, err := c.serverConfig(n, label)
	if err != nil {
		return nil, err
	}
	cfg.Load.Audio = filepath.Join(c.media, sound)
	cfg.Dump = dump
	return c.measure(ctx, cfg)
}

// serverConfig runs our server on free ports in a folder of its own, with no settings file.
func (c *comparison) serverConfig(n int, label string) (blackbox.Config, error) {
	cfg := c.config(n, label)
	tcp, err := blackbox.FreePorts("tcp", 5)
	if err != nil {
		return cfg, err
	}
	udp, err := blackbox.FreePorts("udp", 1)
	if err != nil {
		return cfg, err
	}
	binary, err := filepath.Abs(c.server)
	if err != nil {
		return cfg, err
	}
	web := fmt.Sprintf("127.0.0.1:%d", tcp[0])
	cfg.Ready = web
	cfg.Load.WHIPURL = "http://" + web + "/whip/{name}"
	cfg.PushURL = "http://" + web + "/rest-api/push/startup"
	cfg.Command = []string{binary}
	for i, key := range []string{"http.port", "https.port", "ws.port", "wss.port", "rtmp.port"} {
		cfg.Command = append(cfg.Command, "--set", fmt.Sprintf("%s=%d", key, tcp[i]))
	}
	cfg.Command = append(cfg.Command, "--set", fmt.Sprintf("media_port_from=%d", udp[0]), "--set", "ip=127.0.0.1")
	cfg.Command = append(cfg.Command, strings.Fields(c.serverArgs)...)
	return cfg, nil
}

func (c *comparison) measureFloor(ctx context.Context, n int) (*blackbox.Report, error) {
	ports, err := blackbox.FreePorts("tcp", 1)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cfg := c.config(n, "floor")
	cfg.NoSink = true
	cfg.Ready = fmt.Sprintf("127.0.0.1:%d", ports[0])
	cfg.Load.WHIPURL = "http://" + cfg.Ready + "/{name}/whip"
	cfg.Command = []string{self, "floor", "-listen", cfg.Ready}
	return c.measure(ctx, cfg)
}

func (c *comparison) config(n int, label string) blackbox.Config {
	cfg := blackbox.DefaultConfig()
	cfg.Label = fmt.Sprintf("%s-%d", label, n)
	cfg.Window = c.window
	cfg.Load.Streams = n
	cfg.Load.Video, cfg.Load.Audio = filepath.Join(c.media, "video.h264"), filepath.Join(c.media, stereoSound)
	cfg.Log = filepath.Join(c.dir, cfg.Label+".log")
	return cfg
}

// measure runs the server in a new folder, so that files which the server keeps for the next start do not litter the present folder.
func (c *comparison) measure(ctx context.Context, cfg blackbox.Config) (*blackbox.Report, error) {
	var err error
	if cfg.Dir, err = os.MkdirTemp(c.dir, cfg.Label); err != nil {
		return nil, err
	}
	if err := awaitQuiet(ctx, c.quiet); err != nil {
		return nil, err
	}
	report, err := blackbox.Run(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", cfg.Label, err, tail(cfg.Log))
	}
	file, err := os.Create(filepath.Join(c.dir, cfg.Label+".json"))
	if err != nil {
		return nil, err
	}
	return report, errors.Join(printJSON(file, report), file.Close())
}

// awaitQuiet waits until the machine has been nearly idle for two seconds, but no longer than limit.
func awaitQuiet(ctx context.Context, limit time.Duration) error {
	const look, calmLooks, calmCores = 500 * time.Millisecond, 4, 0.15
	calm := 0
	for end := time.Now().Add(limit); calm < calmLooks && time.Now().Before(end); {
		start, busy := time.Now(), proctree.MachineCPU()
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(look):
		}
		if (proctree.MachineCPU()-busy)/time.Since(start).Seconds() > calmCores {
			calm = 0
			continue
		}
		calm++
	}
	return nil
}

// tail returns the end of a log.
func tail(path string) string {
	const most = 2000
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return string(b[max(0, len(b)-most):])
}
