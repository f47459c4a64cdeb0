// Package proctree adds up the CPU time and the memory of a process and all its descendants.
package proctree

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const ticksPerSecond = 100 // USER_HZ, the same on every Linux

// Usage of a tree of processes.
type Usage struct {
	CPU       float64 // seconds, of the living and of the children they reaped
	RSS, PSS  int64   // bytes
	Processes int
	Threads   int
}

type proc struct {
	parent  int
	ticks   int64
	threads int
}

// BecomeReaper makes this process the parent of descendants whose own parent has gone, so that none of them is lost from the
// tree.
func BecomeReaper() error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("become the reaper of descendants: %w", err)
	}
	return nil
}

// Measure adds up the trees under the given processes, they included. Memory is only looked at if asked for: it costs the
// kernel a walk of the page tables.
func Measure(roots []int, memory bool) (Usage, error) {
	procs, err := list()
	if err != nil {
		return Usage{}, err
	}
	children := map[int][]int{}
	for pid, p := range procs {
		children[p.parent] = append(children[p.parent], pid)
	}
	var u Usage
	seen := map[int]bool{}
	queue := slices.Clone(roots)
	for len(queue) > 0 {
		pid := queue[0]
		queue = append(queue[1:], children[pid]...)
		p, ok := procs[pid]
		if !ok || seen[pid] {
			continue
		}
		seen[pid] = true
		u.CPU += float64(p.ticks) / ticksPerSecond
		u.Threads += p.threads
		u.Processes++
		if memory {
			rss, pss := rollup(pid)
			u.RSS += rss
			u.PSS += pss
		}
	}
	return u, nil
}

// Children returns the direct descendants of pid.
func Children(pid int) []int {
	procs, err := list()
	if err != nil {
		return nil
	}
	var out []int
	for id, p := range procs {
		if p.parent == pid {
			out = append(out, id)
		}
	}
	return out
}

// Descendants returns all processes below pid, without pid itself.
func Descendants(pid int) []int {
	var out []int
	queue := Children(pid)
	for len(queue) > 0 {
		out = append(out, queue[0])
		queue = append(queue[1:], Children(queue[0])...)
	}
	return out
}

func list() (map[int]proc, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	procs := map[int]proc{}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			continue // it has ended meanwhile
		}
		// The name may contain any character. The other fields begin after the closing bracket of the name.
		f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
		if len(f) < 18 {
			continue
		}
		num := func(i int) int64 { n, _ := strconv.ParseInt(f[i], 10, 64); return n }
		procs[pid] = proc{
			parent:  int(num(1)),
			ticks:   num(11) + num(12) + num(13) + num(14), // own and reaped children's
			threads: int(num(17)),
		}
	}
	return procs, nil
}

func rollup(pid int) (rss, pss int64) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0, 0
	}
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		kb, _ := strconv.ParseInt(f[1], 10, 64)
		switch f[0] {
		case "Rss:":
			rss = kb << 10
		case "Pss:":
			pss = kb << 10
		}
	}
	return rss, pss
}

// MachineCPU returns the time that all cores of the machine have been busy so far, in seconds.
func MachineCPU() float64 {
	const idle, ioWait, guest = 3, 4, 8 // guest time is in user time already
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0
	}
	line, _, _ := strings.Cut(string(b), "\n")
	busy := 0.0
	for i, field := range strings.Fields(line)[1:] {
		if i >= guest {
			break
		}
		if i != idle && i != ioWait {
			ticks, _ := strconv.ParseFloat(field, 64)
			busy += ticks
		}
	}
	return busy / ticksPerSecond
}

// SocketOverflows returns how many UDP datagrams the machine has dropped so far because a socket's buffer was full.
func SocketOverflows() int64 {
	b, err := os.ReadFile("/proc/net/snmp")
	if err != nil {
		return 0
	}
	var names []string
	for line := range strings.Lines(string(b)) {
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0] != "Udp:" {
			continue
		}
		if names == nil { // the first line names the second one's figures
			names = fields
			continue
		}
		for i, name := range names {
			if name == "RcvbufErrors" && i < len(fields) {
				n, _ := strconv.ParseInt(fields[i], 10, 64)
				return n
			}
		}
	}
	return 0
}
