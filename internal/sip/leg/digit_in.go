package leg

import (
	"encoding/binary"
	"time"
)

// keys are the digits by the number of their event (RFC 4733, 3.2).
const keys = "0123456789*#ABCD"

// digitReader joins the packets of an event into one digit (RFC 4733, 2.5). Each event comes in many packets: some while the key is down,
// and the last one three times.
type digitReader struct {
	open     bool // a key is down
	begun    bool
	event    uint8
	time     uint32        // RTP time of the beginning
	duration uint32        // in units of RTP time, of the segments before this one and of this one
	before   uint32        // of the segments before this one
	heardAt  time.Duration // of the last packet
	clock    int
}

// digit is a key that was pressed.
type digit struct {
	key      byte
	duration time.Duration
}

// lostEnd: a key counts as released if its packets stop without the last one.
const lostEnd = 400 * time.Millisecond

// packet takes the payload of a packet. It returns the digits that are complete now: at most the one before, whose end was lost, and this
// one.
func (d *digitReader) packet(payload []byte, rtpTime uint32, clock int, now time.Duration) (done [2]digit, n int) {
	if len(payload) < 4 || clock == 0 || int(payload[0]) >= len(keys) {
		return done, 0
	}
	event, end, duration := payload[0], payload[1]&0x80 != 0, uint32(binary.BigEndian.Uint16(payload[2:]))
	switch same := d.begun && rtpTime == d.time && event == d.event; {
	case same && !d.open: // the end came before, and comes again
		return done, 0
	case same:
		d.duration = max(d.duration, d.before+duration)
	case d.begun && int32(rtpTime-d.time) < 0 && now-d.heardAt < lostEnd: // late, of the event before
		return done, 0
	case d.open && event == d.event && d.duration-d.before == 0xffff && rtpTime == d.time+0xffff: // the next segment of a long event (2.5.1.3)
		d.time, d.before = rtpTime, d.duration
		d.duration += duration
	default:
		if d.open {
			done[n] = d.close()
			n++
		}
		*d = digitReader{open: true, begun: true, event: event, time: rtpTime, duration: duration, clock: clock}
	}
	d.heardAt = now
	if end {
		done[n] = d.close()
		n++
	}
	return done, n
}

// overdue returns a digit whose end was lost.
func (d *digitReader) overdue(now time.Duration) (digit, bool) {
	if !d.open || now-d.heardAt < lostEnd {
		return digit{}, false
	}
	return d.close(), true
}

func (d *digitReader) close() digit {
	d.open = false
	return digit{keys[d.event], time.Duration(d.duration) * time.Second / time.Duration(d.clock)}
}
