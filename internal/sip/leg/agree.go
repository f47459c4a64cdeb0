package leg

import (
	"net/netip"
	"time"

	"transponder/internal/media"
	"transponder/internal/rtc"
	"transponder/internal/sip/sdp"
)

// Agree takes a new agreement of offer and answer. signalling is the address from which the phone's SIP messages come.
func (l *Leg) Agree(a sdp.Agreement, signalling netip.Addr) {
	audio, video := l.placeOf(a.Audio), l.placeOf(a.Video)
	l.mu.Lock()
	defer l.unlock()
	now := l.legs.clock()
	l.agree(&l.audio, a.Audio, audio, signalling, now)
	l.agree(&l.video, a.Video, video, signalling, now)
	l.talked = l.talked || a.Audio != nil && a.Audio.Direction.Sends()
	sound, picture := newSoundTerms(l.audio.flow), newPictureTerms(l.video.flow)
	l.voice.agree(sound)
	l.player.agree(sound, picture)
	l.agreed = true
	l.replay()
	l.expect()
	if audio.named || video.named {
		select {
		case l.names <- struct{}{}:
		default:
		}
	}
}

// agree sets what is agreed on for a track; mu is held.
func (l *Leg) agree(t *track, flow *sdp.Flow, at place, signalling netip.Addr, now time.Duration) {
	if t.pair.rtp == nil {
		return
	}
	t.flow = flow
	if flow == nil {
		t.types = [128]payloadType{}
		t.out.aim(netip.AddrPort{}, false, now)
		return
	}
	if t.reportAt == 0 {
		t.reportAt = now + reportPause()/4
	}
	types, codecs := classify(t.kind, flow)
	t.types = types
	l.prepare(t, codecs)
	l.encrypt(t)
	if at.rtp != t.latch.told {
		t.rtcpFrom = netip.AddrPort{}
	}
	t.told, t.mux = at.rtcp, at.mux
	t.latch.agree(at.rtp, signalling, now)
	t.aim(now)
}

// prepare lets the jitter buffer follow the codecs that were agreed on; mu is held.
func (l *Leg) prepare(t *track, codecs map[uint8]media.Codec) {
	sprop := t.flow.Send.ParameterSets()
	if t.jitter != nil {
		t.jitter.SetTypes(codecs, sprop)
		t.jitter.Restart()
		return
	}
	cfg := rtc.DefaultJitterBufferConfig()
	cfg.Codec, cfg.Types, cfg.SpropParameterSets = t.flow.Send.Codec.Media(), codecs, sprop
	cfg.TakeOver = 0  // the latch has checked where packets come from
	cfg.PLIGap = beat // keyFrames has the gap
	cfg.Restarted = func() { l.frames.Restarted(t.kind) }
	t.jitter = rtc.NewJitterBuffer(cfg, inlet{l})
}

// encrypt sets the keys of both directions; mu is held. A key that has not changed keeps its context, and so its rollover counter.
func (l *Leg) encrypt(t *track) {
	var err error
	if key := t.flow.Decrypt; !sameKey(key, t.key) {
		t.key = key
		if t.open, err = newContext(key); err != nil {
			l.log.Warn("cannot decrypt the media of a phone", "err", err)
		}
	}
	changed, err := t.out.encrypt(t.flow.Encrypt)
	if changed {
		t.sealRTCP, _ = newContext(t.flow.Encrypt) // with the same error
	}
	if err != nil {
		l.log.Warn("cannot encrypt the media to a phone", "err", err)
	}
}

// expect tells the stream what the phone will not send, so that nobody waits for it; mu is held.
func (l *Leg) expect() {
	src := l.src
	if src == nil || !l.started {
		return
	}
	if l.audio.flow == nil {
		l.later = append(l.later, src.NoAudio)
	}
	if !l.video.receives() {
		l.later = append(l.later, src.NoVideo)
	}
}
