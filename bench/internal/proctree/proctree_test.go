package proctree

import (
	"os"
	"os/exec"
	"slices"
	"testing"
)

func TestMeasureCountsChildren(t *testing.T) {
	child := exec.Command("sleep", "60")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = child.Process.Kill()
		_ = child.Wait()
	}()

	if got := Descendants(os.Getpid()); !slices.Contains(got, child.Process.Pid) {
		t.Errorf("descendants %v, want %d among them", got, child.Process.Pid)
	}
	usage, err := Measure([]int{os.Getpid()}, true)
	if err != nil {
		t.Fatal(err)
	}
	if usage.Processes < 2 || usage.Threads < usage.Processes || usage.PSS <= 0 || usage.RSS < usage.PSS {
		t.Errorf("got %+v, want two processes with memory", usage)
	}
	if MachineCPU() <= 0 {
		t.Error("the machine was never busy")
	}
}
