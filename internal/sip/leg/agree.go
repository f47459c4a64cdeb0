package leg

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"transponder/internal/media"
	"transponder/internal/rtc"
	"transponder/internal/sip/sdp"
)

// resolveTimeout limits the search for the address of a host that an SDP names.
const resolveTimeout = 5 * time.Second

// Agree takes a new agreement of offer and answer. signalling is the address from which the phone's SIP messages come.
func (l *Leg) Agree(a sdp.Agreement, signalling netip.Addr) {
	l.mu.Lock()
	defer l.unlock()
	now := l.legs.clock()
	for _, x := range []struct {
		track *track
		flow  *sdp.Flow
	}{{&l.audio, a.Audio}, {&l.video, a.Video}} {
		if x.track.pair.rtp != nil {
			l.agree(x.track, x.flow, signalling, now)
		}
	}
	sound, picture := newSoundTerms(l.audio.flow), newPictureTerms(l.video.flow)
	l.voice.agree(sound)
	l.player.agree(sound, picture)
	l.expect()
}

// agree sets what is agreed on for a track; mu is held.
func (l *Leg) agree(t *track, flow *sdp.Flow, signalling netip.Addr, now time.Duration) {
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
	l.prepare(t, codecs, flow.Send.ParameterSets())
	l.encrypt(t, flow)
	l.point(t, flow, signalling, now)
}

// prepare lets the jitter buffer follow the codecs that were agreed on; mu is held.
func (l *Leg) prepare(t *track, codecs map[uint8]media.Codec, sprop string) {
	if t.jitter != nil {
		t.jitter.SetTypes(codecs, sprop)
		t.jitter.Restart()
		return
	}
	cfg := rtc.DefaultJitterBufferConfig()
	cfg.Types, cfg.SpropParameterSets = codecs, sprop
	cfg.TakeOver = 0 // the latch has checked where packets come from
	cfg.PLIGap = beat
	cfg.Restarted = func() { l.frames.Restarted(t.kind) }
	for _, codec := range codecs {
		if codec.Kind() == t.kind {
			cfg.Codec = codec
		}
	}
	if c := t.flow.Send.Codec.Media(); c.Kind() == t.kind {
		cfg.Codec = c
	}
	t.jitter = rtc.NewJitterBuffer(cfg, inlet{l})
}

// encrypt sets the keys of both directions; mu is held.
func (l *Leg) encrypt(t *track, flow *sdp.Flow) {
	if !sameKey(flow.Decrypt, t.key) {
		var err error
		if t.open, err = newContext(flow.Decrypt); err != nil {
			l.log.Warn("cannot decrypt the media of a phone", "err", err)
		}
		t.key = flow.Decrypt
	}
	changed, err := t.out.encrypt(flow.Encrypt)
	if changed && err == nil {
		t.sealRTCP, err = newContext(flow.Encrypt)
	}
	if err != nil {
		l.log.Warn("cannot encrypt the media to a phone", "err", err)
	}
}

// point sets where the phone is; mu is held.
func (l *Leg) point(t *track, flow *sdp.Flow, signalling netip.Addr, now time.Duration) {
	t.mux = flow.RTCPPort != 0 && flow.RTCPPort == flow.Port && flow.RTCPAddress == flow.Address
	told, wait := l.address(flow.Address, flow.Port)
	if told != t.latch.told {
		t.rtcpFrom = netip.AddrPort{}
	}
	t.told = told
	if !t.mux {
		var waitRTCP bool
		t.told, waitRTCP = l.address(flow.RTCPAddress, flow.RTCPPort)
		wait = wait || waitRTCP
	}
	t.latch.agree(told, signalling, now)
	t.aim(now)
	if wait {
		select {
		case l.names <- struct{}{}:
		default:
		}
	}
}

// address returns an address of an SDP. It is not valid if media must not go there. wait says that it is a host name, which is to be
// resolved. mu is held.
func (l *Leg) address(host string, port int) (at netip.AddrPort, wait bool) {
	if host == "" || port == 0 {
		return netip.AddrPort{}, false
	}
	a, err := netip.ParseAddr(host)
	if err != nil {
		return netip.AddrPort{}, true
	}
	return l.allowed(host, netip.AddrPortFrom(a.Unmap().WithZone(""), uint16(port))), false
}

// allowed returns an address of a host, or one that is not valid if media must not go there.
func (l *Leg) allowed(host string, to netip.AddrPort) netip.AddrPort {
	if to.Addr().IsUnspecified() { // the old way to say "on hold" (RFC 3264, 8.4)
		return netip.AddrPort{}
	}
	err := l.legs.check(host, to)
	if err == nil && to.Addr().Is4() != l.bind.Unmap().Is4() {
		err = fmt.Errorf("%w: %v is of another family than ours", errAddress, to)
	}
	if err != nil {
		l.log.Warn("nothing is sent to the media address that a phone names", "address", to, "err", err)
		return netip.AddrPort{}
	}
	return to
}

// resolveNames finds the addresses of hosts until ctx ends.
func (l *Leg) resolveNames(ctx context.Context) {
	for {
		select {
		case <-l.names:
		case <-ctx.Done():
			return
		}
		for _, t := range l.tracks() {
			l.resolve(ctx, t)
		}
	}
}

// resolve finds the addresses of the hosts that the agreement of a track names, unless another agreement comes meanwhile.
func (l *Leg) resolve(ctx context.Context, t *track) {
	l.mu.Lock()
	flow := t.flow
	l.mu.Unlock()
	if flow == nil {
		return
	}
	rtp, rtcp := l.lookUp(ctx, flow.Address), l.lookUp(ctx, flow.RTCPAddress)
	l.mu.Lock()
	defer l.unlock()
	if t.flow != flow {
		return
	}
	if rtp.IsValid() {
		t.latch.resolved(l.allowed(flow.Address, netip.AddrPortFrom(rtp, uint16(flow.Port))))
		t.aim(l.legs.clock())
	}
	if rtcp.IsValid() {
		t.told = l.allowed(flow.RTCPAddress, netip.AddrPortFrom(rtcp, uint16(flow.RTCPPort)))
	}
}

// lookUp returns the address of a host name. It is not valid for an address, and if there is none.
func (l *Leg) lookUp(ctx context.Context, host string) netip.Addr {
	if _, err := netip.ParseAddr(host); err == nil || host == "" {
		return netip.Addr{}
	}
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	a, err := l.legs.parts.Resolve(ctx, host)
	if err != nil {
		l.log.Warn("no address is known for the media of a phone", "host", host, "err", err)
	}
	return a.Unmap()
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

// inlet takes media in order from the jitter buffers, with mu held.
type inlet struct{ l *Leg }

var _ rtc.MediaSink = inlet{}

func (i inlet) Video(codec media.Codec, unit []byte, rtpTime uint32, key bool) {
	if key {
		i.l.keys.came()
	}
	i.l.frames.Video(codec, unit, rtpTime, key)
}

func (i inlet) Rotated(degrees int) { i.l.frames.Rotated(degrees) }

func (i inlet) Audio(codec media.Codec, payload []byte, rtpTime uint32) {
	i.l.frames.Audio(codec, payload, rtpTime)
}

func (i inlet) Clock(kind media.Kind, ntp uint64, rtpTime uint32) {
	i.l.frames.Clock(kind, ntp, rtpTime)
}

func (i inlet) Lost(kind media.Kind) { i.l.frames.Lost(kind) }
