package rest

import (
	"bufio"
	"math"
	"os"
	"runtime"
	"runtime/metrics"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// process is the use of the processor and the memory.
type process struct {
	cpuPercent              float64 // of all cores, by this process
	memoryTotal, memoryFree int64   // of the machine, MiB; 0 where it cannot be read
	threads                 int
}

// cpuWindow is the shortest time over which the use of the processor is averaged.
const cpuWindow = time.Second

// processMeter measures the use from one reading to the next.
type processMeter struct {
	mu      sync.Mutex
	at      time.Time     // guarded by mu
	used    time.Duration // guarded by mu; processor time until then
	percent float64       // guarded by mu
}

func (m *processMeter) read() process {
	p := process{cpuPercent: m.cpu(time.Now(), cpuTime()), threads: threads()}
	p.memoryTotal, p.memoryFree = memory()
	return p
}

// cpu returns the use since the last reading, in percent of all cores; 0 at the first reading.
func (m *processMeter) cpu(now time.Time, used time.Duration) float64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	elapsed := now.Sub(m.at)
	if !m.at.IsZero() && elapsed < cpuWindow {
		return m.percent
	}
	if !m.at.IsZero() {
		share := (used - m.used).Seconds() / elapsed.Seconds() / float64(runtime.NumCPU())
		m.percent = math.Round(share*1e4) / 1e2
	}
	m.at, m.used = now, used
	return m.percent
}

// cpuTime returns the processor time that this process has used.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func threads() int {
	sample := []metrics.Sample{{Name: "/sched/threads/total:threads"}}
	metrics.Read(sample)
	if sample[0].Value.Kind() != metrics.KindUint64 {
		return 0
	}
	return int(sample[0].Value.Uint64())
}

// memory returns the memory of the machine in MiB, as Linux reports it. free is what programs can get without swapping.
func memory() (total, free int64) {
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		return 0, 0
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), ":")
		kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		switch {
		case err != nil:
		case name == "MemTotal":
			total = kib / 1024
		case name == "MemAvailable":
			free = kib / 1024
		}
	}
	return total, free
}
