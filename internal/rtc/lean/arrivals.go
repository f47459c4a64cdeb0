package lean

import (
	"encoding/binary"
	"time"

	"github.com/pion/rtcp"
)

const (
	// arrivalTick is the unit of transport-wide feedback. Reference times count in referenceTicks of it, 64 ms.
	arrivalTick    = 250 * time.Microsecond
	referenceTicks = 256

	// keptArrivals limits how late a packet may be, in sequence numbers: a second of 10 Mbit/s.
	keptArrivals = 1024
	// maxMissing is how many missing numbers in a row one chunk can report. Of a longer gap only the last maxMissing are
	// reported.
	maxMissing = 0x1fff
	// maxReported limits the arrivals in one packet, so that it is not longer than maxFeedback.
	maxReported = 350
)

// The symbols that report a packet.
const (
	notReceived uint8 = iota
	smallDelta        // received; the time since the packet before fits a byte
	largeDelta        // received; that time takes two bytes
)

// arrivals notes when packets came, by their transport-wide sequence numbers, and makes the feedback for the sender
// (draft-holmer-rmcat-transport-wide-cc-extensions-01). It allocates no memory for a packet.
type arrivals struct {
	begun     bool
	media     uint32               // SSRC of the last packet
	next, end uint16               // the numbers from next to end-1 are not reported yet; end-1 has come
	ticks     [keptArrivals]uint32 // when each number came, at number modulo the length; 0: not yet
	count     uint8                // feedback packets made
	deltas    []byte               // scratch
}

// add notes when a packet came. A second packet of the same number is ignored.
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
		unreported := int(a.end-a.next) + ahead
		a.end = number + 1
		if unreported > maxMissing {
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
	if int(a.end-a.next) < -ahead { // it was reported as missing
		a.next = number
	}
}

// came returns when a packet came, in ticks; 0 if it did not.
func (a *arrivals) came(number uint16) uint32 {
	if a.end-number > keptArrivals {
		return 0
	}
	return a.ticks[number%keptArrivals]
}

// due says whether there is something to report.
func (a *arrivals) due() bool { return a.next != a.end }

// appendFeedback appends a feedback packet with what is due, or with as much of it as fits.
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
	for reported, n := 0, base; n != a.end && reported < maxReported; n++ {
		tick := a.came(n)
		if tick == 0 {
			continue
		}
		delta := int32(tick - last)
		if delta != int32(int16(delta)) {
			break // more than eight seconds; they need a packet with another reference time
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
		reported++
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

// chunk gathers symbols and writes them in as few bits as possible. One chunk of the format takes up to 8191 equal symbols,
// 14 symbols of one bit, or 7 of two bits.
type chunk struct {
	n       int
	symbols [14]uint8 // the first of the n symbols
	mixed   bool      // they are not all equal
	large   bool      // one of them is largeDelta
}

// add takes a symbol. If it does not fit into the same chunk as the symbols before it, add appends a chunk of those to b.
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

// flush appends the rest.
func (c *chunk) flush(b []byte) []byte {
	for c.n > 0 {
		b = c.write(b)
	}
	return b
}

// write appends one chunk, and keeps the symbols that did not fit into it.
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
