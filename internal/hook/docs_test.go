package hook

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"transponder/internal/access"
)

// TestDocumentedBackend runs the backend that docs/hooks.md shows, as it stands there.
func TestDocumentedBackend(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("there is no python3")
	}
	text, err := os.ReadFile("../../docs/hooks.md")
	if err != nil {
		t.Fatal(err)
	}
	program := regexp.MustCompile("(?s)```python\n(.*?)```").FindSubmatch(text)
	if program == nil {
		t.Fatal("docs/hooks.md shows no backend")
	}
	file := filepath.Join(t.TempDir(), "backend.py")
	if err := os.WriteFile(file, program[1], 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), python, file, "0")
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	port, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	address := "http://127.0.0.1:" + strings.TrimSpace(port)
	connect := func(h running, token string) (*Session, error) {
		s := h.open(t)
		members := Object{}
		members.set("custom", map[string]string{"token": token})
		_, _, err := s.Connect(t.Context(), access.Nobody(), Connection{Members: members})
		return s, err
	}
	h := runAt(t, address, func(c *Config, _ *App) { c.SendHash, c.Secret = true, "a long random text" })
	var refused *Refused
	if _, err := connect(h, "another"); !errors.As(err, &refused) {
		t.Errorf("connect with a bad token: %v", err)
	}
	s, err := connect(h, "the token of a user")
	if err != nil {
		t.Fatalf("connect: %v", err)
	}
	if _, err := s.Ask(t.Context(), PublishStream, Stream{Name: "user-18-a"}); !errors.As(err, &refused) {
		t.Errorf("publishing another user's name: %v", err)
	}
	got, err := s.Ask(t.Context(), PublishStream, Stream{Name: "user-17-a", RTMPURL: "rtmp://elsewhere.example/live"})
	if err != nil || got.RTMPURL != "destination://youtube-main" || got.Name != "user-17-a" {
		t.Errorf("publishing: %+v, %v", got, err)
	}
	stranger := runAt(t, address, func(c *Config, _ *App) { c.SendHash, c.Secret = true, "another secret" })
	if _, err := connect(stranger, "the token of a user"); !errors.As(err, &refused) {
		t.Errorf("a hook with a wrong hash: %v", err)
	}
}
