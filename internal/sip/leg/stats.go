package leg

import (
	"net/netip"
	"time"

	"transponder/internal/media"
)

// Stats are the figures of a leg at one moment.
type Stats struct {
	Audio, Video TrackStats
	Digits       int64 // that the phone sent
	KeyRequests  KeyRequests
}

// TrackStats are the figures of the sound or of the picture of a leg.
type TrackStats struct {
	Codec   media.Codec    // of the last packet; CodecNone before the first
	Latched bool           // the phone has sent from Remote
	Remote  netip.AddrPort // where we send to; not valid if unknown

	Packets, Bytes int64 // received from the phone; bytes of payloads
	Lost           int64
	Jitter         time.Duration
	Refused        Refused

	Sent, SentBytes int64
	Unsent          int64 // that the kernel did not take
}

// KeyRequests counts requests for key frames, by way. Missing is how often the phone did not answer.
type KeyRequests struct{ PLI, FIR, Missing int64 }

// Stats returns the figures.
func (l *Leg) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	return Stats{Audio: l.audio.figures(), Video: l.video.figures(), Digits: l.digitsIn, KeyRequests: l.requests}
}

// figures returns the figures of a track; Leg.mu is held.
func (t *track) figures() TrackStats {
	st := t.stats
	st.Latched, st.Remote, st.Jitter = t.latch.latched(), t.latch.remote(), t.arrived.Meter.Jitter()
	if t.jitter != nil {
		st.Lost = t.jitter.Stats().Lost
	}
	s := t.out.figures()
	st.Sent, st.SentBytes, st.Unsent = s.packets, s.bytes, s.unsent
	return st
}
