package transponder

import (
	"slices"
	"time"

	"transponder/internal/stream"
)

const (
	// steadyFor is how long the main source, or a better one than the present, must have sent without a break before the push returns to it.
	steadyFor = 3 * time.Second
	// planFor is how long a push waits for a key frame when nothing forces it to leave the present source. After that it begins in the middle
	// of a group of pictures.
	planFor = 3 * time.Second
)

// SwitchCause is why a push changed to another source. The list is closed.
type SwitchCause string

// The causes.
const (
	SwitchLost    SwitchCause = "lost"    // the source before has ended
	SwitchStalled SwitchCause = "stalled" // it sent nothing for Options.BackupAfter
	SwitchMissing SwitchCause = "missing" // it has stopped to send pictures, or sound, which the new source sends
	SwitchReturn  SwitchCause = "return"  // the new source comes earlier in the list, and is well
	SwitchHand    SwitchCause = "hand"    // somebody asked for it
)

// SwitchCauses are all causes.
var SwitchCauses = []SwitchCause{SwitchLost, SwitchStalled, SwitchMissing, SwitchReturn, SwitchHand}

// urgent reports whether the source before is of no use any more.
func (c SwitchCause) urgent() bool { return c != SwitchReturn && c != SwitchHand }

// candidate is a source that a push may send, at one moment.
type candidate struct {
	src     *stream.Source
	name    string
	fed     bool      // sends media
	gone    bool      // has ended
	missing bool      // has sent pictures and sound, or announced them, and one of them does not come now
	since   time.Time // since when it is fed and misses nothing
}

// well reports whether the candidate sends all that it should.
func (c candidate) well() bool { return c.fed && !c.missing }

// rules say which candidate a push sends.
type rules struct {
	manual bool   // the push leaves a source only when it must, or by hand
	wanted string // the stream that somebody has asked for; "": nobody has
}

// choose returns the index of the candidate to send in place of the present one, and why. It returns -1 if the present one stays. all is in
// the order of preference. present is an index in all, or -1 if there is no present source.
func (r rules) choose(now time.Time, all []candidate, present int) (next int, why SwitchCause) {
	if present < 0 {
		return r.spare(all, -1), SwitchLost
	}
	switch c := all[present]; {
	case c.gone:
		return r.spare(all, present), SwitchLost
	case !c.fed:
		return r.spare(all, present), SwitchStalled
	case c.missing:
		if i := r.spare(all, present); i >= 0 && all[i].well() {
			return i, SwitchMissing
		}
		return -1, ""
	}
	if r.wanted != "" {
		if all[present].name == r.wanted {
			return -1, ""
		}
		return slices.IndexFunc(all, func(c candidate) bool { return c.name == r.wanted && c.fed }), SwitchHand
	}
	if r.manual {
		return -1, ""
	}
	for i, c := range all[:present] {
		if c.well() && now.Sub(c.since) >= steadyFor {
			return i, SwitchReturn
		}
	}
	return -1, ""
}

// spare returns the index of the candidate that takes over if the present one fails: the wanted one, or else the first that sends all it
// should, or else the first that sends anything. It returns -1 if there is none.
func (r rules) spare(all []candidate, present int) int {
	best, rank := -1, 0
	for i, c := range all {
		now := 0
		switch {
		case i == present || c.gone || !c.fed:
		case r.wanted != "" && c.name == r.wanted:
			now = 3
		case c.well():
			now = 2
		default:
			now = 1
		}
		if now > rank {
			best, rank = i, now
		}
	}
	return best
}
