//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"transponder/internal/testkit"
)

// command runs the program as an operator does, and returns what it prints and its exit code.
func command(t *testing.T, environment []string, args ...string) (out, errs string, code int) {
	t.Helper()
	c := exec.CommandContext(t.Context(), serverBinary, args...)
	c.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}, environment...)
	var o, e bytes.Buffer
	c.Stdout, c.Stderr = &o, &e
	err := c.Run()
	var ended *exec.ExitError
	if err != nil && !errors.As(err, &ended) {
		t.Fatal(err)
	}
	return o.String(), e.String(), c.ProcessState.ExitCode()
}

// An operator makes a key, and starts, sees and ends a push by commands alone. The key stands in a file.
func TestCommands(t *testing.T) {
	const password = "a long enough password"
	live := testkit.NewRTMPServer(t, testkit.Script{})
	s := startServerIn(t, []string{"TRANSPONDER_ADMIN_PASSWORD=" + password}, "access=closed")
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	at := []string{"TRANSPONDER_URL=" + strings.TrimSuffix(s.rest, "/rest-api")}
	if _, errs, code := command(t, at, "push", "list"); code != 4 || !strings.Contains(errs, "--token-file") {
		t.Errorf("without a credential: %d, %s", code, errs)
	}
	made, errs, code := command(t, at, "key", "create", "--admin", "--login", "admin", "--password-file", file("password", password))
	if code != 0 {
		t.Fatalf("key create: %d, %s", code, errs)
	}
	at = append(at, "TRANSPONDER_TOKEN_FILE="+file("key", made))
	s.whipToken = strings.TrimSpace(made)
	publishUntil(t, s, "hall", 320, 180)
	id, errs, code := command(t, at, "push", "start", "hall", live.URL("live"), "--wait", "15s")
	if code != 0 {
		t.Fatalf("push start: %d, %s", code, errs)
	}
	id = strings.TrimSpace(id)
	out, _, code := command(t, at, "push", "list", "-o", "json")
	var pushes []struct{ MediaSessionID, SourceStreamName string }
	if err := json.Unmarshal([]byte(out), &pushes); err != nil || code != 0 || len(pushes) != 1 || pushes[0].MediaSessionID != id || pushes[0].SourceStreamName != "hall" {
		t.Errorf("push list: %d, %v, %s", code, err, out)
	}
	if _, errs, code := command(t, at, "push", "stop", id); code != 0 {
		t.Errorf("push stop: %d, %s", code, errs)
	}
	if out, errs, code := command(t, at, "push", "watch", id); code != 0 || !strings.Contains(out, "> PUBLISHING") || !strings.Contains(out, "> ENDED terminated") {
		t.Errorf("push watch: %d, %s%s", code, out, errs)
	}
	if _, _, code := command(t, at, "push", "stop", "nothing"); code != 5 {
		t.Errorf("a push that is not there: %d, want 5", code)
	}
	if _, _, code := command(t, []string{"TRANSPONDER_URL=http://127.0.0.1:1"}, "push", "list"); code != 3 {
		t.Errorf("a server that is not there: %d, want 3", code)
	}
}
