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

// ErrFull means that the server has no room for another stream, push or player.
var ErrFull = errors.New("the server is full")

const (
	// sampleEvery is the time between two measurements.
	sampleEvery = time.Second
	// smoothing is the weight of a new measurement in the average.
	smoothing = 0.3
	// promised is how long room is kept for a newcomer, until the newcomer's use shows in the measurements.
	promised = 5 * time.Second

	// firstUnit is the cost of one stream of 720p, in cores, as long as this machine has not been measured. The measured cost stays between
	// minUnit and maxUnit. maxUnit is for servers with few streams, each of which has many pushes and players.
	firstUnit, minUnit, maxUnit = 0.015, 0.003, 0.2
	learning                    = 0.05 // weight of a new measurement in the cost of one stream
)

// Kind is a kind of newcomer. The value is the cost of the newcomer, as a share of the cost of a stream.
type Kind float64

// The kinds. The costs were measured with publishers of H.264 at 720p and Opus, whose sound becomes AAC, with several pushes and players
// each.
const (
	Stream Kind = 1
	Push   Kind = 0.1
	Player Kind = 0.2
)

// Use says what the server does at one moment.
type Use struct {
	Streams, Pushes, Players int
	Children                 float64 // cores that the child processes use
}

func (u Use) units() float64 {
	return float64(u.Streams)*float64(Stream) + float64(u.Pushes)*float64(Push) + float64(u.Players)*float64(Player)
}

// Gate admits newcomers while this process and its children use fewer cores than the limit. CPU that other programs use is ignored: one
// stream needs so little that it still gets its share. All methods may be called from any goroutine. A nil Gate admits everybody.
type Gate struct {
	cores float64                 // the limit
	own   func(time.Time) float64 // cores that this process used since the last call, without its children
	now   func() Use

	mu       sync.Mutex
	used     float64   // guarded by mu; cores in use, smoothed
	unit     float64   // guarded by mu; cores that one stream costs
	promises []promise // guarded by mu; the oldest first
	refused  int64     // guarded by mu
}

// promise is room for a newcomer who was admitted and does not show in the measurements yet.
type promise struct {
	cores float64
	until time.Time
}

// NewGate makes a Gate whose limit is a percentage of the processors. For 0 it returns nil. Run calls now once a second.
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

// Admit keeps room for one newcomer. If there is none, it returns an ErrFull that says why.
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

// Stats are the figures of a Gate at one moment.
type Stats struct {
	Used    float64 // cores in use, smoothed over the last seconds
	Allowed float64 // the limit, in cores
	Stream  float64 // cores that one stream costs
	Refused int64   // newcomers that were refused
}

// Stats returns the figures of the Gate.
func (g *Gate) Stats() Stats {
	if g == nil {
		return Stats{}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return Stats{Used: g.used, Allowed: g.cores, Stream: g.unit, Refused: g.refused}
}
