//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"transponder/internal/testkit"
)

// The console of one server shows all servers, takes another one out and back, and shows the push of a server that has died.
func TestClusterConsole(t *testing.T) {
	n := startNodes(t, "a", "b")
	a, b := n.all["a"], n.all["b"]
	receiver := testkit.NewRTMPServer(t, testkit.Script{})
	publishUntil(t, a, "show", 320, 180)
	testkit.Eventually(t, 20*time.Second, func() string {
		if code := b.post("/push/startup", map[string]any{"streamName": "show", "rtmpUrl": receiver.URL("live")}, nil); code != http.StatusOK {
			return fmt.Sprintf("startup on b answers %d", code)
		}
		return ""
	})
	console := startBrowser(t, "console-nodes.mjs", b.page+"console", "--node", "a")
	console.await("drained")
	if code := a.health(); code != http.StatusServiceUnavailable {
		t.Errorf("a is ready (%d) though the console has taken it out", code)
	}
	console.say("go on")
	console.await("resumed")
	if code := a.health(); code != http.StatusOK {
		t.Errorf("a is not ready (%d) though the console lets it go on", code)
	}
	a.kill()
	console.say("go on")
	if shown := console.await("gone").Displayed["pushes"]; !strings.HasPrefix(shown, "Waiting for its stream show") {
		t.Errorf("the console shows %q", shown)
	}
}

// health returns how /health/ready answers.
func (s *server) health() int {
	resp, err := http.Get(strings.TrimSuffix(s.page, "/") + "/health/ready")
	if err != nil {
		s.t.Error(err)
		return 0
	}
	defer resp.Body.Close()
	return resp.StatusCode
}
