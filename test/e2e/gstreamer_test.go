//go:build e2e

package e2e

import (
	"bufio"
	"encoding/json"
	"io"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"transponder/internal/testkit"
)

// gstreamer is a running gstreamer.py.
type gstreamer struct {
	t      *testing.T
	stderr safeBuffer

	mu      sync.Mutex
	answer  int            // guarded by mu; the status of the answer, 0 before it
	body    string         // guarded by mu
	state   string         // guarded by mu
	buffers map[string]int // guarded by mu; by kind
}

// startGStreamer has GStreamer's webrtcbin publish to a WHIP address, or play a WHEP address, until the test ends or leave is called.
func startGStreamer(t *testing.T, args ...string) (g *gstreamer, leave func()) {
	t.Helper()
	g = &gstreamer{t: t, buffers: map[string]int{}}
	cmd := exec.Command("/usr/bin/python3", append([]string{"gstreamer.py"}, args...)...) // Debian's, which has its bindings
	cmd.Stderr = &g.stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan struct{})
	go func() {
		defer close(exited)
		g.read(stdout)
		cmd.Wait()
	}()
	leave = sync.OnceFunc(func() {
		stdin.Close()
		select {
		case <-exited:
		case <-time.After(15 * time.Second):
			cmd.Process.Kill()
			<-exited
		}
	})
	t.Cleanup(leave)
	return g, leave
}

func (g *gstreamer) read(from io.Reader) {
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var e struct {
			Answer            int
			Body, State, Kind string
			Media             string
			Buffers           int
		}
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			continue
		}
		g.mu.Lock()
		switch {
		case e.Answer != 0:
			g.answer, g.body = e.Answer, e.Body
		case e.State != "":
			g.state = e.State
		case e.Media != "":
			g.buffers[e.Media] = e.Buffers
		}
		g.mu.Unlock()
	}
}

// wait waits until a condition holds, which is called with mu held.
func (g *gstreamer) wait(what string, condition func() bool) {
	g.t.Helper()
	testkit.Eventually(g.t, 30*time.Second, func() string {
		g.mu.Lock()
		defer g.mu.Unlock()
		if condition() {
			return ""
		}
		return "GStreamer waits for " + what + ": answered " + strings.TrimSpace(g.body) + ", " + g.state + "\n" + g.stderr.String()
	})
}

// GStreamer 1.22 publishes and plays with the bundle policy max-bundle, in either order of its sections, and with none, its default; and
// it plays streams that lack what it asks for first or last.
func TestGStreamer(t *testing.T) {
	s := startServer(t)
	base := strings.TrimSuffix(s.page, "/")
	for _, tt := range []struct {
		name, bundle string
		kinds        []string
	}{
		{"both", "max-bundle", []string{"audio", "video"}},
		{"apart", "none", []string{"audio", "video"}},
		{"video", "max-bundle", []string{"video"}},
		{"audio", "max-bundle", []string{"audio"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			publisher, _ := startGStreamer(t, "publish", base+"/whip/"+tt.name, "--bundle", tt.bundle, "--kinds", strings.Join(tt.kinds, ","))
			publisher.wait("the connection", func() bool { return publisher.state == "connected" })
			var players []*gstreamer
			for _, first := range []string{"audio", "video"} {
				player, _ := startGStreamer(t, "play", base+"/whep/"+tt.name, "--bundle", tt.bundle, "--first", first)
				players = append(players, player)
			}
			for _, player := range players {
				player.wait("media", func() bool {
					return !slices.ContainsFunc(tt.kinds, func(kind string) bool { return player.buffers[kind] < 20 })
				})
			}
		})
	}
}
