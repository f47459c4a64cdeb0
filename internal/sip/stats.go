package sip

import (
	"maps"
	"sync"
	"sync/atomic"

	"transponder/internal/sip/dialog"
	"transponder/internal/sip/leg"
	"transponder/internal/sip/line"
)

// Stats are the figures of all calls, for metrics. Those without "now" are since the start.
type Stats struct {
	Calls          map[dialog.Status]int // now
	StartedOut     int64
	StartedIn      int64
	Ended          map[dialog.Reason]int64
	Turned         map[string]int64 // requests that became no call, by cause: "policy", "too_many", "duplicate", "request", "other"
	Registrations  Registrations    // now
	Registered     int64            // REGISTER that succeeded for the first time, or after a failure
	RegisterFailed int64
	Received, Lost int64            // packets of media
	Refused        map[string]int64 // packets of media, by cause
	KeyFrames      map[string]int64 // requests to phones, by way: "pli", "fir", "info"
	Dropped        map[string]int64 // messages, by cause
	Panics         int64
}

// Registrations counts the registrations that there should be, and those that registrars have accepted.
type Registrations struct{ Wanted, Up int }

// totals are the figures of what is over. Any goroutine may use them.
type totals struct {
	out, in, registered, registerFailed, busy atomic.Int64

	mu        sync.Mutex
	ended     map[dialog.Reason]int64 // guarded by mu, as all below
	turnedBy  map[string]int64
	received  int64
	lost      int64
	refused   map[string]int64
	keyFrames map[string]int64
}

func (t *totals) end(r dialog.Reason) {
	t.mu.Lock()
	defer t.mu.Unlock()
	count(&t.ended, r, 1)
}

func (t *totals) turned(cause string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	count(&t.turnedBy, cause, 1)
}

// add counts the media of a call that has ended.
func (t *totals) add(s leg.Stats, informed int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	sum(&t.received, &t.lost, &t.refused, &t.keyFrames, s, informed)
}

func count[K comparable](m *map[K]int64, key K, n int64) {
	if *m == nil {
		*m = map[K]int64{}
	}
	(*m)[key] += n
}

func sum(received, lost *int64, refused, keyFrames *map[string]int64, s leg.Stats, informed int64) {
	for _, track := range []leg.TrackStats{s.Audio, s.Video} {
		*received += track.Packets
		*lost += track.Lost
		for cause, n := range track.Refused.ByCause() {
			count(refused, cause, n)
		}
	}
	count(keyFrames, "pli", s.KeyRequests.PLI)
	count(keyFrames, "fir", s.KeyRequests.FIR)
	count(keyFrames, "info", informed)
}

// Stats returns the figures of all calls.
func (c *Calls) Stats() Stats {
	c.mu.Lock()
	live := append([]*call(nil), c.live...)
	var registrations []*registration
	for _, g := range c.accounts {
		registrations = append(registrations, g)
	}
	for p := range c.phones {
		if p.registration != nil {
			registrations = append(registrations, p.registration)
		}
	}
	c.mu.Unlock()

	t := &c.totals
	s := Stats{
		Calls: map[dialog.Status]int{}, StartedOut: t.out.Load(), StartedIn: t.in.Load(),
		Registered: t.registered.Load(), RegisterFailed: t.registerFailed.Load(),
		Dropped: droppedBy(c.line.Stats()), Panics: c.panics.Load() + c.legs.Panics(),
	}
	count(&s.Dropped, "busy", t.busy.Load())
	t.mu.Lock()
	s.Ended, s.Turned = maps.Clone(t.ended), maps.Clone(t.turnedBy)
	s.Received, s.Lost, s.Refused, s.KeyFrames = t.received, t.lost, maps.Clone(t.refused), maps.Clone(t.keyFrames)
	t.mu.Unlock()
	for _, k := range live {
		s.Calls[k.record.status()]++
		sum(&s.Received, &s.Lost, &s.Refused, &s.KeyFrames, k.record.figures(), k.record.informed())
	}
	for _, g := range registrations {
		s.Registrations.Wanted++
		if g.up() {
			s.Registrations.Up++
		}
	}
	return s
}

// droppedBy returns the messages that the line has dropped, by cause. Those with the cause "unsent" are ours.
func droppedBy(s line.Stats) map[string]int64 {
	return map[string]int64{
		"strangers": s.Strangers, "size": s.Size, "method": s.Method, "malformed": s.Malformed, "rate": s.Rate, "unmatched": s.Unmatched,
		"full": s.Full, "unsent": s.Unsent,
	}
}
