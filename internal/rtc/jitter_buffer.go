package rtc

import (
	"time"

	"transponder/internal/media"
)

// firstWindow and lastWindow limit how many packets of one SSRC are held back or missing: at first more than a key frame of 500 kB has, then up to what
// a stream of 40 Mbit/s sends while a packet is waited for. A gap of firstWindow packets at once is not waited for: a key frame comes sooner.
const (
	firstWindow = 512
	lastWindow  = 4 * firstWindow
)

// maxSpare limits the packet buffers that are kept for reuse: enough for a lossy path with a long round trip. A burst that
// fills the window leaves no more behind.
const maxSpare = 64

// restartWithin is how long after Restart the sender is expected to begin anew. Packets of before may still come first.
const restartWithin = 3 * time.Second

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
	slots   []slot   // of the numbers from next on; made at the first gap; firstWindow of them, or twice or four times as many
	spare   [][]byte // packet buffers for reuse
	wantPLI bool
	pliAt   time.Duration // when the next request for a key frame is allowed

	restartAt    uint16 // a packet with this number confirms that the sender has restarted its sequence numbers
	renewed      bool   // Restart was called, and no packet has come since
	renewedUntil time.Duration

	stats JitterBufferStats
}

// slotState is what is known of one sequence number.
type slotState uint8

const (
	slotEmpty   slotState = iota // nothing; or the packet was delivered
	slotMissing                  // a later packet came, this one did not
	slotHeld                     // the packet came and waits for an earlier one
	slotLost                     // the packet was given up
)

// slot is one sequence number. Numbers that are as far apart as there are slots share one.
type slot struct {
	state  slotState
	asked  bool          // a NACK has named it
	since  time.Duration // missing since
	askAt  time.Duration // next NACK
	packet Packet        // while held; the payload is a copy of ours
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
		if int(beyond) >= firstWindow || int(ahead) >= lastWindow {
			b.skipTo(p.Seq)
		} else if b.fit(int(ahead)); beyond > 1 {
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
		b.slot(p.Seq).state = slotEmpty
	}
	b.next++
	b.drain()
}

// slot returns the slot of a number. The number of slots is a power of two.
func (b *JitterBuffer) slot(seq uint16) *slot { return &b.slots[int(seq)&(len(b.slots)-1)] }

// fit makes room for a packet so far ahead of the next one.
func (b *JitterBuffer) fit(ahead int) {
	old := b.slots
	if len(old) == 0 || ahead < len(old) {
		return
	}
	b.slots = make([]slot, 2*len(old))
	for i := range old {
		seq := b.highest - uint16(i)
		*b.slot(seq) = old[int(seq)&(len(old)-1)]
	}
}

// past counts a packet that came too late, or twice.
func (b *JitterBuffer) past(p Packet) {
	if b.slots != nil && int(b.next-p.Seq) <= len(b.slots) && b.slot(p.Seq).state == slotLost {
		b.slot(p.Seq).state = slotEmpty
		b.stats.Late++
		return
	}
	b.stats.Duplicate++
}

// restarts says whether the sender has restarted its sequence numbers: two packets in a row are far behind (RFC 3550, A.1).
// After Restart, any two packets in a row that are behind will do. Retransmissions do not count, because browsers also use
// them, with old packets, to probe the path.
func (b *JitterBuffer) restarts(p Packet, ahead int16, now time.Duration) bool {
	if p.Repair || ahead >= -2*firstWindow && now >= b.renewedUntil {
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
		b.slots = make([]slot, firstWindow)
	}
	for seq := from; seq != to; seq++ {
		*b.slot(seq) = slot{state: slotMissing, since: now, askAt: now + b.cfg.FirstNACK}
	}
}

// hold keeps a copy of a packet that came too early.
func (b *JitterBuffer) hold(p Packet) {
	if b.slots == nil {
		b.slots = make([]slot, firstWindow)
	}
	s := b.slot(p.Seq)
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
		s := b.slot(b.next)
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
	b.slot(b.next).state = slotLost
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
