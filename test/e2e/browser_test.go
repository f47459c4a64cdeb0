//go:build e2e

package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"transponder/internal/testkit"
)

// browser is a running script of browser/ with a real browser below it.
type browser struct {
	t      *testing.T
	stdin  io.WriteCloser
	events chan browserEvent
	stderr safeBuffer
}

// browserEvent is one line that a script says.
type browserEvent struct {
	Event         string            `json:"event"`
	Step          string            `json:"step"`
	Reason        string            `json:"reason"`
	Displayed     map[string]string `json:"displayed"`
	ConsoleErrors []string          `json:"consoleErrors"`
	Cases         []suiteCase       `json:"cases"`
	Faults        []string          `json:"faults"` // of strangers.mjs
	Direct        pictureDelay      `json:"direct"`
	Server        pictureDelay      `json:"server"`
	Codecs        [][]string        `json:"codecs"` // of bridge.mjs: what each page gets, sound before pictures
}

// pictureDelay is what play-delay.mjs measures.
type pictureDelay struct {
	Median   float64 `json:"median"` // ms
	Pictures int     `json:"pictures"`
}

// startBrowser runs a script; it is stopped at the end of the test at the latest.
func startBrowser(t *testing.T, script string, args ...string) *browser {
	t.Helper()
	return startCommand(t, []string{"node"}, script, args...)
}

// startCommand is startBrowser by another command than node.
func startCommand(t *testing.T, command []string, script string, args ...string) *browser {
	t.Helper()
	b := &browser{t: t, events: make(chan browserEvent, 16)}
	cmd := exec.Command(command[0], slices.Concat(command[1:], []string{script, "--seconds", "120"}, args)...)
	cmd.Dir = "browser"
	cmd.Stderr = &b.stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if b.stdin, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan struct{})
	go func() {
		defer close(exited)
		defer close(b.events)
		lines := bufio.NewScanner(stdout)
		for lines.Scan() {
			var e browserEvent
			if err := json.Unmarshal(lines.Bytes(), &e); err == nil {
				b.events <- e
			}
		}
		cmd.Wait()
	}()
	t.Cleanup(func() {
		b.stdin.Close()
		select {
		case <-exited:
		case <-time.After(30 * time.Second):
			cmd.Process.Kill()
			<-exited
		}
	})
	return b
}

// await waits for an event; a script that fails says why.
func (b *browser) await(event string) browserEvent {
	b.t.Helper()
	limit := time.After(3 * time.Minute)
	for {
		select {
		case e, ok := <-b.events:
			switch {
			case !ok:
				b.t.Fatalf("the browser ended before %q\n%s", event, b.stderr.String())
			case e.Event == "failed":
				b.t.Fatalf("the browser failed at %q: %s\nit showed %v\n%v\n%s", e.Step, e.Reason, e.Displayed, e.ConsoleErrors, b.stderr.String())
			case e.Event == event:
				return e
			}
		case <-limit:
			b.t.Fatalf("no %q from the browser in 3 minutes\n%s", event, b.stderr.String())
		}
	}
}

// say tells a script something.
func (b *browser) say(line string) {
	b.t.Helper()
	if _, err := io.WriteString(b.stdin, line+"\n"); err != nil {
		b.t.Fatalf("tell the browser %q: %v", line, err)
	}
}

// stop presses Stop.
func (b *browser) stop() browserEvent {
	b.t.Helper()
	b.stdin.Close()
	return b.await("stopped")
}

// The first promise of the README: open the page, click Start, and the camera arrives with sound at an RTMP server that
// needs nothing installed. The page is used by keyboard, in every look, and checked for accessibility.
func TestPageToOwnServer(t *testing.T) {
	s := startServer(t)
	b := startBrowser(t, "publish-page.mjs", s.page, "--name", "camera", "--rtmp", s.rtmp, "--keyboard")
	b.await("live")
	s.receivedBy("lean")
	judge(t, capture(t, s.rtmp+"/rtmp_camera"), expectation{seconds: 10, tone: true})
	shown := b.stop()
	if shown.Displayed["bitrate-1"] == "" || shown.Displayed["frames-1"] == "" {
		t.Errorf("the page showed %v", shown.Displayed)
	}
	testkit.Eventually(t, 10*time.Second, func() string {
		if code := s.post("/push/find", struct{}{}, nil); code != 404 {
			return "the push is still there"
		}
		return ""
	})
}

// receivedBy checks that a receiver has one publisher.
func (s *server) receivedBy(receiver string) {
	s.t.Helper()
	want := fmt.Sprintf("transponder_publishers{receiver=%q} 1\n", receiver)
	if all := s.metrics(); !strings.Contains(all, want) {
		s.t.Errorf("the metrics have no %q: %v", want, regexp.MustCompile(`(?m)^transponder_publishers.*`).FindAllString(all, -1))
	}
}

// To a real nginx, with a source whose sound and picture can be compared.
func TestPageToNginx(t *testing.T) {
	s := startServer(t)
	url, records := startNginx(t)
	b := startBrowser(t, "publish-page.mjs", s.page, "--name", "sync", "--rtmp", url, "--flash")
	b.await("live")
	testkit.Eventually(t, 40*time.Second, func() string { // until nginx has recorded 12 s
		if sent := s.waitPush("sync", "PUBLISHING").AudioFramesSent; sent < 12*48000/1024 {
			return "too little was sent yet"
		}
		return ""
	})
	b.stop()
	file := filepath.Join(records, "rtmp_sync.flv")
	judge(t, file, expectation{seconds: 10, tone: true})
	judgeSync(t, file)
}

// A browser without H.264 sends VP8, which arrives as H.264, with the sound in step.
func TestPageWithoutH264(t *testing.T) {
	s := startServer(t)
	url, records := startNginx(t)
	b := startBrowser(t, "publish-page.mjs", s.page, "--name", "vp8", "--rtmp", url, "--flash", "--without", "H264")
	b.await("live")
	s.receivedBy("peer")
	testkit.Eventually(t, 60*time.Second, func() string { // until nginx has recorded 12 s
		if sent := s.waitPush("vp8", "PUBLISHING").AudioFramesSent; sent < 12*48000/1024 {
			return "too little was sent yet"
		}
		return ""
	})
	b.stop()
	file := filepath.Join(records, "rtmp_vp8.flv")
	judge(t, file, expectation{seconds: 10, tone: true})
	judgeSync(t, file)
}

// The official SDK that is told to leave H.264 out of its offer sends VP8, which arrives as H.264, with the sound in step.
func TestSDKStripsH264(t *testing.T) {
	s := startServer(t)
	url, records := startNginx(t)
	b := startBrowser(t, "publish-sdk-example.mjs", s.socket, "--name", "stripped", "--rtmp", url, "--flash", "--strip", "H264")
	b.await("live")
	testkit.Eventually(t, 60*time.Second, func() string { // until nginx has recorded 12 s
		if sent := s.waitPush("stripped", "PUBLISHING").AudioFramesSent; sent < 12*48000/1024 {
			return "too little was sent yet"
		}
		return ""
	})
	var streams []struct{ Name, VideoCodec string }
	if s.post("/stream/find_all", struct{}{}, &streams); len(streams) == 0 || streams[0].VideoCodec != "VP8" {
		t.Errorf("the stream comes as %+v, want VP8", streams)
	}
	b.stop()
	file := filepath.Join(records, "rtmp_stripped.flv")
	judge(t, file, expectation{seconds: 10, tone: true})
	judgeSync(t, file)
}

// The official SDK's example, as it comes, to a real nginx and to our own server.
func TestSDKExample(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	url, records := startNginx(t)
	targets := []struct {
		name, url string
		received  func() string
	}{
		{"own", s.rtmp, func() string { return capture(t, s.rtmp+"/rtmp_own") }},
		{"nginx", url, func() string { return capture(t, url+"/rtmp_nginx") }},
	}
	for _, target := range targets {
		t.Run(target.name, func(t *testing.T) {
			b := startBrowser(t, "publish-sdk-example.mjs", s.socket, "--name", target.name, "--rtmp", target.url)
			b.await("live")
			s.waitPush(target.name, "PUBLISHING")
			judge(t, target.received(), expectation{seconds: 10, tone: true})
			b.stop()
		})
	}
	judge(t, filepath.Join(records, "rtmp_nginx.flv"), expectation{seconds: 10, tone: true})
}

// judgeSync compares the moments of flashes and beeps, which the source makes together once a second.
func judgeSync(t *testing.T, file string) {
	t.Helper()
	offsets := beepOffsets(t, file, 8)
	var sum, worst float64
	for _, o := range offsets {
		sum += o
		worst = max(worst, math.Abs(o))
	}
	mean := sum / float64(len(offsets))
	t.Logf("sound after picture: mean %.1f ms, worst %.1f ms, %d flashes", mean*1000, worst*1000, len(offsets))
	if math.Abs(mean) > 0.08 {
		t.Errorf("sound is %.0f ms after the picture, want less than 80 either way", mean*1000)
	}
}

// beepOffsets returns how long after each flash its beep comes, in seconds. It wants so many flashes and beeps, and a beep for each flash but two: the
// first and the last may have lost theirs.
func beepOffsets(t *testing.T, file string, least int) []float64 {
	t.Helper()
	flashes, beeps := flashTimes(t, file), beepTimes(t, file)
	if len(flashes) < least || len(beeps) < least {
		t.Fatalf("%d flashes and %d beeps, want at least %d", len(flashes), len(beeps), least)
	}
	var offsets []float64
	for _, f := range flashes {
		nearest := math.Inf(1)
		for _, b := range beeps {
			if math.Abs(b-f) < math.Abs(nearest) {
				nearest = b - f
			}
		}
		if math.Abs(nearest) < 0.4 {
			offsets = append(offsets, nearest)
		}
	}
	if len(offsets) < len(flashes)-2 {
		t.Fatalf("%d of %d flashes have a beep within 0.4 s: flashes %.2f, beeps %.2f", len(offsets), len(flashes), flashes, beeps)
	}
	return offsets
}

func flashTimes(t *testing.T, file string) []float64 {
	t.Helper()
	times, luma := brightness(t, file)
	var flashes []float64
	for i := 1; i < len(luma); i++ {
		if luma[i] > 128 && luma[i-1] <= 128 {
			flashes = append(flashes, times[i])
		}
	}
	return flashes
}

// beepTimes finds where the sound's level rises over a tenth of full scale after half a second of less.
func beepTimes(t *testing.T, file string) []float64 {
	t.Helper()
	samples, start := sound(t, file)
	var beeps []float64
	last := -soundRate
	for i, s := range samples {
		if math.Abs(float64(s)) < 0.1 {
			continue
		}
		if i-last > soundRate/2 {
			beeps = append(beeps, start+float64(i)/soundRate)
		}
		last = i
	}
	return beeps
}
