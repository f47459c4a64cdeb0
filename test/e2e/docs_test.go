//go:build e2e

package e2e

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"transponder/internal/testkit"
)

// The commands of docs/getting-started.md work as they stand: the REST calls with a running server and a real nginx, and the command
// for the encoder.
func TestGettingStarted(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/getting-started.md")
	if err != nil {
		t.Fatal(err)
	}
	s := startServer(t)
	nginx, _ := startNginx(t)
	publishWHIP(t, s, "cam")
	ports := strings.NewReplacer(
		"rtmp://localhost:1935/live", s.rtmp,
		"rtmp://localhost:1935", strings.TrimSuffix(s.rtmp, "/live"),
		"rtmp://localhost:1936/live", nginx,
	)
	calls := regexp.MustCompile(`(?s)curl -i http://localhost:8081/rest-api(\S+) [^\n]*\\\n\s+-d '(.*?)'`).FindAllStringSubmatch(string(text), -1)
	if len(calls) < 3 {
		t.Fatalf("only %d calls found in the document", len(calls))
	}
	for _, call := range calls {
		var body map[string]any
		if err := json.Unmarshal([]byte(ports.Replace(call[2])), &body); err != nil {
			t.Errorf("%s: %v", call[2], err)
			continue
		}
		want := http.StatusOK
		if strings.Contains(call[2], "youtube.com") {
			want = http.StatusBadRequest // a test machine resolves no such name
		}
		if code := s.post(call[1], body, nil); code != want {
			t.Errorf("%s %v answers %d, want %d", call[1], body, code, want)
		}
	}
	testkit.Eventually(t, 15*time.Second, func() string {
		var pushes []push
		s.post("/push/find_all", struct{}{}, &pushes)
		for _, p := range pushes {
			if p.Status != "PUBLISHING" {
				return "a push is " + p.Status + " " + p.Info
			}
		}
		return ""
	})

	encoder := regexp.MustCompile(`(?s)\nffmpeg (.*?)\n` + "```").FindStringSubmatch(string(text))
	if encoder == nil {
		t.Fatal("the document shows no encoder")
	}
	cmd := exec.CommandContext(t.Context(), "ffmpeg", strings.Fields(strings.ReplaceAll(ports.Replace(encoder[1]), "\\\n", ""))...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) }
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		cmd.Process.Signal(syscall.SIGINT)
		cmd.Wait()
	}()
	testkit.Eventually(t, 15*time.Second, func() string {
		if code := s.post("/stream/find", map[string]string{"name": "test"}, nil); code != http.StatusOK {
			return "there is no stream of that name"
		}
		return ""
	})
}
