package load

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"transponder/internal/limits"
)

// PercentRange is the range of the percentage that NewGate takes.
var PercentRange = limits.Of(0, 100)

// ErrFull means that there is no room for another of what was asked for.
var ErrFull = errors.New("the server is full")

const (
	// sampleEvery is how often use is measured.
	sampleEvery = time.Second
	// smoothing is the weight of a sample.
	smoothing = 0.3
	// promised is how long room is kept for who was let in, until it shows in what is measured.
	promised = 5 * time.Second

	// firstUnit is what a stream of 720p takes, in cores, before this machine has shown what it is here: that becomes known
	// within the bounds, by and by. The upper one is for servers of few streams with many pushes and players each.
	firstUnit, minUnit, maxUnit = 0.015, 0.003, 0.2
	learning                    = 0.05
)

// Kind is what is let in.
type Kind float64

// What the kinds take, in streams: measured with a publisher of H.264 and Opus at 720p whose sound becomes AAC, who has further
// pushes and players.
const (
	Stream Kind = 1
	Push   Kind = 0.1
	Player Kind = 0.2
)

// Use is what goes on.
type Use struct {
	Streams, Pushes, Players int
	Children                 float64 // cores that child processes use
}

func (u Use) units() float64 {
	return float64(u.Streams)*float64(Stream) + float64(u.Pushes)*float64(Push) + float64(u.Players)*float64(Player)
}

// Gate lets in as long as this server takes no more of the processors than it may. What others take of them does not count: a
// stream takes so little that it finds its time beside them. All methods may be called from any goroutine; those of a nil Gate
// let everybody in.
type Gate struct {
	cores float64                 // that may be used
	own   func(time.Time) float64 // cores in use by this program without its children, since the last call
	now   func() Use

	mu       sync.Mutex
	used     float64   // guarded by mu; cores, of late
	unit     float64   // guarded by mu; cores that a stream takes
	promises []promise // guarded by mu; the oldest first
	refused  int64     // guarded by mu
}

// promise is room for who was let in and is not seen yet in what is measured.
type promise struct {
	cores float64
	until time.Time
}

// NewGate makes a gate that closes when so many percent of the processors are in use, nil for 0; now is called once a second
// while Run runs.
func NewGate(percent int, now func() Use) *Gate {
	if percent == 0 {
		return nil
	}
	cores := float64(percent) / 100 * float64(runtime.GOMAXPROCS(0))
	return &Gate{cores: cores, own: Rate(OwnTime), now: now, unit: firstUnit}
}

// Run measures until ctx ends.
func (g *Gate) Run(ctx context.Context) error {
	every := time.NewTicker(sampleEvery)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-every.C:
			g.sample(time.Now())
		}
	}
}

func (g *Gate) sample(now time.Time) {
	use, own := g.now(), g.own(now)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.used += smoothing * (own + use.Children - g.used)
	if units := use.units(); units >= 1 {
		g.unit += learning * (own/units - g.unit)
		g.unit = min(max(g.unit, minUnit), maxUnit)
	}
}

// Admit keeps room for one more, or says with ErrFull why there is none.
func (g *Gate) Admit(k Kind) error {
	if g == nil {
		return nil
	}
	now := time.Now()
	g.mu.Lock()
	defer g.mu.Unlock()
	for len(g.promises) > 0 && now.After(g.promises[0].until) {
		g.promises = g.promises[1:]
	}
	free := g.cores - g.used
	for _, p := range g.promises {
		free -= p.cores
	}
	need := g.unit * float64(k)
	if need > free {
		g.refused++
		return fmt.Errorf("%w: of the %.2f cores that it may use %.2f are in use or promised", ErrFull, g.cores, g.cores-free)
	}
	g.promises = append(g.promises, promise{need, now.Add(promised)})
	return nil
}

// Stats are a gate's figures at one moment.
type Stats struct {
	Used    float64 // cores, of late
	Allowed float64 // cores
	Stream  float64 // cores that a stream takes
	Refused int64   // who was not let in
}

// Stats returns the gate's figures.
func (g *Gate) Stats() Stats {
	if g == nil {
		return Stats{}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return Stats{Used: g.used, Allowed: g.cores, Stream: g.unit, Refused: g.refused}
}
