// Command bench measures servers that take WebRTC over WHIP and push RTMP, as black boxes on this machine.
//
//	bench compare    our server and the pion floor, beside other servers (peers) under the same load (make bench)
//	bench fanout     the cost of each further destination of one stream
//	bench calls      the cost of SIP calls with picture, beside WebRTC streams with the same media
//	bench sound      the cost of muting a push, and of playing a file in it
//	bench quality    how good our AAC is on recordings, beside other encoders
//	bench rendition  the cost and the delay of transcoding, beside ffmpeg
//	bench cluster    the cost of a stream at a server of a cluster with NATS, beside a server alone
//	bench soak       how our server's memory changes over a long time
//	bench measure    any server, once; a report as JSON
//	bench floor      the least that a server on pion can do: receive, depacketise, discard
//	bench lipsync    lip sync and audio latency of a stream that measure -dump wrote
//
// Linux only: costs come from /proc, and times from CLOCK_MONOTONIC.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"transponder/bench/internal/blackbox"
	"transponder/bench/internal/lipsync"
)

var commands = map[string]func(ctx context.Context, args []string, out io.Writer) error{
	"compare":   compare,
	"fanout":    fanOut,
	"calls":     calls,
	"sound":     sounds,
	"quality":   quality,
	"rendition": rendition,
	"cluster":   clustered,
	"soak":      soak,
	"measure":   measure,
	"floor":     floor,
	"lipsync":   judgeLipSync,
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if len(os.Args) < 2 || commands[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: bench compare|fanout|calls|sound|quality|rendition|cluster|soak|measure|floor|lipsync [flags]")
		os.Exit(2)
	}
	if err := commands[os.Args[1]](ctx, os.Args[2:], os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "bench %s: %v\n", os.Args[1], err)
		os.Exit(1)
	}
}

// measure runs the server that the flags describe.
func measure(ctx context.Context, args []string, out io.Writer) error {
	cfg := blackbox.DefaultConfig()
	flags := flag.NewFlagSet("measure", flag.ExitOnError)
	flags.StringVar(&cfg.Label, "label", "", "what is measured")
	command := flags.String("server", "", "shell command that runs the server in the foreground")
	flags.StringVar(&cfg.Dir, "server-dir", "", "folder to run it in")
	flags.StringVar(&cfg.Log, "server-log", "", "file for its output")
	flags.StringVar(&cfg.Ready, "ready", "", "the server is ready when this TCP address takes connections")
	flags.StringVar(&cfg.Load.WHIPURL, "whip-url", "", "WHIP endpoint; {name} and {i} stand for the stream's name and number")
	flags.StringVar(&cfg.Load.CallURL, "call-url", "", "URL to POST to that starts a SIP call; if set, the streams are phones, without WHIP")
	flags.StringVar(&cfg.Load.Token, "whip-token", "", "bearer token for the WHIP endpoint")
	flags.IntVar(&cfg.Load.Streams, "n", cfg.Load.Streams, "streams")
	flags.StringVar(&cfg.Load.Name, "name", cfg.Load.Name, "name of a stream, given its number")
	flags.DurationVar(&cfg.Load.Ramp, "ramp", cfg.Load.Ramp, "time from one stream's start to the next one's")
	flags.Float64Var(&cfg.Load.Drop, "drop", 0, "share of outgoing RTP packets to lose, 0 to 1")
	flags.StringVar(&cfg.Load.Video, "video", cfg.Load.Video, "H.264 source (see mkmedia.sh)")
	flags.StringVar(&cfg.Load.Audio, "audio", cfg.Load.Audio, "Opus source (see mkmedia.sh)")
	flags.BoolVar(&cfg.NoSink, "no-sink", false, "the server has no RTMP output")
	flags.StringVar(&cfg.SinkAddr, "sink", cfg.SinkAddr, "address of the RTMP sink")
	flags.StringVar(&cfg.RTMPURL, "rtmp-url", cfg.RTMPURL, "what {rtmp} stands for; {sink} is the sink's address")
	flags.StringVar(&cfg.Dump, "dump", "", "folder to write each stream to, for bench lipsync")
	flags.StringVar(&cfg.PushURL, "push-url", "", "URL to POST -push-body to once a stream is answered; empty: it pushes by itself")
	flags.StringVar(&cfg.PushBody, "push-body", cfg.PushBody, "JSON for -push-url ({name}, {i}, {rtmp})")
	flags.StringVar(&cfg.PushToken, "push-token", "", "bearer token for -push-url")
	flags.IntVar(&cfg.Pushes, "pushes", cfg.Pushes, "how often to push each stream; {k} in -rtmp-url stands for the number of one")
	flags.DurationVar(&cfg.Warmup, "warmup", cfg.Warmup, "time from the last stream's first frame to the window")
	flags.DurationVar(&cfg.Window, "duration", cfg.Window, "length of the window")
	full := flags.Bool("full", false, "report each stream too")
	_ = flags.Parse(args) // exits on an error

	cfg.Command = []string{"/bin/sh", "-c", "exec " + *command}
	report, err := blackbox.Run(ctx, cfg)
	if !*full {
		report.SinkStreams = nil
	}
	if jsonErr := printJSON(out, report); jsonErr != nil {
		return jsonErr
	}
	return err
}

func judgeLipSync(ctx context.Context, args []string, out io.Writer) error {
	if len(args) != 1 {
		return fmt.Errorf("want the path of a dump without its .flv, got %q", strings.Join(args, " "))
	}
	result, err := lipsync.Judge(ctx, args[0])
	if err != nil {
		return err
	}
	return printJSON(out, result)
}

func printJSON(out io.Writer, v any) error {
	enc := json.NewEncoder(out)
	enc.SetIndent("", " ")
	return enc.Encode(v)
}
