package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"transponder/bench/internal/blackbox"
)

// targetCallCost is how much a SIP call may cost, as a multiple of a WebRTC stream with the same media.
const targetCallCost = 1.1

// calls measures WebRTC streams, then SIP calls with the same media, and prints the cost of both.
func calls(ctx context.Context, args []string, out io.Writer) error {
	c := comparison{out: out}
	flags := c.flags("calls")
	n := flags.Int("n", 50, "calls")
	_ = flags.Parse(args) // exits on an error
	if *n < 1 {
		return fmt.Errorf("%d calls are none", *n)
	}
	return c.inDir(func() error {
		streams, err := c.measureServer(ctx, *n, "webrtc", stereoSound, "")
		if err != nil {
			return err
		}
		phones, err := c.measureCalls(ctx, *n)
		if err != nil {
			return err
		}
		printCalls(out, *n, phones, streams)
		printNotes(out, streams, phones)
		return nil
	})
}

// measureCalls lets the server call n phones.
func (c *comparison) measureCalls(ctx context.Context, n int) (*blackbox.Report, error) {
	cfg, err := c.serverConfig(n, "calls")
	if err != nil {
		return nil, err
	}
	cfg.Load.CallURL = strings.Replace(cfg.PushURL, "/push/", "/call/", 1)
	cfg.Command = append(cfg.Command, "--set", "sip_port=0", "--set", fmt.Sprintf("sip_max_calls=%d", n), "--set", "sip_startup_rate=10000")
	return c.measure(ctx, cfg)
}

// printCalls prints the cost of a call beside the cost of a stream and the target.
func printCalls(out io.Writer, n int, phones, streams *blackbox.Report) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	defer w.Flush()
	line(w, fmt.Sprintf("%d streams", n), "cores/stream", "a call is", "MB/stream", "latency p50", "p99 ms", "frames lost", "of", "others")
	call := rowOf("SIP calls", phones)
	for _, r := range []row{call, rowOf("WebRTC", streams)} {
		line(w, r.name, number(r.cores, 4), ratio(call.cores, r.cores), number(r.megabytes, 1), number(r.p50, 1), number(r.p99, 1),
			count(r.lost), count(r.sent), number(r.others, 2))
	}
	line(w, "target", "", fmt.Sprintf("%.2fx", targetCallCost), "", "", "", "0", "", "")
}
