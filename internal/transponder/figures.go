package transponder

import (
	"maps"
	"math"
	"sync"
	"time"
)

// figures count what has become of all pushes of a registry. The zero value is ready. Any goroutine may use it.
type figures struct {
	liveAfter durations
	delay     durations

	mu   sync.Mutex
	ends map[End]int64 // guarded by mu
}

// End says how a push ended. States and reasons are closed lists.
type End struct {
	State  State
	Reason Reason
}

// over counts a push that is over.
func (f *figures) over(i Info) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ends == nil {
		f.ends = map[End]int64{}
	}
	f.ends[End{i.State, i.Reason}]++
}

// Figures are the figures of all pushes, those that are over included.
type Figures struct {
	LiveAfter Durations     // from the request for a push to the first time that the push was live
	Delay     Durations     // how late the pushes were that send, each asked once a second
	Ends      map[End]int64 // pushes that are over. Failures that have not occurred are there with 0, so that the first one can be seen as an increase
}

// Figures returns the figures of all pushes.
func (r *Registry) Figures() Figures {
	f := &r.figures
	f.mu.Lock()
	defer f.mu.Unlock()
	ends := maps.Clone(f.ends)
	if ends == nil {
		ends = map[End]int64{}
	}
	for reason := range classes {
		if reason.Class() != Operator {
			ends[End{Failed, reason}] += 0
		}
	}
	return Figures{f.liveAfter.stats(), f.delay.stats(), ends}
}

// DurationBounds are the upper bounds of the coarse classes of Durations. The last class has no bound.
var DurationBounds = [...]time.Duration{
	50 * time.Millisecond, 100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond, time.Second, 2 * time.Second,
	3 * time.Second, 5 * time.Second, 10 * time.Second, 30 * time.Second,
}

// The fine classes of Durations are those of Prometheus's native histograms: their bounds are the powers of 2^(1/8), so each is 9 % above the one
// before. They reach from 1 ms, below which nothing is told apart, to 68 minutes.
const (
	FineSchema = 3 // Prometheus's name for 2^(1/8)
	FineFirst  = -10<<FineSchema + 1
	fineLast   = 12 << FineSchema
)

// FineZero is the longest time that is counted as none.
const FineZero = time.Second >> 10

// Durations are times, counted by class.
type Durations struct {
	Counts [len(DurationBounds) + 1]int64
	// Fine counts the same times more finely. Fine[i] is for times up to 2^((FineFirst+i)/8) seconds, the last class also for all longer ones.
	Fine [fineLast - FineFirst + 1]int64
	Zero int64 // times up to FineZero, which are not in Fine
	Sum  time.Duration
}

// durations counts times by class. The zero value is ready. Any goroutine may use it.
type durations struct {
	mu  sync.Mutex
	all Durations // guarded by mu
}

func (d *durations) add(t time.Duration) {
	class := 0
	for class < len(DurationBounds) && t > DurationBounds[class] {
		class++
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.all.Counts[class]++
	if t <= FineZero {
		d.all.Zero++
	} else {
		d.all.Fine[fineClass(t)]++
	}
	d.all.Sum += t
}

// fineClass returns the index of the class of a time above FineZero.
func fineClass(t time.Duration) int {
	class := int(math.Ceil(math.Log2(t.Seconds()) * (1 << FineSchema)))
	return min(max(class, FineFirst), fineLast) - FineFirst
}

func (d *durations) stats() Durations {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.all
}
