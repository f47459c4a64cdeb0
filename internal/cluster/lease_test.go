package cluster

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"transponder/internal/state"
	"transponder/internal/transponder"
)

// scene is a process with its lease in a bubble of synctest. NATS is a map whose keys end with their TTL.
type scene struct {
	t     *testing.T
	start time.Time
	gate  *gate
	lease *lease

	mu       sync.Mutex
	jump     time.Duration // guarded by mu; time that passed while the process was paused
	away     bool          // guarded by mu; nobody answers
	slow     time.Duration // guarded by mu; that an answer takes
	records  map[string]state.Record
	ends     map[string]time.Duration // guarded by mu; of the clock
	revision uint64                   // guarded by mu
	verified int                      // guarded by mu
	verify   error                    // guarded by mu; what the next verifications return

	shut []time.Duration // when the gate was found shut, in steps of 50 ms since the start
}

func newScene(t *testing.T, duration time.Duration, isolated Isolated) *scene {
	s := &scene{t: t, start: time.Now(), records: map[string]state.Record{}, ends: map[string]time.Duration{}}
	s.gate = newGate(s.clock, isolated != Stop)
	s.lease = &lease{
		store: s, me: Identity{Owner: Owner{"a", "1"}}, duration: duration, gate: s.gate, clock: s.clock, log: quiet(), poke: make(chan struct{}, 1),
		node:    func() Node { return Node{State: NodeReady} },
		admit:   func(context.Context) error { return nil },
		renewal: func(error, time.Time) {},
		verify: func(ctx context.Context) error {
			ctx, cancel := context.WithTimeout(ctx, askTimeout)
			defer cancel()
			if err := s.answer(ctx); err != nil {
				return err
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			s.verified++
			return s.verify
		},
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { s.lease.run(ctx) })
	wg.Go(func() {
		c := &Cluster{gate: s.gate}
		c.pulse(ctx)
	})
	t.Cleanup(func() { s.set(func() { s.away = false }); cancel(); wg.Wait() })
	s.run(time.Second)
	if !s.gate.Open() {
		t.Fatal("the gate is shut after joining")
	}
	s.shut = nil
	return s
}

func (s *scene) clock() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Since(s.start) + s.jump
}

func (s *scene) set(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

// run lets time pass and notes when the gate is shut.
func (s *scene) run(d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); {
		if !s.gate.Open() {
			s.shut = append(s.shut, s.clock())
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// pause stops the process for a time: its goroutines do nothing while the clock goes on.
func (s *scene) pause(d time.Duration) {
	synctest.Wait()
	s.set(func() { s.jump += d })
}

// shutFor returns for how long the gate was found shut since the last call.
func (s *scene) shutFor() time.Duration {
	n := len(s.shut)
	s.shut = nil
	return time.Duration(n) * 50 * time.Millisecond
}

func (s *scene) alone() bool {
	_, alone := s.gate.Alone()
	return alone
}

// answer waits as NATS lets wait.
func (s *scene) answer(ctx context.Context) error {
	s.mu.Lock()
	away, slow := s.away, s.slow
	s.mu.Unlock()
	if away {
		<-ctx.Done()
		return unreachable(ctx.Err())
	}
	select {
	case <-time.After(slow):
		return nil
	case <-ctx.Done():
		return unreachable(ctx.Err())
	}
}

// expire removes the keys whose time is over. The caller holds mu.
func (s *scene) expire() {
	now := time.Since(s.start) + s.jump
	for key, end := range s.ends {
		if end <= now {
			delete(s.ends, key)
			delete(s.records, key)
		}
	}
}

func (s *scene) Get(ctx context.Context, bucket, key string) (state.Record, error) {
	if err := s.answer(ctx); err != nil {
		return state.Record{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire()
	r, ok := s.records[key]
	if !ok {
		return state.Record{}, state.ErrNotFound
	}
	return r, nil
}

func (s *scene) listNow(ctx context.Context, bucket, prefix string) ([]state.Record, error) {
	if err := s.answer(ctx); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire()
	var all []state.Record
	for key, r := range s.records {
		if strings.HasPrefix(key, prefix) {
			all = append(all, r)
		}
	}
	return all, nil
}

func (s *scene) Put(ctx context.Context, bucket, key string, value []byte, expect uint64) (uint64, error) {
	return s.put(ctx, bucket, key, value, expect, 1000*time.Hour)
}

func (s *scene) put(ctx context.Context, _, key string, value []byte, expect uint64, ttl time.Duration) (uint64, error) {
	if err := s.answer(ctx); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire()
	if s.records[key].Revision != expect {
		return 0, state.ErrConflict
	}
	s.revision++
	s.records[key] = state.Record{Key: key, Value: value, Revision: s.revision}
	s.ends[key] = time.Since(s.start) + s.jump + ttl
	return s.revision, nil
}

func (s *scene) Delete(ctx context.Context, _, key string, _ uint64) error {
	if err := s.answer(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.records, key)
	delete(s.ends, key)
	return nil
}

// lapsed reports whether the others see the lease no more.
func (s *scene) lapsed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire()
	return len(s.records) == 0
}

func TestLease(t *testing.T) {
	t.Parallel()
	const lease = 6 * time.Second
	for _, tt := range []struct {
		name     string
		lease    time.Duration
		isolated Isolated
		play     func(*scene)
	}{
		{"a quiet minute", lease, Keep, func(s *scene) {
			s.run(time.Minute)
			if d := s.shutFor(); d > 0 || s.alone() || s.verified > 0 {
				s.t.Errorf("the gate was shut for %v, alone %v, %d verifications", d, s.alone(), s.verified)
			}
		}},
		{"slow answers", lease, Keep, func(s *scene) {
			s.set(func() { s.slow = 900 * time.Millisecond })
			s.run(time.Minute)
			if d := s.shutFor(); d > 0 || s.alone() {
				s.t.Errorf("the gate was shut for %v, alone %v", d, s.alone())
			}
		}},
		{"one renewal lost", lease, Keep, func(s *scene) {
			s.set(func() { s.away = true })
			s.run(1500 * time.Millisecond)
			s.set(func() { s.away = false })
			s.run(10 * time.Second)
			if d := s.shutFor(); d > 0 || s.alone() || s.lease.isolations.Load() > 0 {
				s.t.Errorf("the gate was shut for %v, alone %v, isolated %d times", d, s.alone(), s.lease.isolations.Load())
			}
		}},
		{"cut off, keep", lease, Keep, func(s *scene) {
			s.set(func() { s.away = true })
			for !s.alone() {
				s.run(50 * time.Millisecond)
				if s.lapsed() {
					s.t.Fatal("others see the lease no more, and this process does not know that it is alone")
				}
			}
			s.run(time.Minute)
			if d := s.shutFor(); d > 0 || !s.alone() || !s.lapsed() {
				s.t.Errorf("cut off: the gate was shut for %v, alone %v, lapsed %v", d, s.alone(), s.lapsed())
			}
			s.set(func() { s.away = false })
			s.run(3 * time.Second)
			if d := s.shutFor(); d > 0 || s.alone() || s.verified == 0 {
				s.t.Errorf("back: the gate was shut for %v, alone %v, %d verifications", d, s.alone(), s.verified)
			}
		}},
		{"cut off, stop", 16 * time.Second, Stop, func(s *scene) {
			s.set(func() { s.away = true })
			s.run(9 * time.Second) // an election
			if d := s.shutFor(); d > 0 {
				s.t.Errorf("the gate was shut for %v in an election", d)
			}
			s.run(21 * time.Second)
			if d := s.shutFor(); d < 14*time.Second || s.alone() || s.gate.Open() {
				s.t.Errorf("cut off: the gate was shut for %v, alone %v", d, s.alone())
			}
			s.set(func() { s.away = false })
			s.run(3 * time.Second)
			if !s.gate.Open() || s.verified == 0 {
				s.t.Errorf("back: the gate is open %v, %d verifications", s.gate.Open(), s.verified)
			}
		}},
		{"stop shuts before others see the lease end", 16 * time.Second, Stop, func(s *scene) {
			s.set(func() { s.away = true })
			for s.gate.Open() {
				if s.lapsed() {
					s.t.Fatal("the lease has ended, and the gate is open")
				}
				s.run(50 * time.Millisecond)
			}
			for n := 0; !s.lapsed(); n++ {
				if s.run(50 * time.Millisecond); n > 60 {
					s.t.Fatal("the gate was shut 3 s before the lease ends: that pauses pushes for nothing")
				}
			}
		}},
		{"paused", lease, Keep, func(s *scene) {
			s.set(func() { s.verify = errors.New("another process answers") })
			s.pause(12 * time.Second)
			if s.gate.Open() {
				s.t.Error("the gate is open when the process wakes")
			}
			s.run(3 * time.Second)
			if s.gate.Open() || s.alone() || s.verified == 0 {
				s.t.Errorf("before the records were read: open %v, alone %v, %d verifications", s.gate.Open(), s.alone(), s.verified)
			}
			s.set(func() { s.verify = nil })
			s.run(3 * time.Second)
			if !s.gate.Open() {
				s.t.Error("the gate stays shut")
			}
		}},
		{"paused for less than the lease", lease, Keep, func(s *scene) {
			s.run(1900 * time.Millisecond)
			s.pause(3 * time.Second)
			s.run(10 * time.Second)
			if d := s.shutFor(); d > 0 || s.verified > 0 {
				s.t.Errorf("the gate was shut for %v, %d verifications", d, s.verified)
			}
		}},
		{"paused while cut off, keep", lease, Keep, func(s *scene) {
			s.set(func() { s.away = true })
			s.run(10 * time.Second)
			if d := s.shutFor(); d > 0 || !s.alone() {
				s.t.Fatalf("cut off: the gate was shut for %v, alone %v", d, s.alone())
			}
			s.pause(12 * time.Second)
			if s.gate.Open() {
				s.t.Error("the gate is open when the process wakes: somebody may have taken over")
			}
			s.run(10 * time.Second)
			if d := s.shutFor(); d < 2400*time.Millisecond || d > 4*time.Second {
				s.t.Errorf("the gate was shut for %v after the pause: media in buffers of sockets needs 2.5 s to grow old", d)
			}
			if since, _ := s.gate.Alone(); time.Since(since) > 11*time.Second {
				s.t.Errorf("alone since %v ago: the pause does not count", time.Since(since))
			}
		}},
		{"lease lost at once", lease, Keep, func(s *scene) {
			s.set(func() { clear(s.records) }) // NATS was restarted without what it had
			s.run(10 * time.Second)
			if d := s.shutFor(); d > 0 || s.verified == 0 || s.lapsed() {
				s.t.Errorf("the gate was shut for %v, %d verifications, lapsed %v", d, s.verified, s.lapsed())
			}
		}},
		{"cut off while in doubt, keep", lease, Keep, func(s *scene) {
			s.set(func() { clear(s.records); s.verify = errors.New("another process answers") })
			s.run(3400 * time.Millisecond)
			s.set(func() { s.away = true })
			s.lease.renewNow() // as when the link is lost
			s.run(10 * time.Second)
			if d := s.shutFor(); d > 0 || !s.alone() || s.verified == 0 {
				s.t.Errorf("cut off: the gate was shut for %v, alone %v, %d verifications", d, s.alone(), s.verified)
			}
			s.set(func() { s.away, s.verify = false, nil })
			s.run(3 * time.Second)
			if d := s.shutFor(); d > 0 || s.alone() {
				s.t.Errorf("back: the gate was shut for %v, alone %v", d, s.alone())
			}
		}},
		{"lost again while it is verified", lease, Keep, func(s *scene) {
			s.set(func() { clear(s.records); s.slow = 700 * time.Millisecond })
			s.run(5 * time.Second)
			s.set(func() { clear(s.records) })
			s.run(20 * time.Second)
			if !s.gate.Open() || s.verified < 2 {
				s.t.Errorf("open %v, %d verifications of two losses", s.gate.Open(), s.verified)
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { tt.play(newScene(t, tt.lease, tt.isolated)) })
		})
	}
}

// TestGateWakes waits for the gate as a push does.
func TestGateWakes(t *testing.T) {
	t.Parallel()
	var now time.Duration
	g := newGate(func() time.Duration { return now }, true)
	waits := func(what string, change func(), want bool) {
		t.Helper()
		c := g.Changed()
		change()
		select {
		case <-c:
			if !want {
				t.Errorf("%s wakes who waits", what)
			}
		default:
			if want {
				t.Errorf("%s wakes nobody", what)
			}
		}
	}
	waits("the first lease", func() { g.held(5 * time.Second) }, true)
	waits("a renewal in time", func() { now = 2 * time.Second; g.held(7 * time.Second) }, false)
	waits("a renewal too late", func() { now = 8 * time.Second; g.held(13 * time.Second) }, true)
	waits("being cut off", func() { g.beat(); g.lost() }, true)
	waits("coming back", func() { g.held(20 * time.Second) }, true)
	if _, shut, _ := g.stats(); shut != time.Second {
		t.Errorf("the gate was shut for %v, want 1s", shut)
	}
}

func TestPhases(t *testing.T) {
	t.Parallel()
	for from, to := range phases {
		if from == left || slices.Contains(to, joining) || !slices.Contains(to, left) {
			t.Errorf("moves from %v: %v", from, to)
		}
	}
	if !errors.Is(unreachable(context.Canceled), transponder.ErrIsolated) {
		t.Error("what is not reached is not isolated")
	}
}

func TestQuickClock(t *testing.T) {
	t.Parallel()
	var c quickClock
	answers := map[time.Duration]bool{} // of the kernel
	for began := time.Now(); time.Since(began) < 50*time.Millisecond || len(answers) < 1; {
		before, now, after := bootTime(), c.now(), bootTime()
		if now < before-clocksDiffer || now > after+clocksDiffer {
			t.Fatalf("the clock says %v between %v and %v", now, before, after)
		}
		if r := c.last.Load(); r != nil {
			answers[r.boot] = true
		}
	}
	if len(answers) > 5 { // one, but for a machine that stops this test between two clocks
		t.Errorf("the kernel was asked %d times in 50 ms", len(answers))
	}
	c.last.Store(&clockReading{at: c.last.Load().at.Add(-askKernel), boot: 0})
	if now := c.now(); now < bootTime()-clocksDiffer {
		t.Errorf("with an old reading the clock says %v", now)
	}
}

func TestReadingsUsable(t *testing.T) {
	t.Parallel()
	const s = time.Second
	for _, test := range []struct {
		name            string
		wall, monotonic time.Duration
		want            bool
	}{
		{"at once", 0, 0, true},
		{"soon", s / 2, s / 2, true},
		{"a step of NTP", s/2 + 2*time.Millisecond, s / 2, true},
		{"later", s, s, false},
		{"suspended for 20 ms", s/2 + 20*time.Millisecond, s / 2, false},
		{"suspended for an hour", time.Hour, s / 1000, false},
		{"clock set back", -time.Hour, s / 1000, false},
	} {
		if got := usable(test.wall, test.monotonic); got != test.want {
			t.Errorf("%s: usable %v, want %v", test.name, got, test.want)
		}
	}
}

func BenchmarkGate(b *testing.B) {
	g := newGate(new(quickClock).now, true)
	g.held(bootTime() + time.Hour)
	b.ReportAllocs()
	for b.Loop() {
		if !g.Open() {
			b.Fatal("shut")
		}
	}
}
