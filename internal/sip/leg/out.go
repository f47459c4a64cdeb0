package leg

import (
	"encoding/binary"
	"net/netip"
	"sync"
	"time"

	"github.com/pion/srtp/v3"

	"transponder/internal/rtc/udp"
	"transponder/internal/sip/sdp"
)

// out is an RTP stream that we send. It sends without waiting, so mu is held through a send. All methods may be called from any goroutine.
type out struct {
	conn *udp.Conn // nil: this kind has no sockets
	ssrc uint32    // the same for the whole call; our reports have it, too

	mu        sync.Mutex
	sequence  uint16        // guarded by mu
	allowance allowance     // guarded by mu
	key       *sdp.Crypto   // guarded by mu; nil: not encrypted
	seal      *srtp.Context // guarded by mu; nil without key
	plain     []byte        // guarded by mu: scratch
	sealed    []byte        // guarded by mu: scratch
	sent      sent          // guarded by mu
}

// sent are the figures of what was sent, for sender reports and for Stats.
type sent struct {
	packets, bytes int64 // bytes of payloads
	unsent         int64 // that the kernel did not take
	at             time.Duration
	time           uint32    // RTP time of the last packet whose wall is known
	wall           time.Time // when its media was made
	clock          int       // of RTP times
}

// newOut makes the stream of a pair, which may have no sockets.
func newOut(p pair) *out {
	return &out{conn: p.rtp, ssrc: random32(), sequence: uint16(random32())}
}

// aim sets where packets go. proven says that something came from there.
func (o *out) aim(to netip.AddrPort, proven bool, now time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.allowance.aim(to, proven, now)
}

// encrypt sets the key; nil: none. With the same key as before, the rollover counter goes on, and changed is false.
func (o *out) encrypt(key *sdp.Crypto) (changed bool, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if sameKey(key, o.key) {
		return false, nil
	}
	o.key = key
	o.seal, err = newContext(key)
	return true, err
}

// write sends a packet. wall is the moment at which its media was made.
func (o *out) write(p outgoing, now time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.key != nil && o.seal == nil || !o.allowance.spend(now) {
		return
	}
	number := p.number
	if p.marker {
		number |= 0x80
	}
	b := append(o.plain[:0], 0x80, number)
	b = binary.BigEndian.AppendUint16(b, o.sequence)
	b = binary.BigEndian.AppendUint32(b, p.time)
	b = binary.BigEndian.AppendUint32(b, o.ssrc)
	b = append(b, p.payload...)
	o.plain = b
	o.sequence++
	if o.seal != nil {
		var err error
		if b, err = o.seal.EncryptRTP(o.sealed[:0], b, nil); err != nil {
			o.sent.unsent++
			return
		}
		o.sealed = b
	}
	if !o.conn.Send(b, o.allowance.to) {
		o.sent.unsent++
		return
	}
	o.sent.packets++
	o.sent.bytes += int64(len(p.payload))
	o.sent.at = now
	if !p.wall.IsZero() {
		o.sent.time, o.sent.wall, o.sent.clock = p.time, p.wall, p.clock
	}
}

// outgoing is a packet to be sent.
type outgoing struct {
	number  uint8 // payload type
	marker  bool
	time    uint32
	clock   int       // of time, in Hz
	wall    time.Time // when the media was made; zero if that says nothing about the RTP time
	payload []byte
}

// figures returns what was sent.
func (o *out) figures() sent {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.sent
}
