package cluster

import (
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Gate tells whether this process may write to destinations now. The gate of a server alone is always open.
type Gate interface {
	// Open is called before each write: one atomic load and one reading of the clock.
	Open() bool
	// Changed returns a channel that is closed when Open or Alone may have changed. Open also becomes false by itself, as time goes by.
	Changed() <-chan struct{}
	// Alone reports that this process is cut off from the others and goes on only with what publishers feed: it connects nowhere, claims
	// nothing, and shows no picture in the place of a publisher. A push that has got no media for 2 s closes its connection. since is the
	// later of the cut and of the last pause of this process.
	Alone() (since time.Time, alone bool)
}

// clock returns a time that goes on while the machine sleeps, and that nobody sets.
type clock func() time.Duration

// bootTime is CLOCK_BOOTTIME. The wall clock is set by people and by NTP, and CLOCK_MONOTONIC stands still while the machine is suspended, in
// which time others may have taken over.
func bootTime() time.Duration {
	var ts unix.Timespec
	// Without the scheduler's notice: the call takes about 0.1 µs and never blocks. It fails on no kernel since 2.6.39.
	syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, unix.CLOCK_BOOTTIME, uintptr(unsafe.Pointer(&ts)), 0)
	return time.Duration(ts.Nano())
}

// quickClock is bootTime for each write. It asks the kernel once a second. In between it adds what time.Now says, which is no system call. The
// monotonic clock of time.Now stands still while the machine is suspended, but then the kernel sets the wall clock forward by just that time.
// So when the two clocks of time.Now differ, quickClock asks the kernel at once.
type quickClock struct {
	last atomic.Pointer[clockReading]
}

// clockReading is a moment on the clocks of time.Now and of the kernel.
type clockReading struct {
	at   time.Time
	boot time.Duration
}

const (
	// askKernel is how old a reading may be.
	askKernel = time.Second
	// clocksDiffer is how much the clocks of time.Now may differ. It is far less than the margin of a lease.
	clocksDiffer = 10 * time.Millisecond
	// clocksTogether is how long it may take to read all clocks, so that they show the same moment.
	clocksTogether = time.Millisecond
)

// now is a clock. It differs from bootTime by less than clocksDiffer.
func (c *quickClock) now() time.Duration {
	now := time.Now()
	if r := c.last.Load(); r != nil {
		wall, monotonic := time.Duration(now.UnixNano()-r.at.UnixNano()), now.Sub(r.at)
		if usable(wall, monotonic) {
			return r.boot + monotonic
		}
	}
	boot := bootTime()
	if time.Since(now) < clocksTogether {
		c.last.Store(&clockReading{now, boot})
	}
	return boot
}

// usable reports whether a reading tells the time, after the clocks of time.Now went on by so much.
func usable(wall, monotonic time.Duration) bool {
	return monotonic < askKernel && (wall-monotonic).Abs() < clocksDiffer
}

const (
	// pauseAfter is the gap between two pulses from which on this process counts as paused. A busy machine makes gaps of a second.
	pauseAfter = 2 * time.Second
	// pulseEvery is the time between two pulses.
	pulseEvery = 250 * time.Millisecond
	// steadyFor is how long the gate of a process that is alone stays shut after a pause. Media that waited in the buffers of sockets was
	// read at the beginning of that time, so it is older than 2 s at its end, and proves no living publisher.
	steadyFor = 2500 * time.Millisecond
)

// gate is the gate of a server among others. The lease opens it until a moment; a process that is alone opens it for pauseAfter at a time.
type gate struct {
	clock clock
	keep  bool

	until atomic.Int64 // of the clock, in nanoseconds; writes are allowed before
	alone atomic.Bool

	mu      sync.Mutex
	changed chan struct{} // guarded by mu; closed and replaced at each change
	lease   time.Duration // guarded by mu; until when the lease stands
	pulse   time.Duration // guarded by mu; time of the last pulse
	steady  time.Duration // guarded by mu; a process that is alone writes nothing before
	shut    time.Duration // guarded by mu; time that the gate was shut, up to the last opening
	lostAt  time.Time     // guarded by mu; when others could not be reached any more; zero: they can
	since   time.Time     // guarded by mu; when the process became alone, or was paused last
}

func newGate(c clock, keep bool) *gate {
	return &gate{clock: c, keep: keep, changed: make(chan struct{}), pulse: c()}
}

// Open reports whether this process may write now.
func (g *gate) Open() bool { return int64(g.clock()) < g.until.Load() }

// Alone reports that this process may write only what publishers feed.
func (g *gate) Alone() (since time.Time, alone bool) {
	if !g.alone.Load() {
		return time.Time{}, false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.since, true
}

// Changed returns a channel that is closed at the next change.
func (g *gate) Changed() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.changed
}

// held notes that the lease stands until a moment of the clock, and that this process is with the others.
func (g *gate) held(until time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.lease, g.lostAt = until, time.Time{}
	if g.alone.Swap(false) {
		g.tell()
	}
	g.open(until)
}

// lost notes that nobody answers. With keep the gate stays open for what publishers feed; else it shuts when the lease ends.
func (g *gate) lost() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.lostAt.IsZero() {
		g.lostAt = time.Now()
	}
	if !g.keep || g.alone.Load() {
		return
	}
	g.alone.Store(true)
	g.since = time.Now()
	g.extend(g.clock())
	g.tell()
}

// beat is called each pulseEvery. It sees pauses of this process and lets a process that is alone go on.
func (g *gate) beat() {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.clock()
	if now-g.pulse > pauseAfter {
		g.steady = now + steadyFor
		if g.alone.Load() {
			g.since = time.Now()
			g.until.Store(int64(now)) // shut
			g.tell()
		}
	}
	g.pulse = now
	if g.alone.Load() {
		g.extend(now)
	}
}

// extend opens the gate of a process that is alone for a short time: a process that is paused must find the gate shut when it wakes. The
// caller holds mu.
func (g *gate) extend(now time.Duration) {
	if now >= g.steady {
		g.open(now + pauseAfter)
	}
}

// open opens the gate until a moment. The caller holds mu.
func (g *gate) open(until time.Duration) {
	now, before := g.clock(), time.Duration(g.until.Load())
	g.until.Store(int64(until))
	if before <= now && until > now { // it was shut
		if before > 0 {
			g.shut += now - before
		}
		g.tell()
	}
}

// tell wakes all who wait for a change. The caller holds mu.
func (g *gate) tell() {
	close(g.changed)
	g.changed = make(chan struct{})
}

// stats returns how long the lease still stands, how long the gate was shut so far, and since when nobody answers.
func (g *gate) stats() (lease, shut time.Duration, lostAt time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now, until := g.clock(), time.Duration(g.until.Load())
	shut = g.shut
	if until > 0 && until <= now {
		shut += now - until
	}
	return max(g.lease-now, 0), shut, g.lostAt
}
