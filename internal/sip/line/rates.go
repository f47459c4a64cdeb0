package line

import "time"

const (
	// maxPerSource is how many transactions one sender may start in a second outside of dialogs. A sender that starts more is blocked for
	// blockTime.
	maxPerSource = 20
	blockTime    = time.Minute
	// maxPerSecond is how many transactions all senders together may start in a second outside of dialogs. It is also the limit for one sender
	// within dialogs: a PBX that restarts ends all calls at once.
	maxPerSecond = 200
)

// rates counts new transactions within the running second. Each of the two maps holds at most maxPerSecond senders.
type rates struct {
	second time.Time
	fresh  map[sender]int // outside of dialogs
	within map[sender]int // within dialogs; also ACK and CANCEL
	all    int            // outside of dialogs
}

func newRates() *rates {
	return &rates{fresh: map[sender]int{}, within: map[sender]int{}}
}

func (r *rates) turn(now time.Time) {
	if now.Sub(r.second) >= time.Second {
		r.second, r.all = now, 0
		clear(r.fresh)
		clear(r.within)
	}
}

// allows reports whether a source may start a transaction, and whether the source is to be blocked.
func (r *rates) allows(now time.Time, source sender, inDialog bool) (ok, block bool) {
	r.turn(now)
	if inDialog {
		if r.within[source] == 0 && len(r.within) >= maxPerSecond || r.within[source] >= maxPerSecond {
			return false, false
		}
		r.within[source]++
		return true, false
	}
	if r.fresh[source] >= maxPerSource {
		return false, true
	}
	if r.all >= maxPerSecond {
		return false, false
	}
	r.fresh[source]++
	r.all++
	return true, false
}
