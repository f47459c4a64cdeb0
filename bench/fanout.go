package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"

	"transponder/bench/internal/blackbox"
)

// The targets for the cost of a further destination, to which the server sends frames that it has already.
const (
	targetFanOutCores     = 0.002
	targetFanOutKilobytes = 300
)

// fanOut pushes one stream to one destination and to many, and prints the cost of each further destination.
func fanOut(ctx context.Context, args []string, out io.Writer) error {
	c := comparison{out: out}
	flags := c.flags("fanout")
	many := flags.Int("n", 50, "destinations, at least 2")
	_ = flags.Parse(args) // exits on an error
	if *many < 2 {
		return fmt.Errorf("%d destinations are not more than one", *many)
	}
	return c.inDir(func() error {
		one, err := c.measureFanOut(ctx, 1)
		if err != nil {
			return err
		}
		all, err := c.measureFanOut(ctx, *many)
		if err != nil {
			return err
		}
		printFanOut(out, *many, one, all)
		printNotes(out, one, all)
		return nil
	})
}

// measureFanOut pushes one stream n times.
func (c *comparison) measureFanOut(ctx context.Context, n int) (*blackbox.Report, error) {
	cfg, err := c.serverConfig(1, fmt.Sprintf("fanout-%d-of", n))
	if err != nil {
		return nil, err
	}
	cfg.Pushes, cfg.RTMPURL = n, "rtmp://{sink}/live{k}"
	return c.measure(ctx, cfg)
}

// printFanOut prints the cost of each destination after the first beside the targets.
func printFanOut(out io.Writer, n int, one, all *blackbox.Report) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	defer w.Flush()
	further := float64(n - 1)
	line(w, fmt.Sprintf("1 stream to %d destinations", n), "cores each further", "kB each further", "latency p50", "p99 ms",
		"frames lost", "of", "others")
	line(w, "transponder", number((all.CPUCores-one.CPUCores)/further, 4), number((all.PSSMB-one.PSSMB)*1024/further, 0),
		number(all.Sink.LatencyMS.P50, 1), number(all.Sink.LatencyMS.P99, 1), count(all.Sink.FramesLost),
		count(all.FramesSent*n), number(all.OthersCores, 2))
	line(w, "target", number(targetFanOutCores, 4), number(targetFanOutKilobytes, 0), "", "", "", "", "")
}
