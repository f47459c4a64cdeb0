package rtc

import "time"

// takeOverFrames: another SSRC replaces the current one if that is silent for as long as the other takes to send so many
// frames. A sender that sends both at once, as with simulcast, alternates between them after each frame.
const takeOverFrames = 3

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
