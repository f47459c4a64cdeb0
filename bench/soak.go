package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"

	"transponder/bench/internal/blackbox"
)

const (
	// soakEvery is the time between two measurements of the memory.
	soakEvery = 15 * time.Second
	// targetGrowthMB is how much the memory may grow from the second tenth of the time to the last: the garbage collector makes it go
	// up and down by about as much.
	targetGrowthMB = 3
)

// soakBodies are pushes of every kind: untouched, transcoded, muted, playing a file.
var soakBodies = []string{
	pushBody(`"options":{}`),
	pushBody(`"height":240,"fps":15`),
	pushBody(`"options":{"action":"mute"}`),
	pushBody(`"options":{"action":"sound_on","soundFile":"` + soundFile + `","loop":true}`),
}

// soak runs one stream for a long time and prints how the memory changes.
func soak(ctx context.Context, args []string, out io.Writer) error {
	c := comparison{out: out}
	_ = c.flags("soak").Parse(args) // exits on an error
	return c.inDir(func() error {
		cfg, err := c.serverConfig(1, "soak")
		if err != nil {
			return err
		}
		if err := c.addMedia(&cfg); err != nil {
			return err
		}
		cfg.Pushes, cfg.RTMPURL, cfg.PushBodies = len(soakBodies), "rtmp://{sink}/live{k}", soakBodies
		cfg.MemorySamples = max(int(cfg.Window/soakEvery), 10)
		r, err := c.measure(ctx, cfg)
		if err != nil {
			return err
		}
		printSoak(out, r)
		printNotes(out, r)
		return nil
	})
}

// printSoak prints the median of each tenth of the time, and compares the last tenth with the second: in the first, buffers and caches
// fill. It uses the resident memory, because PSS also changes when other programs that share our libraries start and stop.
func printSoak(out io.Writer, r *blackbox.Report) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	defer w.Flush()
	const parts = 10
	var tenths []float64
	for i := range parts {
		n := len(r.RSSSeriesMB)
		part := slices.Sorted(slices.Values(r.RSSSeriesMB[i*n/parts : (i+1)*n/parts]))
		tenths = append(tenths, part[len(part)/2])
	}
	cells := []string{fmt.Sprintf("MB over %.0f minutes", r.WindowS/60)}
	for _, mb := range tenths {
		cells = append(cells, number(mb, 1))
	}
	line(w, cells...)
	line(w, "growth", number(tenths[parts-1]-tenths[1], 1))
	line(w, "target", fmt.Sprintf("< %d", targetGrowthMB))
	line(w, "cores", number(r.CPUCores, 3))
}
