package leg

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"transponder/internal/rtc"
	"transponder/internal/rtc/udp"
)

// maxFaults is how many reads in a row may fail. A fault is usually about one datagram.
const maxFaults = 100

// read takes the datagrams of a socket until it is closed.
func (l *Leg) read(t *track, conn *udp.Conn, overRTCP bool) {
	for faults := 0; faults < maxFaults; {
		b, err := conn.Read()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			faults++
			continue
		}
		faults = 0
		l.take(t, b, overRTCP)
		l.legs.ports.batches.Put(b)
	}
	l.fail(fmt.Errorf("%w: port %d", errReads, conn.Port()))
}

// take processes the datagrams of one read.
func (l *Leg) take(t *track, b *udp.Batch, overRTCP bool) {
	now := l.legs.clock()
	l.mu.Lock()
	defer l.unlock()
	for i := range b.Len() {
		data, from := b.Datagram(i)
		l.datagram(t, data, from, overRTCP, now)
	}
}

// datagram processes one datagram; mu is held. RTCP may come to either port: some phones send it to the RTP port without having agreed to
// (RFC 5761). RTP may not.
func (l *Leg) datagram(t *track, b []byte, from netip.AddrPort, overRTCP bool, now time.Duration) {
	switch f := formOf(b); {
	case (f == formRTP && !overRTCP || f == formRTCP) && l.keep(t, b, from, overRTCP, now):
	case f == formRTP && !overRTCP:
		if p, ok := t.takeRTP(b, from, now); ok {
			l.push(t, p, now)
		}
	case f == formRTCP:
		l.takeRTCP(t, b, from, now)
	case f == formSTUN:
		t.stats.Refused.STUN++
	case f == formDTLS:
		t.stats.Refused.DTLS++
	default:
		t.stats.Refused.Malformed++
	}
}

// push gives a packet of the phone to the jitter buffer; mu is held. Before Publish packets are only counted: it may be the ring-back tone.
func (l *Leg) push(t *track, p rtc.Packet, now time.Duration) {
	l.activity.came(now)
	if l.started && !t.began {
		t.began = true
		l.later = append(l.later, func() { l.events.Began(t.kind) })
	}
	if x := t.types[p.PayloadType]; x.class == typeEvents {
		l.report(l.digits.packet(p.Payload, p.Time, x.clock, now))
	}
	if l.frames == nil {
		return
	}
	if !l.live {
		l.live = true
		l.later = append(l.later, l.src.SetLive)
	}
	t.jitter.Push(p, now)
}

// report tells of digits; mu is held.
func (l *Leg) report(done [2]digit, n int) {
	for _, d := range done[:n] {
		l.digitsIn++
		l.later = append(l.later, func() { l.events.Digit(d.key, d.duration) })
	}
}
