package leg

import (
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// errMediaTimeout means that a phone sends nothing, though it agreed to send.
var errMediaTimeout = errors.New("no media from the phone")

// activity finds out that a phone has stopped sending. It has no clock: times are handed in.
type activity struct {
	first, later time.Duration // limits; 0: none

	running bool
	since   time.Duration // the time of the last packet, or the last time when no packet was expected
	heard   bool          // a packet has come since the start
	ended   bool
}

// start begins to watch.
func (a *activity) start(now time.Duration) {
	if !a.running {
		a.running, a.since = true, now
	}
}

// came notes a packet.
func (a *activity) came(now time.Duration) { a.since, a.heard = now, a.running }

// over says, once, that packets have not come for too long. expected says whether the phone agreed to send anything.
func (a *activity) over(now time.Duration, expected bool) (after time.Duration, over bool) {
	if !expected || !a.running {
		a.since = now
		return 0, false
	}
	limit := a.later
	if !a.heard {
		limit = a.first
	}
	if a.ended || limit == 0 || now-a.since < limit {
		return 0, false
	}
	a.ended = true
	return limit, true
}

// timeoutError says what was expected, and what came instead.
func timeoutError(expected netip.AddrPort, after time.Duration, heard bool, r Refused) error {
	from := "the phone, whose SDP names no address that can be used"
	if expected.IsValid() {
		from = expected.String()
	}
	hint := "; NAT?"
	switch {
	case heard:
		hint = ""
	case r.SRTP > 0:
		hint = fmt.Sprintf("; %d packets were not encrypted with its key", r.SRTP)
	case r.Type > 0:
		hint = fmt.Sprintf("; %d packets had a payload type that was not agreed on", r.Type)
	case r.Stranger > 0:
		hint = fmt.Sprintf("; %d packets came from other addresses; NAT?", r.Stranger)
	}
	return fmt.Errorf("%w: no RTP from %s for %v%s", errMediaTimeout, from, after, hint)
}
