package lean

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/stun/v4"

	"transponder/internal/rtc/udp"
)

// TestMoves: a peer is sent to where it says, or else where it is; what is not signed moves nothing.
func TestMoves(t *testing.T) {
	r := newReceiver(t)
	p := newPeer(t, r, offer(t, "chromium"))
	defer p.Close()
	first, second := netip.MustParseAddrPort("127.0.0.1:9"), netip.MustParseAddrPort("127.0.0.1:13")
	nominate := stun.RawAttribute{Type: stun.AttrUseCandidate}
	forged := p.check(t, nominate)
	forged[len(forged)-20] ^= 1 // in the integrity
	sound := func(seq uint16) []byte {
		return p.packet(t, rtp.Header{PayloadType: p.audio.section.PayloadType, SequenceNumber: seq, SSRC: 7}, []byte{1})
	}
	once := sound(2)
	repeated := slices.Clone(once)
	steps := []struct {
		name string
		at   time.Duration
		from netip.AddrPort
		data []byte
		want netip.AddrPort
	}{
		{"the first check", 0, first, p.check(t), first},
		{"a forged one", 0, second, forged, first},
		{"one from elsewhere, while the path is in use", 0, second, p.check(t), first},
		{"a nomination", 0, second, p.check(t, nominate), second},
		{"media by the other path", 100 * time.Millisecond, first, sound(1), second},
		{"media after silence on the path", 800 * time.Millisecond, first, once, first},
		{"media repeated by somebody", 2 * time.Second, second, repeated, first},
	}
	for _, step := range steps {
		p.inSocket(t, func(socket *udp.Socket) {
			p.Receive(&udp.Datagram{Socket: socket, Data: step.data, From: step.from, At: r.port.Now() + step.at})
		})
		p.mu.Lock()
		if p.path.addr != step.want {
			t.Errorf("after %s it is sent to %v, want %v", step.name, p.path.addr, step.want)
		}
		p.mu.Unlock()
	}
}
