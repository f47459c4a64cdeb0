package blackbox

import (
	"fmt"
	"os/exec"

	"transponder/bench/internal/proctree"
)

// beside is a command that runs while the server is measured; nil: there is none.
type beside struct{ cmd *exec.Cmd }

func startBeside(command []string) (*beside, error) {
	if len(command) == 0 {
		return nil, nil
	}
	cmd := exec.Command(command[0], command[1:]...)
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start what runs beside the server: %w", err)
	}
	return &beside{cmd}, nil
}

func (b *beside) pid() int {
	if b == nil {
		return 0
	}
	return b.cmd.Process.Pid
}

// usage returns the processor time that the command has used, in seconds.
func (b *beside) usage() float64 {
	if b == nil {
		return 0
	}
	u, err := proctree.Measure([]int{b.pid()}, false)
	if err != nil {
		return 0
	}
	return u.CPU
}

func (b *beside) stop() {
	if b == nil {
		return
	}
	_ = b.cmd.Process.Kill() // it may be over already
	_ = b.cmd.Wait()
}
