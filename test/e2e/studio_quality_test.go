//go:build e2e

package e2e

import (
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"transponder/internal/testkit"
)

// While somebody is live from the studio, the quality changes twice. The stream keeps its connection, and a real nginx has one recording, which
// decodes and whose time only grows. The browser, which records the show, too, is killed: what it has recorded is found, and decodes.
func TestLongStudioQuality(t *testing.T) {
	n := newNginx(t, "record_append on;")
	s := startServer(t)
	profile := filepath.Join(t.TempDir(), "profile")
	b := startBrowser(t, "studio-quality.mjs", s.page, "--profile", profile, "--name", "show", "--rtmp", n.url(), "--seconds", "180")
	b.await("live")
	begun := s.waitPush("show", "PUBLISHING")
	s.waitFrames("show", 90)
	for _, quality := range []string{"quality 360p 640", "quality 720p 1280"} {
		b.say(quality)
		if saw := b.await("changed").Displayed; saw["connections"] != "1" {
			t.Errorf("after %q the page has made %s connections, want one", quality, saw["connections"])
		}
		s.waitFrames("show", s.waitPush("show", "PUBLISHING").VideoFramesSent+90)
	}
	if last := s.waitPush("show", "PUBLISHING"); last.MediaSessionID != begun.MediaSessionID || last.Attempts != 1 {
		t.Errorf("the push was %+v and is %+v", begun, last)
	}

	b.say("kill")
	found := b.await("found").Displayed
	if want := `A recording of “show” was found`; !strings.Contains(found["words"], want) {
		t.Errorf("the page says %q, want %q", found["words"], want)
	}
	total := 0.0
	for part := 1; found["part-"+strconv.Itoa(part)] != ""; part++ {
		file := found["part-"+strconv.Itoa(part)]
		if found["part-"+strconv.Itoa(part+1)] != "" {
			judgeDecoding(t, file)
		} else if said := cutDecoding(t, file); said != "" {
			t.Errorf("decoding what was written before the kill: %s", said)
		}
		lasts := duration(t, file)
		t.Logf("part %d lasts %.1f s", part, lasts)
		total += lasts
	}
	if total < 6 || found["part-3"] == "" {
		t.Errorf("the parts last %.1f s, want three of 6 s together: %v", total, found)
	}

	b.stop()
	if code := s.post("/push/terminate", map[string]any{"mediaSessionId": begun.MediaSessionID}, nil); code != http.StatusOK {
		t.Errorf("terminate answers %d", code)
	}
	testkit.Eventually(t, 10*time.Second, func() string {
		if code := s.post("/push/find", struct{}{}, nil); code != http.StatusNotFound {
			return "the push is still there"
		}
		return ""
	})
	file := n.recording(t)
	judgeDecoding(t, file)
	judgeJoints(t, file, 0)
	if lasts := duration(t, file); lasts < 8 {
		t.Errorf("the recording lasts %.1f s", lasts)
	}
}

// cutDecoding decodes a file that may end in the middle of a picture, and returns what ffmpeg has against the rest.
func cutDecoding(t *testing.T, file string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "ffmpeg", "-hide_banner", "-v", "error", "-i", file, "-fps_mode", "vfr", "-f", "null", "-").CombinedOutput()
	if err != nil {
		return err.Error() + "\n" + string(out)
	}
	return strings.TrimSpace(regexp.MustCompile(`(?m)^\[matroska,webm @ \w+\] File ended prematurely at pos\. \d+ \(\w+\)\n?`).ReplaceAllString(string(out), ""))
}

// The test of the upload measures what a network with a bound carries, and proposes a quality that fits.
func TestLongStudioSpeed(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("network namespaces need root")
	}
	r := newRoamer(t)
	s := startServer(t, "access=open", "ip="+r.address())
	page := "http://" + net.JoinHostPort(r.address(), portIn(t, s.rest)) + "/"
	b := startCommand(t, []string{"ip", "netns", "exec", r.namespace, "node"}, "studio-quality.mjs", page, "--name", "show", "--seconds", "180")
	b.await("live")
	carries := regexp.MustCompile(`carries (?:about|at least) ([\d.]+) ([kM])bit/s`)
	for _, c := range []struct{ kbps, fits string }{{"1000", "too little"}, {"3000", "Low, 360p|Medium, 480p"}} {
		tool(t, "tc", "-n", r.namespace, "qdisc", "replace", "dev", r.links["wifi"], "root", "tbf", "rate", c.kbps+"kbit", "burst", "16kb", "latency", "150ms")
		b.say("test")
		saw := b.await("tested").Displayed
		t.Logf("over %s kbit/s: %s %s", c.kbps, saw["result"], saw["problem"])
		m := carries.FindStringSubmatch(saw["result"])
		if m == nil {
			t.Fatalf("no result: %v", saw)
		}
		measured, _ := strconv.ParseFloat(m[1], 64)
		if m[2] == "M" {
			measured *= 1000
		}
		limit, _ := strconv.ParseFloat(c.kbps, 64)
		if measured < 0.6*limit || measured > 1.05*limit {
			t.Errorf("measured %.0f kbit/s of %s", measured, c.kbps)
		}
		if !regexp.MustCompile(c.fits).MatchString(saw["result"]) {
			t.Errorf("it proposes %q, want %q", saw["result"], c.fits)
		}
	}
	b.stop()
}

// While somebody is live from the studio for five minutes, or for thirty with TRANSPONDER_SOAK=1, recording, the memory of the page stays the same
// to a tenth: charts, events, the recording and what the page knows of its pictures are bounded.
func TestLongStudioMemory(t *testing.T) {
	lasts := 5 * time.Minute
	if os.Getenv("TRANSPONDER_SOAK") != "" {
		lasts = 30 * time.Minute
	}
	const each, warmUp = 10 * time.Second, 100 * time.Second
	n := newNginx(t, "record_append on;")
	s := startServer(t)
	b := startBrowser(t, "studio-memory.mjs", s.page, "--name", "show", "--rtmp", n.url(), "--seconds", strconv.Itoa(int((lasts + time.Minute).Seconds())))
	b.await("live")
	var heaps, residents []float64
	ticker := time.NewTicker(each)
	defer ticker.Stop()
	for begun := time.Now(); time.Since(begun) < lasts; {
		<-ticker.C
		b.say("measure")
		saw := b.await("measured").Displayed
		if time.Since(begun) >= warmUp {
			heaps = append(heaps, measured(t, saw["heap"]))
			residents = append(residents, measured(t, saw["resident"]))
		}
		t.Logf("%v: heap %.2f MB, resident %.1f MB, %s nodes; %s", time.Since(begun).Round(time.Second), measured(t, saw["heap"])/1e6,
			measured(t, saw["resident"])/1e6, saw["nodes"], saw["recorded"])
	}
	b.stop()
	for what, values := range map[string][]float64{"heap": heaps, "resident memory": residents} {
		third := len(values) / 3
		first, last := median(values[:third]), median(values[len(values)-third:])
		t.Logf("%s: %.2f MB, then %.2f MB", what, first/1e6, last/1e6)
		if last > 1.1*first {
			t.Errorf("the %s of the page grows from %.2f MB to %.2f MB", what, first/1e6, last/1e6)
		}
	}
}

func measured(t *testing.T, text string) float64 {
	t.Helper()
	value, err := strconv.ParseFloat(text, 64)
	if err != nil {
		t.Fatalf("no number: %q", text)
	}
	return value
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}
