package blackbox

import (
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"
)

// What ran before the server, such as a NATS server, is not counted as the server's and outlives it. What the server has started does not.
func TestProcessesFromBefore(t *testing.T) {
	nats := exec.Command("sleep", "60")
	if err := nats.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		nats.Process.Kill()
		nats.Wait()
	}()
	s, err := startServer(Config{Command: []string{"sleep", "60"}})
	if err != nil {
		t.Fatal(err)
	}
	if u, err := s.usage(false); err != nil || u.Processes != 1 {
		t.Errorf("%d processes are counted, %v; want the server alone", u.Processes, err)
	}
	if err := s.stop(); err != nil {
		t.Error(err)
	}
	if unix.Kill(s.cmd.Process.Pid, 0) == nil {
		t.Error("the server runs on")
	}
	var status unix.WaitStatus
	if pid, err := unix.Wait4(nats.Process.Pid, &status, unix.WNOHANG, nil); pid != 0 || err != nil {
		t.Errorf("the process from before has ended: %v, %v", status, err)
	}
}
