package leg

import (
	"net/netip"
	"time"
)

// An SDP can name the address of a third party. So little is sent to an address from which nothing ever came: enough to open a NAT and to
// let a phone begin that waits for our packets.
const (
	allowedTime    = 5 * time.Second
	allowedPackets = 250 // of silence: 50 a second
	// A phone may name another address a few times: it rings, it answers, it is put through. More often than allowedMoves within moveTime it
	// must send first.
	allowedMoves = 4
	moveTime     = time.Minute
)

// allowance limits what is sent to an address from which nothing has come.
type allowance struct {
	to      netip.AddrPort
	proven  bool // something came from there
	since   time.Duration
	packets int

	moves   int // to other addresses, since movedAt
	movedAt time.Duration
}

// aim sets the address. The same address again renews nothing.
func (a *allowance) aim(to netip.AddrPort, proven bool, now time.Duration) {
	if to != a.to && to.IsValid() {
		if now-a.movedAt >= moveTime {
			a.moves, a.movedAt = 0, now
		}
		a.proven, a.packets = false, 0
		if a.moves++; a.moves > allowedMoves {
			a.packets = allowedPackets
		}
	}
	a.to = to
	a.proven = a.proven || proven
}

// spend says whether another packet may be sent, and counts it.
func (a *allowance) spend(now time.Duration) bool {
	switch {
	case !a.to.IsValid():
		return false
	case a.proven:
		return true
	case a.packets == 0:
		a.since = now
	case a.packets >= allowedPackets || now-a.since >= allowedTime:
		return false
	}
	a.packets++
	return true
}
