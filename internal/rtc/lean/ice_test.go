package lean

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/stun/v4"

	"transponder/internal/rtc"
	"transponder/internal/rtc/udp"
)

// TestMoves: packets go to the path that the client nominates, or else to a path that works. Packets without the right
// signature change nothing.
func TestMoves(t *testing.T) {
	r := newReceiver(t)
	p := newRemote(t, r, offer(t, "chromium"))
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
		if p.ice.selected.addr != step.want {
			t.Errorf("after %s it is sent to %v, want %v", step.name, p.ice.selected.addr, step.want)
		}
		p.mu.Unlock()
	}
}

// TestExpires: a session ends when nothing genuine came for Expiry. Forged packets do not keep it alive.
func TestExpires(t *testing.T) {
	expiry := DefaultConfig().Expiry
	from := netip.MustParseAddrPort("127.0.0.1:9")
	sound := func(t *testing.T, p *remote) []byte {
		return p.packet(t, rtp.Header{PayloadType: p.audio.section.PayloadType, SequenceNumber: 1, SSRC: 7}, []byte{1})
	}
	tests := []struct {
		name string
		data func(*testing.T, *remote) []byte // what comes a second before the end
		keep bool
	}{
		{"nothing", nil, false},
		{"a check", func(t *testing.T, p *remote) []byte { return p.check(t) }, true},
		{"media", sound, true},
		{"a forged check", func(t *testing.T, p *remote) []byte {
			b := p.check(t)
			b[len(b)-20] ^= 1
			return b
		}, false},
		{"forged media", func(t *testing.T, p *remote) []byte {
			b := sound(t, p)
			b[len(b)-1] ^= 1
			return b
		}, false},
		{"an answer to no check of ours", func(t *testing.T, p *remote) []byte {
			m, err := stun.Build(stun.TransactionID, stun.BindingSuccess, p.ice.keys.remote, stun.Fingerprint)
			if err != nil {
				t.Fatal(err)
			}
			return m.Raw
		}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newReceiver(t)
			p := newRemote(t, r, offer(t, "chromium"))
			defer p.Close()
			p.inSocket(t, func(socket *udp.Socket) {
				p.Receive(&udp.Datagram{Socket: socket, Data: p.check(t), From: from, Check: true, At: r.port.Now()})
				first := p.ice.heardAt
				if tt.data != nil {
					p.Receive(&udp.Datagram{Socket: socket, Data: tt.data(t, p), From: from, At: first + expiry - time.Second})
				}
				p.tick(socket, first+expiry)
				if p.ended {
					t.Error("it is gone too early")
				}
				p.tick(socket, first+expiry+time.Millisecond)
				if p.ended == tt.keep {
					t.Errorf("gone: %v", p.ended)
				}
				p.tick(socket, first+2*expiry)
				if !p.ended {
					t.Error("it is never gone")
				}
			})
		})
	}
}

// TestCandidates: which candidates are sent checks to, and how many.
func TestCandidates(t *testing.T) {
	r := newReceiver(t)
	o := offer(t, "chromium")
	p := newRemote(t, r, o)
	defer p.Close()
	p.mu.Lock()
	p.ice.candidates = nil
	p.mu.Unlock()
	for candidate, bad := range map[string]bool{
		"1 1 udp 1 0.0.0.0 9 typ host":                  false,
		"1 1 udp 1 224.0.0.1 9 typ host":                false,
		"1 1 udp 1 169.254.169.254 9 typ host":          false,
		"1 1 udp 1 255.255.255.255 9 typ host":          false,
		"1 1 udp 1 192.0.2.1 0 typ host":                false,
		"1 1 tcp 1 192.0.2.1 9 typ host tcptype active": false,
		"1 2 udp 1 192.0.2.1 9 typ host":                false,
		"1 1 udp 1 6ab0e6f5-94dd.local 9 typ host":      false,
		"":                                   false,
		"1 1 udp 1 192.0.2.1 65536 typ host": true,
		"1 1 udp x 192.0.2.1 9 typ host":     true,
		"1 1 udp 1 192.0.2.256 9 typ host":   true,
		"1 1 udp 1 192.0.2.1 -9 typ host":    true,
	} {
		if err := p.AddCandidate(candidate); (err != nil) != bad {
			t.Errorf("%q: %v", candidate, err)
		}
	}
	if len(p.ice.candidates) > 0 {
		t.Errorf("it would send checks to %v", p.ice.candidates)
	}
	c := client(t)
	for i := range 4 * maxCandidates {
		if err := p.AddCandidate(fmt.Sprintf("1 1 UDP 1 127.0.0.1 %d typ host", address(c).Port()+uint16(i/2))); err != nil {
			t.Fatal(err)
		}
	}
	if len(p.ice.candidates) != maxCandidates {
		t.Errorf("%d candidates, want %d", len(p.ice.candidates), maxCandidates)
	}
	p.punch()
	buf := make([]byte, udp.MaxDatagram)
	n, err := c.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	m := stun.Message{Raw: buf[:n]}
	if err := m.Decode(); err != nil || m.Type != stun.BindingRequest || p.ice.keys.remote.Check(&m) != nil {
		t.Errorf("it punches with %v, %v", m.Type, err)
	}
}

// TestRestartKeepsFormer: until the client uses its new user name, checks with the one before count: our answer may be lost. Later they
// do not.
func TestRestartKeepsFormer(t *testing.T) {
	r := newReceiver(t)
	p := newRemote(t, r, offer(t, "chromium"))
	defer p.Close()
	first, second := netip.MustParseAddrPort("127.0.0.1:9"), netip.MustParseAddrPort("127.0.0.1:13")
	at := r.port.Now()
	receive := func(from netip.AddrPort, data []byte) (heard bool) {
		at += 2 * silent
		p.inSocket(t, func(socket *udp.Socket) {
			p.mu.Lock()
			before := p.ice.heardAt
			p.mu.Unlock()
			p.Receive(&udp.Datagram{Socket: socket, Data: data, From: from, At: at})
			p.mu.Lock()
			heard = p.ice.heardAt != before
			p.mu.Unlock()
		})
		return heard
	}
	if !receive(first, p.check(t)) {
		t.Fatal("the first check does not count")
	}
	var names []string
	var lost *keys
	for _, ufrag := range []string{"lost", "came"} {
		names = append(names, p.ice.keys.ufrag)
		if _, err := p.RestartICE(t.Context(), []rtc.ICE{{Ufrag: ufrag, Pwd: "0123456789012345678901"}}); err != nil {
			t.Fatal(err)
		}
		if lost == nil {
			lost = p.ice.keys
		}
	}
	if r.port.User(names[1], false) != nil || r.port.User(names[1], true) != nil {
		t.Error("the user name that the client did not use still counts")
	}
	with := func(k *keys) []byte {
		m, err := stun.Build(stun.TransactionID, stun.BindingRequest, stun.NewUsername(k.ufrag+":"+k.remoteUfrag), k.local, stun.Fingerprint)
		if err != nil {
			t.Fatal(err)
		}
		return m.Raw
	}
	former, present := p.ice.former, p.ice.keys
	if receive(first, with(lost)) {
		t.Error("a check with the user name that the client did not use counts")
	}
	if !receive(first, with(former)) || p.ice.selected.keys != former {
		t.Error("a check with the former user name does not count")
	}
	if !receive(second, with(present)) || p.ice.selected.addr != second || p.ice.selected.keys != present {
		t.Error("a check with the new user name does not move the session")
	}
	if receive(first, with(former)) || p.ice.former != nil || r.port.User(former.ufrag, false) != nil {
		t.Error("a check with the former user name still counts")
	}
}
