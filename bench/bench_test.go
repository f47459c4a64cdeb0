package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"transponder/bench/internal/added"
	"transponder/bench/internal/blackbox"
	"transponder/bench/internal/sink"
	"transponder/bench/internal/stats"
)

// floorEnv makes the test binary a floor, which is measured as a process of its own.
const floorEnv = "BENCH_TEST_FLOOR"

func TestMain(m *testing.M) {
	listen := os.Getenv(floorEnv)
	if listen == "" {
		os.Exit(m.Run())
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := floor(ctx, []string{"-listen", listen, "-udp-mux", "127.0.0.1:0"}, os.Stdout); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

// writeSources makes sources of the right form; nobody decodes them.
func writeSources(t *testing.T) (video, audio string) {
	t.Helper()
	h264 := []byte{0, 0, 0, 1, 0x67, 0x42, 0xc0, 0x1f, 0, 0, 0, 1, 0x68, 0xce, 0, 0, 1, 0x65, 0x88}
	h264 = append(h264, bytes.Repeat([]byte{9}, 3000)...)
	for range 59 {
		h264 = append(h264, 0, 0, 1, 0x41, 0x9a, 7, 7, 7)
	}
	ogg := oggPage([]byte("OpusHead"))
	ogg = append(ogg, oggPage([]byte("OpusTags"))...)
	for range 50 {
		ogg = append(ogg, oggPage([]byte{0xfc, 0xff, 0xfe})...)
	}
	dir := t.TempDir()
	video, audio = filepath.Join(dir, "video.h264"), filepath.Join(dir, "audio.ogg")
	for path, b := range map[string][]byte{video: h264, audio: ogg} {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return video, audio
}

// oggPage holds one short packet (RFC 3533, 6); its checksum is left out.
func oggPage(packet []byte) []byte {
	page := append([]byte("OggS"), make([]byte, 22)...)
	return append(append(page, 1, byte(len(packet))), packet...)
}

func TestMeasureFloor(t *testing.T) {
	ports, err := blackbox.FreePorts("tcp", 1)
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cfg := blackbox.DefaultConfig()
	cfg.Load.Video, cfg.Load.Audio = writeSources(t)
	cfg.Load.Streams, cfg.Load.Ramp = 2, 50*time.Millisecond
	cfg.Ready = fmt.Sprintf("127.0.0.1:%d", ports[0])
	cfg.Load.WHIPURL = "http://" + cfg.Ready + "/{name}/whip"
	cfg.NoSink = true
	cfg.Log = filepath.Join(t.TempDir(), "log")
	cfg.Command = []string{self}
	cfg.Settle, cfg.Warmup, cfg.Window = 20*time.Millisecond, time.Second, 3*time.Second // some ticks of the clock that CPU time is counted by
	t.Setenv(floorEnv, cfg.Ready)

	report, err := blackbox.Run(t.Context(), cfg)
	log, logErr := os.ReadFile(cfg.Log)
	if err != nil || logErr != nil || len(report.Errors) > 0 {
		t.Fatalf("%v, %v, errors %q; log:\n%s", err, logErr, report.Errors, log)
	}
	if report.ConnectMS.N != 2 || report.FramesSent < 80 || report.Processes != 1 || report.PSSMB <= 0 || report.CPUCores <= 0 {
		t.Errorf("got %+v, want two connected streams of 30 frames a second from one process", report)
	}
	var packets, frames, gaps int
	if _, err := fmt.Sscanf(string(log), "packets %d, frames %d, gaps %d", &packets, &frames, &gaps); err != nil {
		t.Fatalf("the floor said %q: %v", log, err)
	}
	if frames < report.FramesSent || packets < 2*frames {
		t.Errorf("the floor had %d packets and %d frames, %d frames were sent in the window alone", packets, frames,
			report.FramesSent)
	}
}

func TestPrintTable(t *testing.T) {
	ours := &blackbox.Report{
		Streams: 25, Outputs: 25, StreamsUp: 25, CPUCoresStream: 0.0360, PSSMBStream: 2.6, FramesSent: 15000,
		FirstFrameMS: stats.Dist{P50: 90, Max: 110},
		Sink:         sink.Totals{Streams: 25, LatencyMS: stats.Dist{P50: 0.4, P99: 6.2}},
	}
	mono := *ours
	mono.CPUCoresStream = 0.0260
	floor := &blackbox.Report{Streams: 25, CPUCoresStream: 0.0120, PSSMBStream: 2}
	var out strings.Builder
	printTable(&out, 25, rowOf("transponder", ours), rowOf("mono", &mono), rowOf("pion floor", floor))
	got := strings.Join(strings.Fields(out.String()), " ")
	for _, want := range []string{
		"transponder 0.0360 2.6 0.4 6.2 0 15000 90 110 0.00",
		"target 0.0180 2.00x 2.5 1.04x 0.5 5.0 0 - 100 - -",
		"mono 0.0260 2.6 0.4 6.2 0 15000 90 110 0.00",
		"target, mono 0.0130 2.00x 2.5 1.04x 0.5 5.0 0 - 100 - -",
		"pion floor 0.0120 3.00x 2.0 1.30x - - - - - - 0.00",
		"SRS 7.0.18 0.0180 2.00x 5.2 0.50x 249.0 496.0 0 15022 2306 2325 0.06",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	if lines := strings.Count(out.String(), "\n"); lines != 12 {
		t.Errorf("%d lines, want the head, five rows and six peers:\n%s", lines, out.String())
	}
}

func TestPrintFanOut(t *testing.T) {
	one := &blackbox.Report{CPUCores: 0.05, PSSMB: 20}
	all := &blackbox.Report{
		CPUCores: 0.05 + 10*0.0013, PSSMB: 22.5, FramesSent: 300, OthersCores: 0.1,
		Sink: sink.Totals{Streams: 11, FramesLost: 2, LatencyMS: stats.Dist{P50: 1.2, P99: 6.5}},
	}
	var out strings.Builder
	printFanOut(&out, 11, one, all)
	got := strings.Join(strings.Fields(out.String()), " ")
	for _, want := range []string{"transponder 0.0013 256 1.2 6.5 2 3300 0.10", "target 0.0020 300"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}

func TestPrintSounds(t *testing.T) {
	var out strings.Builder
	printSounds(&out, 50, []*blackbox.Report{{CPUCores: 0.1, PSSMB: 27}, {CPUCores: 0.11, PSSMB: 28}, {CPUCores: 0.13, PSSMB: 29}})
	got := strings.Join(strings.Fields(out.String()), " ")
	for _, want := range []string{"untouched 0.100 0.0020 - -", "muted 0.110 0.0022 0.00020 0.0010 28.0", "file 0.130 0.0026 0.00060 0.0010 29.0"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	if b := toneWAV(); len(b) != 44+441000*4 || string(b[8:16]) != "WAVEfmt " {
		t.Errorf("a file of %d bytes", len(b))
	}
}

func TestPrintRendition(t *testing.T) {
	plain := &blackbox.Report{CPUCores: 0.04, PSSMB: 25}
	one := &blackbox.Report{CPUCores: 0.26, ChildCores: 0.21, BesideCores: 0.2, PSSMB: 67, OthersCores: 0.1}
	many := &blackbox.Report{CPUCores: 0.27, ChildCores: 0.21, PSSMB: 68}
	var out strings.Builder
	printRendition(&out, plain, one, many, added.Result{DelayMS: stats.Dist{P50: 7.4, P99: 15}, Matched: 600, Missing: 1})
	got := strings.Join(strings.Fields(out.String()), " ")
	for _, want := range []string{
		"transponder 0.210 1.05x 0.010 42.0 7.4 15.0 600 1 0.10", "target 1.10x 40 0", "ffmpeg beside it 0.200", "5 pushes of one profile 0.210 0.020 43.0",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}

func TestPrintSoak(t *testing.T) {
	r := &blackbox.Report{WindowS: 1800, CPUCores: 0.2}
	for i := range 120 {
		r.RSSSeriesMB = append(r.RSSSeriesMB, 60+float64(i)/12)
	}
	var out strings.Builder
	printSoak(&out, r)
	got := strings.Join(strings.Fields(out.String()), " ")
	for _, want := range []string{"MB over 30 minutes 60.5 61.5", "growth 8.0", "target < 3", "cores 0.200"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}

func TestNotes(t *testing.T) {
	tests := []struct {
		name   string
		report blackbox.Report
		want   string // "" is none
	}{
		{"good", blackbox.Report{Streams: 2, Outputs: 2, StreamsUp: 2, Sink: sink.Totals{Streams: 2}}, ""},
		{"one missing", blackbox.Report{Streams: 2, Outputs: 2, StreamsUp: 1, Sink: sink.Totals{Streams: 2}}, "1 of 2 streams"},
		{"a foreign one", blackbox.Report{Streams: 2, Outputs: 2, StreamsUp: 2, Sink: sink.Totals{Streams: 3}}, "the sink has 3"},
		{"busy", blackbox.Report{OthersCores: 0.5}, "others used 0.50 cores"},
		{"late", blackbox.Report{LateP99MS: 40}, "40 ms late"},
		{"overflow", blackbox.Report{SocketOverflows: 7}, "dropped 7 datagrams"},
		{"backwards", blackbox.Report{Sink: sink.Totals{TSBackwards: 1}}, "timestamps backwards 1"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := strings.Join(notes(&test.report), "; ")
			if test.want == "" && got != "" || !strings.Contains(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestParseNumbers(t *testing.T) {
	if got, err := parseNumbers("25, 50"); err != nil || fmt.Sprint(got) != "[25 50]" {
		t.Errorf("got %v, %v", got, err)
	}
	for _, bad := range []string{"", "0", "25,x"} {
		if _, err := parseNumbers(bad); err == nil {
			t.Errorf("no error for %q", bad)
		}
	}
}
