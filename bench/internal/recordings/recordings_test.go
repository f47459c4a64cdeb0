package recordings

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestMIDIFile(t *testing.T) {
	got := midiFile([]note{{program: 9, key: 60, at: 0.5, length: 1}})
	want := "MThd\x00\x00\x00\x06\x00\x00\x00\x01\x01\xe0MTrk\x00\x00\x00\x11" +
		"\x00\xc0\x09" + "\x83\x60\x90\x3c\x64" + "\x87\x40\x80\x3c\x00" + "\x00\xff\x2f\x00"
	if string(got) != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.pcm")
	for _, r := range All {
		if r.wave == nil {
			continue
		}
		if err := r.Write(t.Context(), path, 2); err != nil {
			t.Fatal(err)
		}
		if b, err := os.ReadFile(path); err != nil || len(b) != 2*Rate*frame || bytes.Count(b, []byte{0}) == len(b) {
			t.Errorf("%s: %d bytes, %v", r.Name, len(b), err)
		}
	}
	if err := (Recording{Name: "none", pkg: "none", files: []string{"/nonexistent/*.wav"}}).Write(t.Context(), path, 1); !errors.Is(err, ErrMissing) {
		t.Errorf("without its package: %v, want ErrMissing", err)
	}
}

// The script installs what the recordings are made of.
func TestScript(t *testing.T) {
	script, err := os.ReadFile("../../recordings.sh")
	if err != nil {
		t.Fatal(err)
	}
	words := strings.Fields(string(script))
	for _, pkg := range Packages() {
		if !slices.Contains(words, pkg) {
			t.Errorf("recordings.sh does not install %s", pkg)
		}
	}
}
