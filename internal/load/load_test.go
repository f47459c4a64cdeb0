package load

import (
	"errors"
	"math"
	"testing"
	"testing/synctest"
	"time"
)

// newTestGate returns a Gate with a limit in cores, which measures use and own.
func newTestGate(cores float64, use *Use, own *float64) *Gate {
	return &Gate{
		cores: cores, unit: firstUnit,
		now: func() Use { return *use },
		own: func(time.Time) float64 { return *own },
	}
}

// A newcomer counts at once, before the newcomer can be measured, and counts only once.
func TestGateKeepsItsPromises(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var use Use
		var own float64
		g := newTestGate(4*firstUnit, &use, &own)
		admit := func() (n int) {
			for g.Admit(Stream) == nil {
				n++
			}
			return n
		}
		if n := admit(); n != 4 {
			t.Fatalf("%d streams were let in at once, want 4", n)
		}
		if err := g.Admit(Push); !errors.Is(err, ErrFull) {
			t.Errorf("a push beside them: %v, want ErrFull", err)
		}
		use.Streams, own = 4, 4*firstUnit
		for range 20 {
			time.Sleep(sampleEvery)
			g.sample(time.Now())
		}
		if n := admit(); n != 0 {
			t.Errorf("%d more were let in once the four were measured", n)
		}
		use.Streams, own = 2, 2*firstUnit
		for range 20 {
			time.Sleep(sampleEvery)
			g.sample(time.Now())
		}
		if n := admit(); n != 1 && n != 2 { // the smoothed figure comes near to the true one and never reaches it
			t.Errorf("%d were let in after two had gone, want them back", n)
		}
		if refused := g.Stats().Refused; refused != 4 {
			t.Errorf("%d were refused, want 4", refused)
		}
	})
}

// The gate learns what a stream costs on this machine, and counts the use of child processes.
func TestGateLearns(t *testing.T) {
	use, own := Use{Streams: 10, Pushes: 10, Players: 20}, 0.3
	g := newTestGate(2, &use, &own)
	for i := range 200 {
		g.sample(time.Unix(int64(i), 0))
	}
	if st := g.Stats(); math.Abs(st.Stream-0.02) > 0.001 || math.Abs(st.Used-0.3) > 0.001 {
		t.Errorf("a stream takes %.4f cores and all %.3f, want 0.02 and 0.3", st.Stream, st.Used)
	}
	use, own = Use{Children: 1.9}, 0.1
	for i := range 200 {
		g.sample(time.Unix(int64(i), 0))
	}
	if err := g.Admit(Player); !errors.Is(err, ErrFull) {
		t.Errorf("beside children that use the machine: %v, want ErrFull", err)
	}
	if st := g.Stats(); math.Abs(st.Stream-0.02) > 0.001 {
		t.Errorf("children changed what a stream takes to %.4f", st.Stream)
	}
}

func TestNoGate(t *testing.T) {
	g := NewGate(0, nil)
	if err := g.Admit(Stream); err != nil || g.Stats() != (Stats{}) {
		t.Errorf("without a limit: %v, %+v", err, g.Stats())
	}
}

func TestRate(t *testing.T) {
	for name, total := range map[string]func() (time.Duration, error){"machine": MachineTime, "own": OwnTime} {
		if used, err := total(); err != nil || used <= 0 {
			t.Errorf("%s time is %v, %v", name, used, err)
		}
	}
	total := time.Duration(0)
	measure := Rate(func() (time.Duration, error) { return total, nil })
	total = time.Second
	if got := measure(time.Now().Add(2 * time.Second)); math.Abs(got-0.5) > 0.05 {
		t.Errorf("%.2f cores of a second's work in two, want 0.5", got)
	}
}
