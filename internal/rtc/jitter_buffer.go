package rtc

import (
	"time"

	"transponder/internal/media"
)

// window limits how many packets of one SSRC are held back or missing: more than a key frame of 500 kB has.
const window = 512

// maxSpare limits the packet buffers that are kept for reuse: enough for a lossy path with a long round trip. A burst that
// fills the window leaves no more behind.
const maxSpare = 64

// takeOverFrames: another SSRC replaces the current one if that is silent for as long as the other takes to send so many
// frames. A sender that sends both at once, as with simulcast, alternates between them after each frame.
const takeOverFrames = 3

// restartWithin is how long after Restart the sender is expected to begin anew. Packets of before may still come first.
const restartWithin = 3 * time.Second

// JitterBufferConfig says how one stream is received.
type JitterBufferConfig struct {
	// Codec is the only codec, or with Types the first.
	Codec media.Codec
	// Types has the codec of each payload type that the sender may use. The sender may change the type at any packet. Packets
	// of other types, or of a codec of another kind, only take a sequence number: telephone events and comfort noise share
	// the numbers of the sound. nil: all packets are of Codec.
	Types map[uint8]media.Codec
	// SpropParameterSets is the value of sprop-parameter-sets in the offer, "" if there is none.
	SpropParameterSets string
	// Orientation is the id of the header extension for the rotation of pictures; 0: not used.
	Orientation uint8
	// NACK says that the sender retransmits packets on request.
	NACK bool

	Wait      time.Duration // how long to wait for a missing packet, with NACK
	ShortWait time.Duration // how long to wait without NACK, when a packet can only be out of order
	FirstNACK time.Duration // how long to wait before the first request for a packet: it may only be out of order
	NACKPause time.Duration // between two requests for one packet; it doubles each time
	PLIGap    time.Duration // the least time between two requests for a key frame

	// TakeOver is how long the current SSRC must be silent before another one replaces it; 0: another one replaces it at
	// once. An SSRC that nobody has authenticated must wait.
	TakeOver time.Duration
	// Restarted is called, if it is not nil, before the first packet whose RTP time may have nothing to do with the one
	// before: of another SSRC, of sequence numbers that begin anew, or after a pause that Restart has ended.
	Restarted func()
}

// DefaultJitterBufferConfig suits paths with a round trip of up to 300 ms.
func DefaultJitterBufferConfig() JitterBufferConfig {
	return JitterBufferConfig{
		Wait:      500 * time.Millisecond,
		ShortWait: 40 * time.Millisecond,
		FirstNACK: 5 * time.Millisecond,
		NACKPause: 50 * time.Millisecond,
		PLIGap:    500 * time.Millisecond,
		TakeOver:  time.Second,
	}
}

// JitterBuffer puts the packets of one SSRC in order, asks for missing ones, and hands whole media to a sink. It has no
// goroutine and no clock: the session calls it, from one goroutine at a time, with the time since some fixed moment.
type JitterBuffer struct {
	cfg   JitterBufferConfig
	sink  MediaSink
	kind  media.Kind
	codec media.Codec // of the last packet
	au    assembler   // for video

	begun   bool
	ssrc    uint32
	rival   rival
	left    formerSSRC
	heardAt time.Duration
	next    uint16   // the next sequence number to deliver
	highest uint16   // the highest sequence number seen
	slots   []slot   // of the numbers from next on; made at the first gap
	spare   [][]byte // packet buffers for reuse
	wantPLI bool
	pliAt   time.Duration // when the next request for a key frame is allowed

	restartAt    uint16 // a packet with this number confirms that the sender has restarted its sequence numbers
	renewed      bool   // Restart was called, and no packet has come since
	renewedUntil time.Duration

	stats JitterBufferStats
}

// rival is another SSRC, and what it has sent since the last packet of the current SSRC.
type rival struct {
	ssrc, time uint32
	frames     int
}

// formerSSRC is the SSRC that another one has replaced at once. Its packets that are still on the way must not take it back.
type formerSSRC struct {
	ssrc  uint32
	until time.Duration // 0: there is none
}

// heard notes a packet of another SSRC. It returns true if that SSRC has sent so much that the current one must be gone.
func (r *rival) heard(p Packet) bool {
	switch {
	case r.frames == 0 || p.SSRC != r.ssrc:
		*r = rival{p.SSRC, p.Time, 1}
	case p.Time != r.time:
		r.time = p.Time
		r.frames++
	}
	return r.frames >= takeOverFrames
}

// slotState is what is known of one sequence number.
type slotState uint8

const (
	slotEmpty   slotState = iota // nothing; or the packet was delivered
	slotMissing                  // a later packet came, this one did not
	slotHeld                     // the packet came and waits for an earlier one
	slotLost                     // the packet was given up
)

// slot is one sequence number. Numbers that are window apart share a slot.
type slot struct {
	state  slotState
	asked  uint8         // how often a NACK named it
	since  time.Duration // missing since
	askAt  time.Duration // next NACK
	packet Packet        // while held; the payload is a copy of ours
}

// JitterBufferStats are the figures of one received stream, or the sums of several.
type JitterBufferStats struct {
	Packets, Bytes int64 // received; bytes are those of payloads
	Lost           int64 // packets given up
	Late           int64 // packets that came after they were given up
	Duplicate      int64 // packets that came twice
	NACKs          int64 // packets asked for again
	PLIs           int64 // key frames asked for
	BrokenUnits    int64 // access units that were not whole and went no further
}

// Add adds the figures of another stream.
func (s *JitterBufferStats) Add(other JitterBufferStats) {
	s.Packets += other.Packets
	s.Bytes += other.Bytes
	s.Lost += other.Lost
	s.Late += other.Late
	s.Duplicate += other.Duplicate
	s.NACKs += other.NACKs
	s.PLIs += other.PLIs
	s.BrokenUnits += other.BrokenUnits
}

// NewJitterBuffer makes a jitter buffer. For video, the first Tick asks for a key frame: the sender's first one may not
// have reached us.
func NewJitterBuffer(cfg JitterBufferConfig, sink MediaSink) *JitterBuffer {
	b := &JitterBuffer{cfg: cfg, sink: sink, codec: cfg.Codec, kind: cfg.Codec.Kind(), wantPLI: cfg.Codec.Kind() == media.Video}
	if b.kind != media.Video {
		return b
	}
	b.au = assembler{
		parts: newParts(cfg.Codec),
		unit:  func(unit []byte, rtpTime uint32, key bool) { sink.Video(b.codec, unit, rtpTime, key) },
		broken: func() {
			b.stats.BrokenUnits++
			b.wantPLI = true
		},
		needKey: true,
	}
	b.prime()
	return b
}

// prime lets the parameter sets of the SDP come before the next access unit.
func (b *JitterBuffer) prime() {
	if b.codec == media.H264 {
		b.au.primer = h264Primer(b.cfg.SpropParameterSets)
	}
}

// SetTypes replaces JitterBufferConfig.Types and SpropParameterSets, after a new SDP.
func (b *JitterBuffer) SetTypes(types map[uint8]media.Codec, sprop string) {
	b.cfg.Types = types
	if sprop != b.cfg.SpropParameterSets {
		b.cfg.SpropParameterSets = sprop
		b.prime()
	}
}

// Restart notes that the sender may begin anew with its sequence numbers and its times, as after a new SDP. If they go on as
// before, nothing is lost. For video it also lets the next Tick ask for a key frame.
func (b *JitterBuffer) Restart() {
	b.renewed = true
	b.wantPLI = b.wantPLI || b.kind == media.Video
}

// Stats returns the buffer's figures.
func (b *JitterBuffer) Stats() JitterBufferStats { return b.stats }

// WantKeyFrame lets the next Tick ask for a key frame.
func (b *JitterBuffer) WantKeyFrame() { b.wantPLI = true }

// Waits says whether Tick has something to do, now or later.
func (b *JitterBuffer) Waits() bool { return b.wantPLI || b.needsKey() || b.behind() }

// Due returns when to call Tick after a Push, if Waits is true.
func (b *JitterBuffer) Due(now time.Duration) time.Duration {
	switch {
	case b.wantPLI || b.needsKey():
		return max(now, b.pliAt)
	case b.cfg.NACK:
		return now + b.cfg.FirstNACK
	default:
		return now + b.cfg.ShortWait
	}
}

// behind says whether packets are missing or held back.
func (b *JitterBuffer) behind() bool { return b.begun && b.next != b.highest+1 }

// Push takes a packet, in the order of arrival. The caller may reuse the payload after the call.
func (b *JitterBuffer) Push(p Packet, now time.Duration) {
	b.stats.Packets++
	b.stats.Bytes += int64(len(p.Payload))
	if b.cfg.Orientation != 0 {
		p.rotation = p.quarterTurns(b.cfg.Orientation)
	}
	p.extension = nil // it points into the caller's buffer
	switch {
	case !b.begun:
		b.begun, b.ssrc, b.next, b.highest = true, p.SSRC, p.Seq, p.Seq-1
	case p.SSRC == b.ssrc:
		b.rival.frames = 0
	case p.Repair, p.SSRC == b.left.ssrc && now < b.left.until:
		return
	case !b.rival.heard(p) && now-b.heardAt < b.cfg.TakeOver:
		return
	default:
		if b.cfg.TakeOver == 0 {
			b.left = formerSSRC{b.ssrc, now + b.cfg.ShortWait}
		}
		b.ssrc, b.rival.frames = p.SSRC, 0
		b.restart(p)
	}
	if b.renewed {
		b.resume(now)
	}
	b.heardAt = now
	ahead := int16(p.Seq - b.next)
	if ahead < 0 {
		if !b.restarts(p, ahead, now) {
			b.past(p)
			return
		}
		b.restart(p)
	}
	if beyond := int16(p.Seq - b.highest); beyond > 0 {
		if int(ahead) >= window {
			b.skipTo(p.Seq)
		} else if beyond > 1 {
			b.miss(b.highest+1, p.Seq, now)
		}
		b.highest = p.Seq
	}
	if p.Seq != b.next {
		b.hold(p)
		return
	}
	b.deliver(p)
	if b.slots != nil {
		b.slots[p.Seq%window].state = slotEmpty
	}
	b.next++
	b.drain()
}

// past counts a packet that came too late, or twice.
func (b *JitterBuffer) past(p Packet) {
	if b.slots != nil && b.next-p.Seq <= window && b.slots[p.Seq%window].state == slotLost {
		b.slots[p.Seq%window].state = slotEmpty
		b.stats.Late++
		return
	}
	b.stats.Duplicate++
}

// restarts says whether the sender has restarted its sequence numbers: two packets in a row are far behind (RFC 3550, A.1).
// After Restart, any two packets in a row that are behind will do. Retransmissions do not count, because browsers also use
// them, with old packets, to probe the path.
func (b *JitterBuffer) restarts(p Packet, ahead int16, now time.Duration) bool {
	if p.Repair || ahead >= -2*window && now >= b.renewedUntil {
		return false
	}
	again := p.Seq == b.restartAt
	b.restartAt = p.Seq + 1
	return again
}

// restart goes on with the sequence number of p, after the sender has restarted or another SSRC has taken over.
func (b *JitterBuffer) restart(p Packet) {
	for i := range b.slots {
		b.free(&b.slots[i])
		b.slots[i] = slot{}
	}
	b.next, b.highest = p.Seq, p.Seq-1
	b.lost(1)
	if b.cfg.Restarted != nil {
		b.cfg.Restarted()
	}
}

// resume takes the first packet after Restart.
func (b *JitterBuffer) resume(now time.Duration) {
	b.renewed, b.renewedUntil = false, now+restartWithin
	if now-b.heardAt >= idleAfter && b.cfg.Restarted != nil {
		b.cfg.Restarted()
	}
}

// miss marks the numbers from "from" to before "to" as missing.
func (b *JitterBuffer) miss(from, to uint16, now time.Duration) {
	if b.slots == nil {
		b.slots = make([]slot, window)
	}
	for seq := from; seq != to; seq++ {
		b.slots[seq%window] = slot{state: slotMissing, since: now, askAt: now + b.cfg.FirstNACK}
	}
}

// hold keeps a copy of a packet that came too early.
func (b *JitterBuffer) hold(p Packet) {
	if b.slots == nil {
		b.slots = make([]slot, window)
	}
	s := &b.slots[p.Seq%window]
	if s.state == slotHeld {
		b.stats.Duplicate++
		return
	}
	var buf []byte
	if n := len(b.spare); n > 0 {
		buf, b.spare = b.spare[n-1][:0], b.spare[:n-1]
	}
	p.Payload = append(buf, p.Payload...)
	*s = slot{state: slotHeld, packet: p}
}

// free empties a slot, and keeps its packet buffer for reuse.
func (b *JitterBuffer) free(s *slot) {
	if s.state != slotHeld {
		return
	}
	if len(b.spare) < maxSpare {
		b.spare = append(b.spare, s.packet.Payload)
	}
	s.state, s.packet.Payload = slotEmpty, nil
}

// drain delivers the held packets up to the next missing one.
func (b *JitterBuffer) drain() {
	for b.behind() {
		s := &b.slots[b.next%window]
		if s.state != slotHeld {
			return
		}
		b.deliver(s.packet)
		b.free(s)
		b.next++
	}
}

// skip gives up the next packet.
func (b *JitterBuffer) skip() {
	b.slots[b.next%window].state = slotLost
	b.next++
	b.lost(1)
}

// skipTo gives up all missing packets before seq.
func (b *JitterBuffer) skipTo(seq uint16) {
	for b.slots != nil && b.behind() {
		if b.drain(); b.behind() {
			b.skip()
		}
	}
	if b.next != seq {
		b.lost(int64(seq - b.next))
		b.next = seq
	}
}

// lost counts packets that were given up, and reports the gap.
func (b *JitterBuffer) lost(n int64) {
	b.stats.Lost += n
	b.sink.Lost(b.kind)
	if b.kind == media.Video {
		b.au.gap()
		b.wantPLI = true
	}
}

// deliver hands on the next packet in order.
func (b *JitterBuffer) deliver(p Packet) {
	switch {
	case b.cfg.Types != nil && !b.follow(p.PayloadType):
	case len(p.Payload) == 0: // only padding, which takes a sequence number too
	case b.kind == media.Video:
		if p.rotation != 0 {
			b.sink.Rotated(90 * int(p.rotation-1))
		}
		b.au.push(p)
	default:
		b.sink.Audio(b.codec, p.Payload, p.Time)
	}
}

// follow goes on with the codec of a payload type. It returns false if packets of that type are no media of this stream.
func (b *JitterBuffer) follow(payloadType uint8) bool {
	codec := b.cfg.Types[payloadType]
	if codec.Kind() != b.kind {
		return false
	}
	if codec == b.codec {
		return true
	}
	b.codec = codec
	if b.kind == media.Video {
		b.au.change(newParts(codec))
		b.wantPLI = true
		b.prime()
	}
	return true
}

// Tick gives up packets that have been missing for too long. It returns what to ask the sender for: packets, whose numbers
// it appends to nacks, and a key frame. It is to be called again at the time that it returns, if Waits is true.
func (b *JitterBuffer) Tick(now time.Duration, nacks []uint16) (_ []uint16, pli bool, again time.Duration) {
	again = now + time.Second
	wait := b.cfg.ShortWait
	if b.cfg.NACK {
		wait = b.cfg.Wait
	}
	for b.behind() {
		s := &b.slots[b.next%window]
		if s.state == slotMissing && now-s.since < wait {
			again = min(again, s.since+wait)
			break
		}
		b.skip()
		b.drain()
	}
	if b.cfg.NACK && b.behind() {
		for seq := b.next; seq != b.highest; seq++ {
			s := &b.slots[seq%window]
			if s.state != slotMissing {
				continue
			}
			if s.askAt <= now {
				nacks = append(nacks, seq)
				b.stats.NACKs++
				s.askAt = now + b.cfg.NACKPause<<min(s.asked, 8)
				s.asked++
			}
			again = min(again, s.askAt)
		}
	}
	if b.wantPLI || b.needsKey() {
		if now >= b.pliAt {
			b.wantPLI, b.pliAt, pli = false, now+b.cfg.PLIGap, true
			b.stats.PLIs++
		}
		again = min(again, b.pliAt)
	}
	return nacks, pli, again
}

// needsKey says that decoding cannot go on without a key frame. The request or the key frame may get lost, so requests are
// repeated until a key frame comes.
func (b *JitterBuffer) needsKey() bool { return b.kind == media.Video && b.begun && b.au.needKey }
