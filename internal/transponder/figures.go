package transponder

import (
	"maps"
	"sync"
	"sync/atomic"
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

// DurationBounds are the upper bounds of the classes of Durations. The last class has no bound.
var DurationBounds = [...]time.Duration{
	50 * time.Millisecond, 100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond, time.Second, 2 * time.Second,
	3 * time.Second, 5 * time.Second, 10 * time.Second, 30 * time.Second,
}

// Durations are times, counted by class.
type Durations struct {
	Counts [len(DurationBounds) + 1]int64
	Sum    time.Duration
}

// durations counts times by class. The zero value is ready. Any goroutine may use it.
type durations struct {
	counts [len(DurationBounds) + 1]atomic.Int64
	sum    atomic.Int64
}

func (d *durations) add(t time.Duration) {
	class := 0
	for class < len(DurationBounds) && t > DurationBounds[class] {
		class++
	}
	d.counts[class].Add(1)
	d.sum.Add(int64(t))
}

func (d *durations) stats() (all Durations) {
	for i := range d.counts {
		all.Counts[i] = d.counts[i].Load()
	}
	all.Sum = time.Duration(d.sum.Load())
	return all
}
