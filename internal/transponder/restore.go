package transponder

import (
	"fmt"
	"math"
	"slices"
	"time"

	"transponder/internal/limits"
)

// The ranges of options.restore that no setting has.
var (
	factorRange  = limits.Of(1.0, maxFactor)
	jitterRange  = limits.Of(0.0, 1)
	healthyRange = limits.Of(0, 24*time.Hour)
)

const (
	minPause  = 100 * time.Millisecond // a destination that is being restarted is not to be hammered
	maxFactor = 10

	defaultMaxPause   = time.Minute
	defaultHealthyFor = 30 * time.Second
)

// validate reports the first field that is out of its bounds. Zero stands for the default and is always good.
func (r *Restore) validate() error {
	switch {
	case r == nil:
		return nil
	case r.Attempts > RestoreAttemptsRange.Max:
		return &RequestError{"options.restore.attempts", fmt.Sprintf("it must be at most %d, or negative for any number", RestoreAttemptsRange.Max)}
	case r.FirstPause != 0 && !RestorePauseRange.Contains(r.FirstPause):
		return &RequestError{"options.restore.firstPauseMs", mustBeMS(RestorePauseRange)}
	case r.MaxPause != 0 && !RestorePauseRange.Contains(r.MaxPause):
		return &RequestError{"options.restore.maxPauseMs", mustBeMS(RestorePauseRange)}
	case r.Factor != 0 && !factorRange.Contains(r.Factor):
		return &RequestError{"options.restore.factor", fmt.Sprintf("it must be %v", factorRange)}
	case !jitterRange.Contains(r.Jitter):
		return &RequestError{"options.restore.jitter", fmt.Sprintf("it must be %v", jitterRange)}
	case !healthyRange.Contains(r.HealthyFor):
		return &RequestError{"options.restore.healthyForMs", mustBeMS(healthyRange)}
	}
	return nil
}

// mustBeMS says which times a member of a request takes, in milliseconds as the member has them.
func mustBeMS(r limits.Range[time.Duration]) string {
	return fmt.Sprintf("it must be from %d to %d", r.Min.Milliseconds(), r.Max.Milliseconds())
}

// restore returns what a request asks for, or else what the settings say, with all fields filled in.
func (c Config) restore(asked *Restore) Restore {
	var r Restore
	switch {
	case asked != nil:
		r = *asked
	case c.Restore:
		r = Restore{Attempts: c.RestoreAttempts, MaxPause: c.RestoreInterval}
	}
	if r.FirstPause == 0 {
		r.FirstPause = c.RestoreInterval
	}
	if r.MaxPause == 0 {
		r.MaxPause = max(r.FirstPause, defaultMaxPause)
	}
	if r.HealthyFor == 0 {
		r.HealthyFor = defaultHealthyFor
	}
	r.Factor = max(r.Factor, 1)
	return r
}

// loss is the end of an attempt, as the retry policy sees it.
type loss struct {
	reason  Reason
	full    bool          // the server says that it has no room now
	ever    bool          // the push has been live before, on this or an earlier connection
	insist  bool          // the push was restored, and is to connect whatever the policy says
	healthy time.Duration // how long the push was live in this attempt
}

// retryPolicy decides whether and when a push makes another attempt. It has no clock and no randomness of its own.
type retryPolicy struct {
	Restore

	tried int // attempts in a row that did not last
}

// next returns the pause before the next attempt. again is false if there is to be none. random is from 0 to 1.
func (p *retryPolicy) next(l loss, random float64) (pause time.Duration, again bool) {
	if l.insist {
		l.ever = true // the process before may have been live
		return insistPause, l.retriable()
	}
	if !l.retriable() {
		return 0, false
	}
	if l.healthy >= p.HealthyFor {
		p.tried = 0
	}
	if p.Attempts >= 0 && p.tried >= p.Attempts {
		return 0, false
	}
	// In floating point, a hundred doublings do not overflow before the maximum is applied.
	d := min(float64(p.FirstPause)*math.Pow(p.Factor, float64(p.tried)), float64(p.MaxPause))
	p.tried++
	return max(time.Duration(d*(1-p.Jitter*random)), minPause), true
}

// unreachable has the reasons after which a push that was never live is tried again: the server may be starting. Any other failure at the
// beginning is the server's answer to this address and key, and asking again would be hammering. The exception is a server that says that
// it is full.
var unreachable = []Reason{ReasonDNS, ReasonRefused, ReasonUnreachable, ReasonTimeout}

// refusals has the reasons with which a server refuses an address, a name or a key. A server that has accepted them before may refuse them
// for a while: it has not noticed the end of our last connection, is starting its applications, or cannot reach its database.
var refusals = []Reason{ReasonAuth, ReasonBadApp, ReasonKeyInUse, ReasonKeyRejected}

// later has the reasons with which a push ends here and goes on later, or in another process.
var later = []Reason{ReasonRestarted, ReasonNodeLost, ReasonMoved}

// retriable reports whether another attempt could succeed.
func (l loss) retriable() bool {
	if slices.Contains(later, l.reason) {
		return false
	}
	if !l.ever {
		return l.full || slices.Contains(unreachable, l.reason)
	}
	return l.reason.Class() == Transient || slices.Contains(refusals, l.reason)
}
