package state

import (
	"bufio"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
)

// childFolder tells a child process of TestKill where to write.
const childFolder = "STATE_TEST_FOLDER"

// TestKill kills a process in the middle of many writes: what was acknowledged is there afterwards, whole.
func TestKill(t *testing.T) {
	if dir := os.Getenv(childFolder); dir != "" {
		writeForEver(t, dir)
		return
	}
	dir := t.TempDir()
	var acknowledged []string
	for round := range 4 {
		child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKill$")
		child.Env = append(os.Environ(), childFolder+"="+dir, fmt.Sprintf("STATE_TEST_ROUND=%d", round))
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			if key, ok := strings.CutPrefix(lines.Text(), "wrote "); ok {
				acknowledged = append(acknowledged, key)
			}
			if n == 200+50*round {
				child.Process.Kill() // what is still in the pipe is read, too
			}
		}
		if err := child.Wait(); err == nil {
			t.Fatal("the child ended by itself")
		}
		s, l := openLogged(t, Config{Dir: dir})
		for _, key := range acknowledged {
			r, err := s.Get(t.Context(), "kill", key)
			if err != nil || string(r.Value) != valueOf(key) {
				t.Errorf("round %d: %s was acknowledged and is %q, %v", round, key, r.Value, err)
			}
		}
		if l.String() != "" {
			t.Errorf("round %d: the log says %s", round, l)
		}
		s.Close()
	}
	if len(acknowledged) < 800 {
		t.Errorf("only %d writes were acknowledged", len(acknowledged))
	}
}

func valueOf(key string) string {
	return `{"key":"` + key + `","fill":"` + strings.Repeat("x", 500) + `"}`
}

func writeForEver(t *testing.T, dir string) {
	s, err := Open(t.Context(), Config{Dir: dir}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := 0; ; i++ {
				key := fmt.Sprintf("%s/%d/%d", os.Getenv("STATE_TEST_ROUND"), w, i)
				if _, err := s.Put(t.Context(), "kill", key, []byte(valueOf(key)), 0); err != nil {
					t.Error(err)
					return
				}
				fmt.Println("wrote " + key)
			}
		})
	}
	wg.Wait()
}
