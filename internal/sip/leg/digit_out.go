package leg

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Errors of Leg.SendDigits.
var (
	ErrNoEvents = errors.New("the phone takes no digits over RTP")
	errDigits   = errors.New("not a digit")
	errQueue    = errors.New("too many digits wait to be sent")
)

const (
	maxDigits  = 64
	digitStep  = 20 * time.Millisecond // between the packets of an event (RFC 4733, 2.5.1.2)
	digitPause = 50 * time.Millisecond // between two digits; gateways do not hear shorter ones
	commaPause = time.Second
	digitEnds  = 3 // the last packet is sent three times, as it may get lost (RFC 4733, 2.5.1.4)
	volume     = 10
)

// digitWriter makes the packets of digits. Each call of next is one step.
type digitWriter struct {
	tone  time.Duration
	queue []byte // digits in upper case, and commas

	active  bool
	event   uint8
	elapsed time.Duration // of the event
	ends    int           // how often the last packet is still to be sent
	pause   time.Duration // that is left
	payload [4]byte
}

// parseDigits checks digits and returns them in upper case. has says whether the phone takes an event.
func parseDigits(text string, has func(event int) bool) ([]byte, error) {
	out := make([]byte, 0, len(text))
	for i := range len(text) {
		c := strings.ToUpper(text[i : i+1])
		event := strings.Index(keys, c)
		if c != "," && (event < 0 || !has(event)) {
			return nil, fmt.Errorf("%w: %q", errDigits, text[i:i+1])
		}
		out = append(out, c[0])
	}
	return out, nil
}

// push queues digits, all or none.
func (d *digitWriter) push(digits []byte) error {
	if len(d.queue)+len(digits) > maxDigits {
		return fmt.Errorf("%w: %d", errQueue, len(d.queue))
	}
	d.queue = append(d.queue, digits...)
	return nil
}

// busy says whether next has something to do.
func (d *digitWriter) busy() bool { return d.active || d.pause > 0 || len(d.queue) > 0 }

// drop forgets everything.
func (d *digitWriter) drop() { d.queue, d.active, d.pause = nil, false, 0 }

// next makes one step of digitStep. It returns the payload of the packet to send now, nil in a pause; start is true at the first packet of
// an event. clock is the RTP clock of events, in Hz. The payload is valid until the next call.
func (d *digitWriter) next(clock int) (payload []byte, start bool) {
	if !d.active && d.pause <= 0 {
		c := d.queue[0]
		d.queue = d.queue[1:]
		if c == ',' {
			d.pause = commaPause
		} else {
			d.active, d.event, d.elapsed, d.ends, start = true, uint8(strings.IndexByte(keys, c)), 0, digitEnds, true
		}
	}
	if !d.active {
		d.pause -= digitStep
		return nil, false
	}
	mark := byte(volume)
	if d.elapsed += digitStep; d.elapsed >= d.tone {
		d.elapsed = d.tone
		mark |= 0x80
		d.ends--
	}
	d.payload[0], d.payload[1] = d.event, mark
	binary.BigEndian.PutUint16(d.payload[2:], uint16(min(int64(d.elapsed)*int64(clock)/int64(time.Second), 0xffff)))
	if d.ends == 0 {
		d.active, d.pause = false, digitPause
	}
	return d.payload[:], start
}
