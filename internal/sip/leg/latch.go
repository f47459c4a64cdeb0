package leg

import (
	"net/netip"
	"time"
)

// moved: if the phone's address is silent for so long, a packet from another port of the same host shows that a NAT has changed the port.
const moved = 2 * time.Second

// latch finds out from which address the phone sends, and holds on to that address (symmetric RTP). Many phones do not know the address
// under which the world sees them, so the SDP is no proof; and anybody who guesses the port may send. So the first packet from a likely
// address counts, and only for a short time after each agreement.
type latch struct {
	strict, any bool
	learn       time.Duration

	told       netip.AddrPort // by SDP; not valid if the SDP has no address
	former     netip.AddrPort // told by the agreement before; packets from there may still be on the way
	signalling netip.Addr     // from which the phone's SIP messages come
	until      time.Duration  // the end of the time for learning
	source     netip.AddrPort // from which the phone sends; not valid while unknown
	held       bool           // source is fixed: it has sent since the last agreement, or since the time for learning
	stale      bool           // the last agreement told another address than before, so the source will change
	proven     bool           // the phone has sent from told since the last agreement
	heardAt    time.Duration  // of the last packet, or of the first agreement
	agreed     bool
}

// agree takes what a new agreement says. The phone may now send from elsewhere. The old source counts until it does.
func (l *latch) agree(told netip.AddrPort, signalling netip.Addr, now time.Duration) {
	if !l.agreed {
		l.agreed, l.heardAt = true, now
	}
	if told != l.told {
		l.former, l.stale = l.told, true
	}
	l.held, l.proven = false, false
	if told == l.source {
		l.stale = false
	}
	l.told, l.signalling, l.until = told, signalling.Unmap(), now+l.learn
}

// resolved takes the address of a host name in the agreement.
func (l *latch) resolved(told netip.AddrPort) { l.told = told }

// verdict is what a latch says of a source.
type verdict uint8

const (
	stranger verdict = iota
	passing          // the phone's, from where it was before
	known            // the phone's, and nothing changes
	first            // the phone's from now on
)

// judge says whether a valid packet from an address is the phone's. It changes nothing.
func (l *latch) judge(from netip.AddrPort, now time.Duration) verdict {
	open := now < l.until
	silent := now-l.heardAt >= moved
	switch {
	case !l.agreed:
		return stranger
	case from == l.source:
		return known
	case l.strict:
		if from == l.told {
			return first
		}
		return stranger
	case from == l.told && (open && !l.proven || !l.held || silent): // also if another one was faster
		return first
	case l.source.IsValid() && l.held && !silent:
		return stranger
	case from == l.former && open:
		return passing
	case open && (l.any || from.Addr() == l.signalling):
		return first
	case (silent || open && l.source.IsValid()) && from.Addr() == l.host():
		return first
	default:
		return stranger
	}
}

// host is the IP address of the source, or of told while there is no source. A phone there may change to another port.
func (l *latch) host() netip.Addr {
	if l.source.IsValid() {
		return l.source.Addr()
	}
	return l.told.Addr()
}

// heard notes a packet that judge has found to be the phone's. It returns true if that changes where to send.
func (l *latch) heard(from netip.AddrPort, v verdict, now time.Duration) (moved bool) {
	l.heardAt = now
	l.proven = l.proven || from == l.told
	if v == first {
		l.source, l.stale = from, false
	}
	if v != passing && (!l.stale || now >= l.until) {
		moved = l.stale
		l.held, l.stale = true, false
	}
	return moved || v == first
}

// remote returns where to send, which is not valid if that is unknown.
func (l *latch) remote() netip.AddrPort {
	if l.source.IsValid() && (!l.stale || !l.told.IsValid()) {
		return l.source
	}
	return l.told
}

// latched says whether the phone has sent from the address that remote returns.
func (l *latch) latched() bool { return l.source.IsValid() && l.remote() == l.source }
