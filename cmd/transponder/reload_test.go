package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"transponder/internal/admin"
	"transponder/internal/testkit"
)

// A reload applies what can change, names what needs a restart, and with wrong settings changes nothing.
func TestReload(t *testing.T) {
	file := filepath.Join(t.TempDir(), "settings")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("log_level=info\nmax_players=0\n")
	live := testkit.NewRTMPServer(t, testkit.Script{})
	s := startServer(t, "config="+file)
	s.publish("hall")
	reload := func() (changed, restart []string) {
		t.Helper()
		out, errs, code := s.command("", "node", "reload", "-o", "json")
		var done struct{ Changed, Restart, Read, Wrong []string }
		if err := json.Unmarshal([]byte(out), &done); err != nil || code != 0 || len(done.Wrong) > 0 || !slices.Contains(done.Read, "certificates") {
			t.Fatalf("%d, %v, %s%s", code, err, out, errs)
		}
		return done.Changed, done.Restart
	}
	if changed, restart := reload(); len(changed)+len(restart) > 0 {
		t.Errorf("nothing is new, but %q, %q", changed, restart)
	}
	write("log_level=debug\nrtmp_push_max=1\nrtmp_push_connect_timeout_ms=4000\n")
	for i, want := range [][]string{{"log_level", "rtmp_push_max"}, nil} { // what needs a restart stays in the list
		changed, restart := reload()
		if !slices.Equal(changed, want) || !slices.Equal(restart, []string{"rtmp_push_connect_timeout_ms"}) {
			t.Errorf("reload %d: changed %q, restart %q", i, changed, restart)
		}
	}
	if !strings.Contains(s.log.String(), "level=DEBUG") {
		t.Error("the level of the log has not changed")
	}
	start := func(path string) string {
		_, errs, _ := s.command("", "push", "start", "hall", live.URL(path))
		return errs
	}
	if errs := start("one"); errs != "" {
		t.Error(errs)
	}
	if errs := start("two"); !strings.Contains(errs, "it takes 1 pushes") {
		t.Errorf("a second push: %q, want the new limit", errs)
	}

	write("log_level=loud\nrtmp_push_max=2\nmax_players=many\naccess=perhaps\n")
	out, errs, code := s.command("", "node", "reload")
	if code != admin.ExitFailed || !strings.Contains(errs, "nothing was changed") {
		t.Errorf("%d, %s%s", code, out, errs)
	}
	for _, fault := range []string{"log_level", "max_players", "access"} {
		if !strings.Contains(errs, fault+" must be") && !strings.Contains(errs, fault+": must be") {
			t.Errorf("%s does not name the fault of %s", errs, fault)
		}
	}
	if errs := start("two"); !strings.Contains(errs, "it takes 1 pushes") {
		t.Errorf("a second push: %q, want the limit of before", errs)
	}

	write("log_level=info\nrtmp_push_max=5\n")
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, patience, func() string { return start("two") })
}

// The level of a package changes for a while, and the audit log says who has done it.
func TestLogLevels(t *testing.T) {
	s := startServer(t)
	list := func() { _, _, _ = s.command("", "push", "list") } // which package rest logs at debug
	list()
	if strings.Contains(s.log.String(), "rest request") {
		t.Fatal("the log has it without being asked")
	}
	out, errs, code := s.command("", "node", "log", "debug", "--package", "rest", "--for", "1h")
	if code != 0 || !strings.Contains(out, "rest        DEBUG  20") || !strings.Contains(out, "all others  INFO   -") {
		t.Errorf("%d, %s%s", code, out, errs)
	}
	list()
	if log := s.log.String(); !strings.Contains(log, "rest request") || strings.Count(log, "level=DEBUG") != strings.Count(log, "rest request") {
		t.Errorf("the log has other lines than those of the package:\n%s", log)
	}
	if out, _, code = s.command("", "node", "log", "back", "--package", "rest"); code != 0 || strings.Contains(out, "DEBUG") {
		t.Errorf("%d, %s", code, out)
	}
	if out, _, _ = s.command("", "audit", "--do", "node/log/set"); strings.Count(out, "node/log/set") != 2 {
		t.Errorf("the audit log has %s", out)
	}
	for _, args := range []string{"node log loud", "node log debug --package nothing", "node log debug --for 25h"} {
		if _, errs, code := s.command("", strings.Fields(args)...); code != admin.ExitFailed || !strings.Contains(errs, "must be") && !strings.Contains(errs, "there are access") {
			t.Errorf("%s: %d, %s", args, code, errs)
		}
	}
}
