package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"transponder/bench/internal/added"
	"transponder/bench/internal/blackbox"
)

const (
	// targetAddedMS is the largest delay, as the median, that transcoding may add to a picture. targetOfFFmpeg is the largest cost of
	// transcoding, as a multiple of what ffmpeg takes for the same.
	targetAddedMS  = 40
	targetOfFFmpeg = 1.10

	sharers = 5 // pushes that want the same picture
)

// rendition pushes one stream untouched and transcoded. It prints the cost and the delay of transcoding, beside an ffmpeg command that does
// the same at the same time.
func rendition(ctx context.Context, args []string, out io.Writer) error {
	c := comparison{out: out}
	_ = c.flags("rendition").Parse(args) // exits on an error
	return c.inDir(func() error {
		again, err := c.remux(ctx)
		if err != nil {
			return err
		}
		plain, err := c.measureRendition(ctx, "plain", nil, 0, "")
		if err != nil {
			return err
		}
		dump := filepath.Join(c.dir, "dump")
		if err := os.MkdirAll(dump, 0o755); err != nil {
			return err
		}
		one, err := c.measureRendition(ctx, "one", again, 1, dump)
		if err != nil {
			return err
		}
		delay, err := addedDelay(dump)
		if err != nil {
			return err
		}
		many, err := c.measureRendition(ctx, "many", nil, sharers, "")
		if err != nil {
			return err
		}
		printRendition(out, plain, one, many, delay)
		printNotes(out, plain, one, many)
		return nil
	})
}

// remux makes a file that ffmpeg can loop at real-time speed. It returns the command that transcodes the file as our server
// does: one thread for each codec, no B-frames, a key frame every two seconds, a constant rate.
func (c *comparison) remux(ctx context.Context) ([]string, error) {
	file := filepath.Join(c.dir, "video.mp4")
	cmd := exec.CommandContext(ctx, "ffmpeg", "-v", "error", "-y", "-framerate", "30", "-i", filepath.Join(c.media, "video.h264"),
		"-c", "copy", file)
	if said, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("ffmpeg: %w\n%s", err, said)
	}
	return strings.Fields("ffmpeg -nostdin -v error -re -stream_loop -1 -threads 1 -i " + file +
		" -c:v libx264 -preset superfast -tune zerolatency -threads 1 -b:v 2500k -maxrate 2500k -bufsize 2500k -g 60" +
		" -f flv -y /dev/null"), nil
}

// measureRendition pushes one stream once untouched, and some times transcoded to the same size.
func (c *comparison) measureRendition(ctx context.Context, name string, beside []string, n int, dump string) (*blackbox.Report, error) {
	cfg, err := c.serverConfig(1, "rendition-"+name)
	if err != nil {
		return nil, err
	}
	cfg.Pushes, cfg.RTMPURL, cfg.Beside, cfg.Dump = 1+n, "rtmp://{sink}/live{k}", beside, dump
	cfg.PushBodies = []string{cfg.PushBody}
	cfg.PushBody = pushBody(`"height":720`)
	return c.measure(ctx, cfg)
}

// addedDelay compares the dumps of the first two pushes.
func addedDelay(dump string) (added.Result, error) {
	var bases [2]string
	for k := range bases {
		found, err := filepath.Glob(filepath.Join(dump, fmt.Sprintf("live%d_*.flv", k)))
		if err != nil || len(found) != 1 {
			return added.Result{}, fmt.Errorf("%d dumps of push %d: %w", len(found), k, err)
		}
		bases[k] = strings.TrimSuffix(found[0], ".flv")
	}
	return added.Judge(bases[0], bases[1])
}

// printRendition prints the cost and the delay of a rendition beside the targets.
func printRendition(out io.Writer, plain, one, many *blackbox.Report, delay added.Result) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	defer w.Flush()
	line(w, "720p30 to 720p30", "cores", "of ffmpeg's", "server's more", "MB", "added delay p50", "p99 ms", "pictures", "missing", "others")
	line(w, "transponder", number(one.ChildCores, 3), ratio(one.ChildCores, one.BesideCores), number(ownCores(one)-ownCores(plain), 3),
		number(one.PSSMB-plain.PSSMB, 1), number(delay.DelayMS.P50, 1), number(delay.DelayMS.P99, 1), count(delay.Matched),
		count(delay.Missing), number(one.OthersCores, 2))
	line(w, "target", "", fmt.Sprintf("%.2fx", targetOfFFmpeg), "", "", number(targetAddedMS, 0), "", "", "0", "")
	line(w, "ffmpeg beside it", number(one.BesideCores, 3), "", "", "", "", "", "", "", "")
	line(w, fmt.Sprintf("%d pushes of one profile", sharers), number(many.ChildCores, 3), "", number(ownCores(many)-ownCores(plain), 3),
		number(many.PSSMB-plain.PSSMB, 1), "", "", "", "", number(many.OthersCores, 2))
}

// ownCores returns the cores that the server itself takes, without its child processes.
func ownCores(r *blackbox.Report) float64 { return r.CPUCores - r.ChildCores }
