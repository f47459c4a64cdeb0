package load

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"
)

// Rate returns what measures the cores in use by a total of processor time: since its last call, or since Rate's.
func Rate(total func() (time.Duration, error)) func(now time.Time) float64 {
	before, _ := total()
	at := time.Now()
	return func(now time.Time) float64 {
		used, err := total()
		passed := now.Sub(at)
		if err != nil || passed <= 0 {
			return 0
		}
		cores := max(used-before, 0).Seconds() / passed.Seconds()
		before, at = used, now
		return cores
	}
}

// MachineTime returns the time that the machine's processors have worked, by proc(5).
func MachineTime() (time.Duration, error) {
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	line, _, _ := bytes.Cut(stat, []byte("\n"))
	fields := bytes.Fields(line)
	if len(fields) < 9 || string(fields[0]) != "cpu" {
		return 0, fmt.Errorf("unknown form of /proc/stat: %q", line)
	}
	var ticks int64
	for i, f := range fields[1:9] { // the guests' time behind these is counted as user's
		n, err := strconv.ParseInt(string(f), 10, 64)
		if err != nil {
			return 0, err
		}
		if i != 3 && i != 4 { // idle, and waiting for disks
			ticks += n
		}
	}
	return time.Duration(ticks) * (time.Second / 100), nil
}

// OwnTime returns the processor time of this program, without its children.
func OwnTime() (time.Duration, error) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0, err
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), nil
}
