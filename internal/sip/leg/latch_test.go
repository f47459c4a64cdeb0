package leg

import (
	"net/netip"
	"testing"
	"time"
)

var (
	phone      = netip.MustParseAddrPort("192.0.2.1:4000") // as the SDP says
	phoneMoved = netip.MustParseAddrPort("192.0.2.1:4002")
	signalling = netip.MustParseAddrPort("198.51.100.7:9000") // where the SIP messages come from
	elsewhere  = netip.MustParseAddrPort("203.0.113.5:4000")
)

// TestLatch: packets and agreements in turn; each packet is accepted or not, and then we send to an address.
func TestLatch(t *testing.T) {
	type move struct {
		at     time.Duration
		told   netip.AddrPort // a new agreement
		from   netip.AddrPort // or a packet
		taken  bool
		remote netip.AddrPort
	}
	agree := func(at time.Duration, told, remote netip.AddrPort) move {
		return move{at: at, told: told, remote: remote}
	}
	none := netip.AddrPort{}
	const ms, s = time.Millisecond, time.Second
	tests := []struct {
		name  string
		latch latch
		moves []move
	}{
		{"nothing before the first agreement", latch{}, []move{
			{from: phone, remote: none},
			agree(ms, phone, phone),
			{at: 2 * ms, from: phone, taken: true, remote: phone},
		}},
		{"strangers before and after", latch{}, []move{
			agree(0, phone, phone),
			{from: elsewhere, remote: phone},
			{at: ms, from: phone, taken: true, remote: phone},
			{at: 2 * ms, from: elsewhere, remote: phone},
			{at: 3 * ms, from: signalling, remote: phone},
			{at: 4 * ms, from: phoneMoved, remote: phone},
			{at: 9 * s, from: elsewhere, remote: phone},
		}},
		{"the SDP is wrong, as Linphone's", latch{}, []move{
			agree(0, phone, phone),
			{at: 100 * ms, from: signalling, taken: true, remote: signalling},
			{at: 110 * ms, from: elsewhere, remote: signalling},
			{at: 5 * s, from: signalling, taken: true, remote: signalling},
			{at: 5*s + ms, from: phone, remote: signalling},
		}},
		{"the address of the SDP wins over another that came first", latch{}, []move{
			agree(0, phone, phone),
			{at: 100 * ms, from: signalling, taken: true, remote: signalling},
			{at: 110 * ms, from: phone, taken: true, remote: phone},
			{at: 120 * ms, from: signalling, remote: phone},
		}},
		{"a packet that was sent before the new SDP does not count as the first", latch{}, []move{
			agree(0, signalling, signalling),
			agree(s, phone, phone),
			{at: s + ms, from: signalling, taken: true, remote: phone},
			{at: s + 2*ms, from: phone, taken: true, remote: phone},
			{at: s + 3*ms, from: signalling, remote: phone},
		}},
		{"the phone stays where it was before the new SDP", latch{}, []move{
			agree(0, phoneMoved, phoneMoved),
			agree(s, phone, phone),
			{at: s + ms, from: phoneMoved, taken: true, remote: phone},
			{at: 4*s - ms, from: phoneMoved, taken: true, remote: phone},
			{at: 6 * s, from: phoneMoved, taken: true, remote: phoneMoved},
		}},
		{"too late to be learned", latch{}, []move{
			agree(0, phone, phone),
			{at: 3 * s, from: signalling, remote: phone},
			{at: 3 * s, from: phoneMoved, taken: true, remote: phoneMoved}, // silence, and the same host
		}},
		{"a NAT gives another port", latch{}, []move{
			agree(0, phone, phone),
			{at: ms, from: phone, taken: true, remote: phone},
			{at: 2*s - ms, from: phoneMoved, remote: phone},
			{at: 2*s + ms, from: phoneMoved, taken: true, remote: phoneMoved},
			{at: 2*s + 2*ms, from: phone, remote: phoneMoved},
		}},
		{"a new SDP with a new port", latch{}, []move{
			agree(0, phone, phone),
			{at: ms, from: phone, taken: true, remote: phone},
			agree(10*s, phoneMoved, phoneMoved),
			{at: 10*s + ms, from: phone, taken: true, remote: phoneMoved}, // on the way since before
			{at: 10*s + 2*ms, from: phoneMoved, taken: true, remote: phoneMoved},
			{at: 10*s + 3*ms, from: phone, remote: phoneMoved},
		}},
		{"a new SDP, but the phone stays", latch{}, []move{
			agree(0, phone, phone),
			{at: ms, from: phone, taken: true, remote: phone},
			agree(10*s, phoneMoved, phoneMoved),
			{at: 12 * s, from: phone, taken: true, remote: phoneMoved},
			{at: 13 * s, from: phone, taken: true, remote: phone},
			{at: 13*s + ms, from: elsewhere, remote: phone},
		}},
		{"a new SDP without an address, as old holds", latch{}, []move{
			agree(0, phone, phone),
			{at: ms, from: phone, taken: true, remote: phone},
			agree(10*s, none, phone),
			agree(20*s, phone, phone),
			{at: 20*s + ms, from: phone, taken: true, remote: phone},
		}},
		{"the same SDP again lets the signalling host take over for a moment", latch{}, []move{
			agree(0, phone, phone),
			{at: ms, from: phone, taken: true, remote: phone},
			agree(10*s, phone, phone),
			{at: 10*s + ms, from: signalling, taken: true, remote: signalling},
			{at: 10*s + 2*ms, from: elsewhere, remote: signalling},
			{at: 10*s + 3*ms, from: phone, taken: true, remote: phone},
			{at: 10*s + 4*ms, from: signalling, remote: phone},
		}},
		{"the same SDP again, and the phone goes on", latch{}, []move{
			agree(0, phone, phone),
			{at: ms, from: phone, taken: true, remote: phone},
			agree(10*s, phone, phone),
			{at: 10*s + ms, from: phone, taken: true, remote: phone},
			{at: 10*s + 2*ms, from: signalling, remote: phone},
		}},
		{"strict", latch{strict: true}, []move{
			agree(0, phone, phone),
			{at: ms, from: signalling, remote: phone},
			{at: 5 * s, from: phoneMoved, remote: phone},
			{at: 6 * s, from: phone, taken: true, remote: phone},
			agree(10*s, phoneMoved, phoneMoved),
			{at: 10*s + ms, from: phoneMoved, taken: true, remote: phoneMoved},
		}},
		{"anybody", latch{any: true}, []move{
			agree(0, phone, phone),
			{at: ms, from: elsewhere, taken: true, remote: elsewhere},
			{at: 2 * ms, from: signalling, remote: elsewhere},
			{at: 3 * ms, from: phone, taken: true, remote: phone},
			{at: 4 * ms, from: elsewhere, remote: phone},
		}},
		{"not anybody for ever", latch{any: true}, []move{
			agree(0, phone, phone),
			{at: 3 * s, from: elsewhere, remote: phone},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := tt.latch
			l.learn = 3 * time.Second
			for i, m := range tt.moves {
				if m.from.IsValid() {
					v := l.judge(m.from, m.at)
					if v != stranger {
						l.heard(m.from, v, m.at)
					}
					if (v != stranger) != m.taken {
						t.Errorf("move %d: a packet from %v was taken: %v", i, m.from, v != stranger)
					}
				} else {
					l.agree(m.told, signalling.Addr(), m.at)
				}
				if got := l.remote(); got != m.remote {
					t.Errorf("move %d: we send to %v, want %v", i, got, m.remote)
				}
			}
		})
	}
}

// TestAllowance: an address that never answers gets 250 packets, or those of 5 s; another agreement with the same address changes nothing.
func TestAllowance(t *testing.T) {
	for _, tt := range []struct {
		name string
		gap  time.Duration
		want int
	}{
		{"silence", 20 * time.Millisecond, 250},
		{"a picture", time.Millisecond, 250},
		{"few packets", time.Second, 5},
	} {
		a, sent := allowance{}, 0
		for i := range 1000 {
			a.aim(phone, false, time.Duration(i)*tt.gap)
			if a.spend(time.Duration(i) * tt.gap) {
				sent++
			}
		}
		if sent != tt.want {
			t.Errorf("%s: %d packets were sent, want %d", tt.name, sent, tt.want)
		}
		if a.aim(phone, true, time.Hour); !a.spend(time.Hour) {
			t.Errorf("%s: nothing is sent to a phone that has answered", tt.name)
		}
		if a.aim(elsewhere, false, time.Hour); !a.spend(time.Hour) || a.proven {
			t.Errorf("%s: another address has no allowance of its own", tt.name)
		}
	}
	if a := (allowance{}); a.spend(0) {
		t.Error("something is sent to nowhere")
	}
	a, sent := allowance{}, 0
	for i := range 100 { // many addresses in turn
		now := time.Duration(i) * 100 * time.Millisecond
		a.aim(netip.AddrPortFrom(phone.Addr(), uint16(1000+i)), false, now)
		for range 10 {
			if a.spend(now) {
				sent++
			}
		}
	}
	if sent != 10*allowedMoves {
		t.Errorf("100 addresses got %d packets, want those of %d addresses", sent, allowedMoves)
	}
}
