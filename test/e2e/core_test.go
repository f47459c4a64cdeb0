//go:build e2e

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"transponder/internal/testkit"
)

// A server that crashes leaves no core file, since its memory has stream keys, also where the shell allows cores of any size.
func TestNoCore(t *testing.T) {
	t.Parallel()
	pattern, err := os.ReadFile("/proc/sys/kernel/core_pattern")
	if err != nil || strings.HasPrefix(string(pattern), "|") || strings.Contains(string(pattern), "/") {
		t.Skipf("cores go elsewhere on this machine: %q, %v", pattern, err)
	}
	// crash runs a program without a limit for cores until it says what is awaited, aborts it, and returns how many cores it has left.
	crash := func(awaited string, program ...string) (cores int) {
		t.Helper()
		cmd := exec.Command("sh", append([]string{"-c", `ulimit -c unlimited && exec "$@"`, "sh"}, program...)...)
		cmd.Dir = t.TempDir()
		cmd.Env = append(os.Environ(), "GOTRACEBACK=crash")
		var said safeBuffer
		cmd.Stdout = &said
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		testkit.Eventually(t, 30*time.Second, func() string {
			if !strings.Contains(said.String(), awaited) {
				return "it has not said " + awaited
			}
			return ""
		})
		if err := cmd.Process.Signal(syscall.SIGABRT); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		if status := cmd.ProcessState.Sys().(syscall.WaitStatus); !status.Signaled() || status.Signal() != syscall.SIGABRT {
			t.Fatalf("%s was not aborted: %v", program[0], cmd.ProcessState)
		}
		files, err := filepath.Glob(filepath.Join(cmd.Dir, "core*"))
		if err != nil {
			t.Fatal(err)
		}
		return len(files)
	}
	if crash("ready", "sh", "-c", "echo ready; exec sleep 60") == 0 {
		t.Skip("other programs leave no cores here: the test would prove nothing")
	}
	program := []string{serverBinary}
	for _, key := range []string{"http.port", "https.port", "ws.port", "wss.port", "rtmp.port", "media_port_from"} {
		program = append(program, "--set", key+"=0")
	}
	if n := crash("is ready", program...); n != 0 {
		t.Errorf("the server left %d cores", n)
	}
}
