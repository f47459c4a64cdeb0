package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"transponder/internal/testkit"
)

// unpack returns the files of an archive. Those that are compressed are returned unpacked.
func unpack(t *testing.T, name string) map[string]string {
	t.Helper()
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	zip, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for r := tar.NewReader(zip); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if inner, err := gzip.NewReader(bytes.NewReader(content)); err == nil {
			if content, err = io.ReadAll(inner); err != nil {
				t.Fatal(err)
			}
		}
		all[strings.TrimPrefix(h.Name, "transponder-support/")] = string(content)
	}
}

// The archive has what helps, and no secret of the settings, of keys, of destinations and of pushes.
func TestSupport(t *testing.T) {
	live := testkit.NewRTMPServer(t, testkit.Script{})
	const canary = "canary0123456789canary0123456789"
	secrets := []string{"token_secret=" + canary, "rtmp_push_auto_start_url=rtmp://127.0.0.1/app/" + canary}
	s := startServer(t, secrets...)
	s.publish("hall")
	made, _, _ := s.command("", "key", "create", "--publish", "hall")
	if _, errs, code := s.command(canary+"\n", "destination", "create", "main", "--server-url", live.URL("app")); code != 0 {
		t.Fatal(errs)
	}
	for _, to := range []string{"destination://main", live.URL("two/" + canary)} {
		if _, errs, code := s.command("", "push", "start", "hall", to, "--full-url", "true", "--wait", "10s"); code != 0 {
			t.Fatal(errs)
		}
	}
	file := filepath.Join(t.TempDir(), "support.tar.gz")
	out, errs, code := s.command("", "support", "--seconds", "1", "--out", file, "--server", s.rest, "--set", secrets[0], "--set", secrets[1])
	if code != 0 {
		t.Fatalf("%d, %s%s", code, out, errs)
	}
	files := unpack(t, file)
	for name, want := range map[string]string{
		"nodes.json": `"state"`, "metrics.txt": "transponder_", "pushes.json": "/two/***", "history.json": "[", "events.json": "PUBLISHING", "log-levels.json": "INFO",
		"goroutines.txt": "goroutine 1", "heap.pprof": "inuse_space", "cpu.pprof": "cpu", "version.txt": "go1.", "settings.properties": "token_secret=***",
		"doctor.json": "versions", "limits.txt": "open files",
	} {
		if !strings.Contains(files[name], want) {
			t.Errorf("%s does not have %q: %.300s", name, want, files[name])
		}
	}
	for name, text := range files {
		for _, secret := range []string{canary, strings.TrimSpace(made)} {
			if strings.Contains(text, secret) {
				t.Errorf("%s has a secret", name)
			}
		}
	}
	if strings.Contains(out, canary) {
		t.Errorf("the command prints a secret: %s", out)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v, want a file that others cannot read", info, err)
	}
	if _, errs, code := s.command("", "support", "--out", file); code == 0 {
		t.Errorf("a file that is there is written over: %s", errs)
	}
}

// Without a server, the archive has what the machine tells, and says what is missing.
func TestSupportWithoutServer(t *testing.T) {
	s := &serverOf{t: t, rest: "http://127.0.0.1:1", home: t.TempDir()}
	file := filepath.Join(t.TempDir(), "support.tar.gz")
	out, errs, code := s.command("", "support", "--out", file)
	if code != 0 || !strings.Contains(out, "Missing: everything of the server: no server at http://127.0.0.1:1") {
		t.Errorf("%d, %s%s", code, out, errs)
	}
	files := unpack(t, file)
	if !strings.Contains(files["MISSING.txt"], "everything of the server") || files["doctor.json"] == "" || files["settings.properties"] == "" || files["metrics.txt"] != "" {
		t.Errorf("it has %d files, and misses %s", len(files), files["MISSING.txt"])
	}
}
