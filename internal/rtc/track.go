package rtc

import (
	"time"

	"transponder/internal/media"
)

// window is how many packets of one SSRC are waited for at most: more than a key frame of 500 kB.
const window = 512

// maxSpare is how many buffers of packets that had to wait are kept for the next ones: those of a lossy path with a long round
// trip. A burst that fills the window leaves no more behind.
const maxSpare = 64

// An SSRC goes on in the place of another that was silent for takeOver, or for as long as it took the new one to send takeOverFrames
// frames: a sender that sends both at once, as simulcast does, sends a frame of each in turn.
const (
	takeOver       = time.Second
	takeOverFrames = 3
)

// TrackConfig says how one track is received.
type TrackConfig struct {
	Codec media.Codec
	// SpropParameterSets is what the offer's format says under that name, "" if nothing.
	SpropParameterSets string
	// Orientation is the id of the header extension that tells how pictures are to be turned, 0 for none.
	Orientation uint8
	// NACK says that the peer sends again what is asked for.
	NACK bool

	Wait      time.Duration // for a packet that was asked for again
	ShortWait time.Duration // for a packet that nobody will send again: it may only be out of order
	FirstNACK time.Duration // leaves room for mere disorder
	NACKPause time.Duration // between two requests for one packet, doubled each time
	PLIGap    time.Duration // the least time between two requests for a key frame
}

// DefaultTrackConfig suits paths of up to 300 ms round trip.
func DefaultTrackConfig() TrackConfig {
	return TrackConfig{
		Wait:      500 * time.Millisecond,
		ShortWait: 40 * time.Millisecond,
		FirstNACK: 5 * time.Millisecond,
		NACKPause: 50 * time.Millisecond,
		PLIGap:    500 * time.Millisecond,
	}
}

// Track puts the packets of one SSRC in order and hands whole media to a sink. It has no goroutine and no clock: the
// session calls it, from one goroutine at a time, with the time since some fixed moment.
type Track struct {
	cfg  TrackConfig
	sink Sink
	kind media.Kind
	au   assembler // of video

	begun   bool
	ssrc    uint32
	rival   rival
	heardAt time.Duration
	next    uint16 // due
	highest uint16 // seen
	slots   []slot // made at the first gap
	spare   [][]byte
	wantPLI bool
	pliAt   time.Duration // not before

	restartAt uint16 // the packet that would confirm a new beginning

	stats TrackStats
}

// rival is an SSRC that is not the track's, and what it has sent since the track's own was last heard.
type rival struct {
	ssrc, time uint32
	frames     int
}

// heard takes a packet and says whether the rival has sent so much that the track's own SSRC must be gone.
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

// slot is one sequence number ahead of the one that is due.
type slot struct {
	held    bool
	missing bool
	lost    bool // given up
	asked   uint8
	since   time.Duration // missing since
	askAt   time.Duration // next NACK
	packet  Packet        // its payload is our own
}

// TrackStats are a track's figures.
type TrackStats struct {
	Packets, Bytes  int64
	Lost            int64 // given up
	Late, Duplicate int64
	NACKs, PLIs     int64
	BrokenUnits     int64
}

// NewTrack makes a track. A video track asks for a key frame at its first Tick: the sender has no reason to begin with one
// that reaches us.
func NewTrack(cfg TrackConfig, sink Sink) *Track {
	t := &Track{cfg: cfg, sink: sink, kind: cfg.Codec.Kind(), wantPLI: cfg.Codec.Kind() == media.Video}
	if t.kind != media.Video {
		return t
	}
	t.au = assembler{
		parts: newParts(cfg.Codec),
		unit:  func(unit []byte, rtpTime uint32, key bool) { sink.Video(cfg.Codec, unit, rtpTime, key) },
		broken: func() {
			t.stats.BrokenUnits++
			t.wantPLI = true
		},
		needKey: true,
	}
	if cfg.Codec == media.H264 {
		t.au.primer = h264Primer(cfg.SpropParameterSets)
	}
	return t
}

// Stats returns the track's figures.
func (t *Track) Stats() TrackStats { return t.stats }

// WantKeyFrame lets the next Tick ask for a key frame.
func (t *Track) WantKeyFrame() { t.wantPLI = true }

// Waits says whether Tick has anything to do, now or later.
func (t *Track) Waits() bool { return t.wantPLI || t.needsKey() || t.behind() }

// Due returns when Tick has something to do after a Push, if Waits.
func (t *Track) Due(now time.Duration) time.Duration {
	switch {
	case t.wantPLI || t.needsKey():
		return max(now, t.pliAt)
	case t.cfg.NACK:
		return now + t.cfg.FirstNACK
	default:
		return now + t.cfg.ShortWait
	}
}

func (t *Track) behind() bool { return t.begun && t.next != t.highest+1 }

// Push takes a packet as it came. Its payload may be reused after the call.
func (t *Track) Push(p Packet, now time.Duration) {
	t.stats.Packets++
	t.stats.Bytes += int64(len(p.Payload))
	if t.cfg.Orientation != 0 {
		p.turn = p.orientation(t.cfg.Orientation)
	}
	p.extension = nil // of the caller's buffer
	switch {
	case !t.begun:
		t.begun, t.ssrc, t.next, t.highest = true, p.SSRC, p.Seq, p.Seq-1
	case p.SSRC == t.ssrc:
		t.rival.frames = 0
	case p.Repair:
		return
	case !t.rival.heard(p) && now-t.heardAt < takeOver:
		return
	default:
		t.ssrc, t.rival.frames = p.SSRC, 0
		t.restart(p)
	}
	t.heardAt = now
	ahead := int16(p.Seq - t.next)
	if ahead < 0 {
		if !t.restarts(p, ahead) {
			t.past(p)
			return
		}
		t.restart(p)
	}
	if beyond := int16(p.Seq - t.highest); beyond > 0 {
		if int(ahead) >= window {
			t.skipTo(p.Seq)
		} else if beyond > 1 {
			t.miss(t.highest+1, p.Seq, now)
		}
		t.highest = p.Seq
	}
	if p.Seq != t.next {
		t.hold(p)
		return
	}
	t.deliver(p)
	if t.slots != nil {
		t.slots[p.Seq%window].missing, t.slots[p.Seq%window].lost = false, false
	}
	t.next++
	t.drain()
}

// past counts a packet that is not due any more.
func (t *Track) past(p Packet) {
	if t.slots != nil && t.next-p.Seq <= window && t.slots[p.Seq%window].lost {
		t.slots[p.Seq%window].lost = false
		t.stats.Late++
		return
	}
	t.stats.Duplicate++
}

// restarts says whether the sender began its sequence numbers anew: two packets in a row are far behind (RFC 3550, A.1).
// Browsers probe the path with old packets on the retransmission stream; those prove nothing.
func (t *Track) restarts(p Packet, ahead int16) bool {
	if ahead >= -2*window || p.Repair {
		return false
	}
	again := p.Seq == t.restartAt
	t.restartAt = p.Seq + 1
	return again
}

// restart follows a sender that began its sequence numbers anew.
func (t *Track) restart(p Packet) {
	for i := range t.slots {
		t.free(&t.slots[i])
		t.slots[i] = slot{}
	}
	t.next, t.highest = p.Seq, p.Seq-1
	t.lost(1)
}

// miss notes that the packets from a to before b have not come.
func (t *Track) miss(a, b uint16, now time.Duration) {
	if t.slots == nil {
		t.slots = make([]slot, window)
	}
	for ; a != b; a++ {
		t.slots[a%window] = slot{missing: true, since: now, askAt: now + t.cfg.FirstNACK}
	}
}

func (t *Track) hold(p Packet) {
	if t.slots == nil {
		t.slots = make([]slot, window)
	}
	s := &t.slots[p.Seq%window]
	if s.held {
		t.stats.Duplicate++
		return
	}
	var buf []byte
	if n := len(t.spare); n > 0 {
		buf, t.spare = t.spare[n-1][:0], t.spare[:n-1]
	}
	p.Payload = append(buf, p.Payload...)
	*s = slot{held: true, packet: p}
}

// free keeps a slot's buffer for the next packet that has to wait.
func (t *Track) free(s *slot) {
	if !s.held {
		return
	}
	if len(t.spare) < maxSpare {
		t.spare = append(t.spare, s.packet.Payload)
	}
	s.held, s.packet.Payload = false, nil
}

// drain delivers what is now in order.
func (t *Track) drain() {
	for t.behind() {
		s := &t.slots[t.next%window]
		if !s.held {
			return
		}
		t.deliver(s.packet)
		t.free(s)
		t.next++
	}
}

// skip gives up the packet that is due.
func (t *Track) skip() {
	s := &t.slots[t.next%window]
	s.missing, s.lost = false, true
	t.next++
	t.lost(1)
}

// skipTo gives up all that is missing before seq.
func (t *Track) skipTo(seq uint16) {
	for t.slots != nil && t.behind() {
		if t.drain(); t.behind() {
			t.skip()
		}
	}
	if t.next != seq {
		t.lost(int64(seq - t.next))
		t.next = seq
	}
}

func (t *Track) lost(n int64) {
	t.stats.Lost += n
	t.sink.Lost(t.kind)
	if t.kind == media.Video {
		t.au.gap()
		t.wantPLI = true
	}
}

// deliver takes the next packet in order.
func (t *Track) deliver(p Packet) {
	switch {
	case len(p.Payload) == 0: // only padding: it counted as a sequence number
	case t.kind == media.Video:
		if p.turn != 0 {
			t.sink.Rotated(90 * int(p.turn-1))
		}
		t.au.push(p)
	default:
		t.sink.Audio(t.cfg.Codec, p.Payload, p.Time)
	}
}

// Tick gives up what was waited for too long, and says what to ask the sender for: packets, appended to nacks, and a key
// frame. It wants to be called again at the time it returns, if Waits.
func (t *Track) Tick(now time.Duration, nacks []uint16) (_ []uint16, pli bool, again time.Duration) {
	again = now + time.Second
	wait := t.cfg.ShortWait
	if t.cfg.NACK {
		wait = t.cfg.Wait
	}
	for t.behind() {
		s := &t.slots[t.next%window]
		if s.missing && now-s.since < wait {
			again = min(again, s.since+wait)
			break
		}
		t.skip()
		t.drain()
	}
	if t.cfg.NACK && t.behind() {
		for seq := t.next; seq != t.highest; seq++ {
			s := &t.slots[seq%window]
			if !s.missing {
				continue
			}
			if s.askAt <= now {
				nacks = append(nacks, seq)
				t.stats.NACKs++
				s.askAt = now + t.cfg.NACKPause<<min(s.asked, 8)
				s.asked++
			}
			again = min(again, s.askAt)
		}
	}
	if t.wantPLI || t.needsKey() {
		if now >= t.pliAt {
			t.wantPLI, t.pliAt, pli = false, now+t.cfg.PLIGap, true
			t.stats.PLIs++
		}
		again = min(again, t.pliAt)
	}
	return nacks, pli, again
}

// needsKey says that nothing can go on without a key frame. The request or the key frame may get lost, so it is asked for
// until one comes.
func (t *Track) needsKey() bool { return t.kind == media.Video && t.begun && t.au.needKey }
