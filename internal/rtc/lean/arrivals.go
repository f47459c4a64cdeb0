package lean

import (
	"encoding/binary"
	"time"

	"github.com/pion/rtcp"
)

const (
	// arrivalTick is the unit of transport-wide feedback, and referenceTicks are that of its reference times, 64 ms.
	arrivalTick    = 250 * time.Microsecond
	referenceTicks = 256

	// keptArrivals is how many numbers may be late by: a second of 10 Mbit/s.
	keptArrivals = 1024
	// maxMissing is how many numbers in a row are told to be missing, by one chunk; of those before a longer gap nothing is said.
	maxMissing = 0x1fff
	// maxTold is how many arrivals go into one packet, so that it is not longer than maxFeedback.
	maxTold = 350
)

// The symbols of a packet's status.
const (
	notReceived uint8 = iota
	smallDelta        // in a byte
	largeDelta        // in two
)

// arrivals notes when packets came, by their transport-wide numbers, and tells the sender
// (draft-holmer-rmcat-transport-wide-cc-extensions-01). It needs no memory but its own.
type arrivals struct {
	begun     bool
	media     uint32               // SSRC of the last packet
	next, end uint16               // what is to be told: from next up to the one before end, which has come
	ticks     [keptArrivals]uint32 // by number, modulo the length; 0: it has not come
	count     uint8                // of packets of feedback
	deltas    []byte               // scratch
}

// add notes a packet. Only the first with a number counts.
func (a *arrivals) add(ssrc uint32, number uint16, at time.Duration) {
	a.media = ssrc
	if !a.begun {
		a.begun, a.next, a.end = true, number, number
	}
	tick := max(uint32(at/arrivalTick), 1)
	ahead := int(int16(number - a.end))
	if ahead >= 0 {
		for n := number - uint16(min(ahead, keptArrivals)); n != number; n++ {
			a.ticks[n%keptArrivals] = 0
		}
		untold := int(a.end-a.next) + ahead
		a.end = number + 1
		if untold > maxMissing {
			a.next = number - maxMissing
		}
		a.ticks[number%keptArrivals] = tick
		return
	}
	slot := &a.ticks[number%keptArrivals]
	if -ahead > keptArrivals || *slot != 0 {
		return
	}
	*slot = tick
	if int(a.end-a.next) < -ahead { // it was told to be missing
		a.next = number
	}
}

// came returns when a packet came, in ticks; 0: it did not.
func (a *arrivals) came(number uint16) uint32 {
	if a.end-number > keptArrivals {
		return 0
	}
	return a.ticks[number%keptArrivals]
}

// due says whether there is something to tell.
func (a *arrivals) due() bool { return a.next != a.end }

// appendFeedback appends a packet that tells what is due, or as much of it as fits.
func (a *arrivals) appendFeedback(b []byte) []byte {
	const header = 20
	start, base := len(b), a.next
	b = append(b, make([]byte, header)...)
	first := base
	for a.came(first) == 0 {
		first++
	}
	reference := a.came(first) / referenceTicks
	last := reference * referenceTicks
	a.deltas = a.deltas[:0]
	var c chunk
	for told, n := 0, base; n != a.end && told < maxTold; n++ {
		tick := a.came(n)
		if tick == 0 {
			continue
		}
		delta := int32(tick - last)
		if delta != int32(int16(delta)) {
			break // more than eight seconds, for which another reference is needed
		}
		for ; a.next != n; a.next++ {
			b = c.add(b, notReceived)
		}
		if delta == int32(uint8(delta)) {
			b = c.add(b, smallDelta)
			a.deltas = append(a.deltas, byte(delta))
		} else {
			b = c.add(b, largeDelta)
			a.deltas = binary.BigEndian.AppendUint16(a.deltas, uint16(delta))
		}
		last = tick
		a.next++
		told++
	}
	b = append(c.flush(b), a.deltas...)
	padding := -(len(b) - start) & 3
	b = append(b, 0, 0, 0)[:len(b)+padding]
	h := b[start:]
	h[0] = 2<<6 | rtcp.FormatTCC
	if padding > 0 {
		h[0] |= 1 << 5
		h[len(h)-1] = byte(padding)
	}
	h[1] = byte(rtcp.TypeTransportSpecificFeedback)
	binary.BigEndian.PutUint16(h[2:], uint16(len(h)/4-1))
	binary.BigEndian.PutUint32(h[4:], localSSRC)
	binary.BigEndian.PutUint32(h[8:], a.media)
	binary.BigEndian.PutUint16(h[12:], base)
	binary.BigEndian.PutUint16(h[14:], a.next-base)
	binary.BigEndian.PutUint32(h[16:], reference<<8|uint32(a.count))
	a.count++
	return b
}

// chunk gathers symbols to be written in as little room as possible: one and the same up to 8191 times, 14 of those that fit a
// bit, or 7 of any.
type chunk struct {
	n       int
	symbols [14]uint8 // the first of them
	mixed   bool
	large   bool
}

// add takes a symbol, and appends what it has to b where the two do not fit together.
func (c *chunk) add(b []byte, symbol uint8) []byte {
	if !c.fits(symbol) {
		b = c.write(b)
	}
	if c.n < len(c.symbols) {
		c.symbols[c.n] = symbol
	}
	c.n++
	c.mixed = c.mixed || symbol != c.symbols[0]
	c.large = c.large || symbol == largeDelta
	return b
}

func (c *chunk) fits(symbol uint8) bool {
	switch {
	case c.n < 7:
		return true
	case c.n < 14 && !c.large && symbol != largeDelta:
		return true
	default:
		return !c.mixed && symbol == c.symbols[0] && c.n < maxMissing
	}
}

// flush appends all that is left.
func (c *chunk) flush(b []byte) []byte {
	for c.n > 0 {
		b = c.write(b)
	}
	return b
}

// write appends one chunk and keeps what did not go into it.
func (c *chunk) write(b []byte) []byte {
	if !c.mixed {
		b = binary.BigEndian.AppendUint16(b, uint16(c.symbols[0])<<13|uint16(c.n))
		*c = chunk{}
		return b
	}
	bits, each, room := uint16(1<<15|1<<14), 2, 7
	if c.n == len(c.symbols) && !c.large {
		bits, each, room = 1<<15, 1, 14
	}
	k := min(c.n, room) // less only at the end
	for i, symbol := range c.symbols[:k] {
		bits |= uint16(symbol) << (14 - each*(i+1))
	}
	rest := *c
	*c = chunk{}
	for _, symbol := range rest.symbols[k:rest.n] {
		b = c.add(b, symbol)
	}
	return binary.BigEndian.AppendUint16(b, bits)
}
