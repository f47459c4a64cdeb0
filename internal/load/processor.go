package load

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"
)

// Rate returns a function that returns how many cores were in use since the last call, or since Rate was called. total returns the
// processor time that has been used so far.
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

// MachineTime returns how long the machine's processors have worked in all, from /proc/stat (proc(5)).
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
	for i, f := range fields[1:9] { // the two fields for guests come later; the field "user" contains them
		n, err := strconv.ParseInt(string(f), 10, 64)
		if err != nil {
			return 0, err
		}
		if i != 3 && i != 4 { // neither idle nor iowait
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
