package leg

import (
	"net/netip"
	"slices"
	"time"
)

const (
	// maxEarly limits the datagrams that are kept: a key frame and some sound.
	maxEarly = 64
	// earlyAge is how old a datagram may be when it is processed after all.
	earlyAge = time.Second
)

// early is a datagram that came before anything was agreed on. A phone sends as soon as it has sent its answer, so its first packets overtake
// the answer (RFC 3264, 5.1). They often hold the only key frame that a phone sends without being asked.
type early struct {
	track    *track
	data     []byte
	from     netip.AddrPort
	overRTCP bool
	at       time.Duration
}

// keep keeps a copy of a datagram for replay, if nothing was agreed on yet and there is room. mu is held.
func (l *Leg) keep(t *track, b []byte, from netip.AddrPort, overRTCP bool, now time.Duration) bool {
	const mostBytes = 1500 // what a path carries in one packet
	if l.agreed || len(l.early) >= maxEarly || len(b) > mostBytes {
		return false
	}
	l.early = append(l.early, early{t, slices.Clone(b), from, overRTCP, now})
	return true
}

// replay processes what keep has kept, once there is an agreement and a stream. mu is held.
func (l *Leg) replay() {
	if !l.agreed || l.frames == nil {
		return
	}
	kept, now := l.early, l.legs.clock()
	l.early = nil
	for _, e := range kept {
		if now-e.at < earlyAge {
			l.datagram(e.track, e.data, e.from, e.overRTCP, now)
		} else {
			e.track.stats.Refused.Stranger++
		}
	}
}
