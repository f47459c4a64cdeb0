package leg

import (
	"context"
	"net/netip"
	"time"
)

// resolveTimeout limits the search for the address of a host that an SDP names.
const resolveTimeout = 5 * time.Second

// resolveNames finds the addresses of hosts until ctx ends.
func (l *Leg) resolveNames(ctx context.Context) {
	for {
		select {
		case <-l.names:
		case <-ctx.Done():
			return
		}
		for _, t := range l.tracks() {
			l.resolve(ctx, t)
		}
	}
}

// resolve finds the addresses of the hosts that the agreement of a track names, unless another agreement comes meanwhile.
func (l *Leg) resolve(ctx context.Context, t *track) {
	l.mu.Lock()
	flow := t.flow
	l.mu.Unlock()
	if flow == nil {
		return
	}
	rtp, rtcp := l.lookUp(ctx, flow.Address, flow.Port), l.lookUp(ctx, flow.RTCPAddress, flow.RTCPPort)
	l.mu.Lock()
	defer l.unlock()
	if t.flow != flow {
		return
	}
	if rtp.IsValid() {
		t.latch.resolved(rtp)
		t.aim(l.legs.clock())
	}
	if rtcp.IsValid() {
		t.told = rtcp
	}
}

// lookUp returns the address of a host name. It is not valid for an address, and if there is none to which media may go.
func (l *Leg) lookUp(ctx context.Context, host string, port int) netip.AddrPort {
	if !isName(host) {
		return netip.AddrPort{}
	}
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	a, err := l.legs.parts.Resolve(ctx, host)
	if err != nil {
		l.log.Warn("no address is known for the media of a phone", "host", host, "err", err)
		return netip.AddrPort{}
	}
	return l.allowed(host, netip.AddrPortFrom(a.Unmap(), uint16(port)))
}
