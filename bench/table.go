package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"transponder/bench/internal/blackbox"
)

func rowOf(name string, r *blackbox.Report) row {
	out := row{
		name: name, streams: r.Streams, cores: r.CPUCoresStream, megabytes: r.PSSMBStream,
		p50: r.Sink.LatencyMS.P50, p99: r.Sink.LatencyMS.P99, lost: r.Sink.FramesLost, sent: r.FramesSent,
		firstP50: r.FirstFrameMS.P50, firstMost: r.FirstFrameMS.Max, others: r.OthersCores,
	}
	if r.Sink.Streams == 0 { // the floor has no output
		out.p50, out.p99, out.lost, out.sent, out.firstP50, out.firstMost = unknown, unknown, unknown, unknown, unknown, unknown
	}
	return out
}

// printTable prints our row beside the target, the floor and the peers that were measured with the same number of streams. Below, it prints
// our row for streams with one microphone beside the target for that.
func printTable(out io.Writer, n int, ours, mono, floor row) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	defer w.Flush()
	line(w, fmt.Sprintf("%d streams", n), "cores/stream", "ours is", "MB/stream", "ours is", "latency p50", "p99 ms",
		"frames lost", "of", "first frame p50", "max ms", "others")
	type pair struct{ ours, theirs row }
	pairs := []pair{{ours, ours}}
	monoTarget := row{cores: unknown}
	for _, target := range targets {
		if target.streams == n {
			pairs = append(pairs, pair{ours, target.row})
			monoTarget = target.row
			monoTarget.name, monoTarget.cores = "target, mono", target.mono
		}
	}
	pairs = append(pairs, pair{ours, floor})
	for _, peer := range peers {
		if peer.streams == n {
			pairs = append(pairs, pair{ours, peer})
		}
	}
	pairs = append(pairs, pair{mono, mono})
	if monoTarget.streams == n {
		pairs = append(pairs, pair{mono, monoTarget})
	}
	for _, p := range pairs {
		r := p.theirs
		line(w, r.name, number(r.cores, 4), ratio(p.ours.cores, r.cores), number(r.megabytes, 1),
			ratio(p.ours.megabytes, r.megabytes), number(r.p50, 1), number(r.p99, 1), count(r.lost), count(r.sent),
			number(r.firstP50, 0), number(r.firstMost, 0), number(r.others, 2))
	}
}

func printSound(out io.Writer, ours soundRow) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	defer w.Flush()
	line(w, "1 stream", "audio after video p50", "min", "max ms", "audio latency p50 ms")
	line(w, ours.name, number(ours.skew, 1), number(ours.skewMin, 1), number(ours.skewMax, 1), number(ours.latency, 0))
	line(w, "target", fmt.Sprintf("±%d", targetSkewMS), "", "", "")
	for _, peer := range peersSound {
		line(w, peer.name, number(peer.skew, 1), number(peer.skewMin, 1), number(peer.skewMax, 1), number(peer.latency, 0))
	}
	line(w)
}

// printNotes prints everything in the reports that makes the table doubtful.
func printNotes(out io.Writer, reports ...*blackbox.Report) {
	for _, r := range reports {
		for _, note := range notes(r) {
			fmt.Fprintf(out, "! %s: %s\n", r.Label, note)
		}
	}
	fmt.Fprintln(out)
}

func notes(r *blackbox.Report) []string {
	const busyOthers, lateMS = 0.3, 20
	out := slices.Clone(r.Errors)
	if r.Sink.Streams > 0 && (r.StreamsUp != r.Outputs || r.Sink.Streams != r.Outputs) {
		out = append(out, fmt.Sprintf("%d of %d streams came out, the sink has %d", r.StreamsUp, r.Outputs, r.Sink.Streams))
	}
	if r.OthersCores > busyOthers {
		out = append(out, fmt.Sprintf("others used %.2f cores: do not trust these figures", r.OthersCores))
	}
	if r.LateP99MS > lateMS {
		out = append(out, fmt.Sprintf("the generator ran %.0f ms late (p99): the machine was full", r.LateP99MS))
	}
	if r.SocketOverflows > 0 {
		out = append(out, fmt.Sprintf("the machine dropped %d datagrams at full UDP buffers", r.SocketOverflows))
	}
	if r.NACKed > 0 {
		out = append(out, fmt.Sprintf("%d packets were asked for again", r.NACKed))
	}
	if t := r.Sink.TSBackwards + r.Sink.Duplicates + r.Sink.Reordered; t > 0 {
		out = append(out, fmt.Sprintf("timestamps backwards %d, frames twice %d, frames out of order %d",
			r.Sink.TSBackwards, r.Sink.Duplicates, r.Sink.Reordered))
	}
	return out
}

// line ends every cell with a tab. Cells are aligned to the right; names are padded, so that they stand at the left.
func line(w io.Writer, cells ...string) {
	const nameWidth = 28
	if len(cells) > 0 {
		cells[0] = fmt.Sprintf("%-*s", nameWidth, cells[0])
	}
	fmt.Fprintln(w, strings.Join(append(cells, ""), "\t"))
}

func number(v float64, decimals int) string {
	if v == unknown {
		return "-"
	}
	return fmt.Sprintf("%.*f", decimals, v)
}

func count(n int) string {
	if n == unknown {
		return "-"
	}
	return fmt.Sprint(n)
}

// ratio returns ours as a multiple of theirs.
func ratio(ours, theirs float64) string {
	if theirs <= 0 || ours == theirs {
		return ""
	}
	return fmt.Sprintf("%.2fx", ours/theirs)
}
