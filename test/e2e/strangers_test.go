//go:build e2e

package e2e

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"
)

// A stranger's page in a real browser neither starts a push nor ends the stream nor reads anything, be it by forms, by scripts or under
// a name that leads to this machine; a page of the server's own host does what it always did. With a password that the browser sends
// by itself it is the same.
func TestStrangers(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	publishSDK(t, connect(t, s), "victim", "")
	judgeStrangers(t, s)
	if code := s.post("/stream/find", map[string]string{"name": "victim"}, nil); code != http.StatusOK {
		t.Errorf("the stream is gone: find answers %d", code)
	}
	if code := s.post("/push/find_all", struct{}{}, nil); code != http.StatusNotFound {
		t.Errorf("a push was started: find_all answers %d", code)
	}
	resp, err := http.Get(s.rest + "/push/history")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if over, err := io.ReadAll(resp.Body); strings.TrimSpace(string(over)) != "[]" {
		t.Errorf("pushes were started and are over: %s, %v", over, err)
	}
	if all := s.metrics(); !strings.Contains(all, `transponder_turned_away_total{door="rest",reason="origin"}`) ||
		!strings.Contains(all, `transponder_turned_away_total{door="websocket",reason="host"}`) {
		t.Errorf("the refusals are not counted: %s", all)
	}
	if log := s.log.String(); !strings.Contains(log, "turned away") || !strings.Contains(log, "rest_access_control_allow_origin=http://evil.test") {
		t.Error("the log does not say what to set")
	}
}

func TestStrangersWithPassword(t *testing.T) {
	t.Parallel()
	s := startServer(t, "disable_rest_auth=false", "rest_users_file="+usersFile(t))
	publishSDK(t, connect(t, s), "victim", "")
	judgeStrangers(t, s, "--password", "ann:secret")
}

// The cookie of somebody who has signed in helps no other page.
func TestStrangersWithLogin(t *testing.T) {
	t.Parallel()
	s := startServer(t, "disable_rest_auth=false", "rest_users_file="+usersFile(t))
	publishSDK(t, connect(t, s), "victim", "")
	judgeStrangers(t, s, "--login", "ann:secret")
}

// usersFile returns a file with the user ann, who has the password secret.
func usersFile(t *testing.T) string {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte("secret"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	users := filepath.Join(t.TempDir(), "users")
	if err := os.WriteFile(users, []byte("ann:"+string(hash)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return users
}

func judgeStrangers(t *testing.T, s *server, args ...string) {
	t.Helper()
	b := startBrowser(t, "strangers.mjs", append([]string{s.page, "--socket", s.socket}, args...)...)
	for _, fault := range b.await("done").Faults {
		t.Error(fault)
	}
}
