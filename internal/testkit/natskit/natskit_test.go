package natskit

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestPortOfAnother starts a server on the port of another one.
func TestPortOfAnother(t *testing.T) {
	t.Parallel()
	first := Start(t)
	second := &Server{Name: newName("n"), Address: first.Address, Dir: t.TempDir()}
	second.arguments = second.listen()
	if why := second.start(t); why == "" {
		t.Error("the server of another test is taken for the own one")
	}
	text, err := os.ReadFile(filepath.Join(second.Dir, "log"))
	if err != nil || !strings.Contains(string(text), "address already in use") {
		t.Errorf("the second server did not find its port taken: %s, %v", text, err)
	}
}
