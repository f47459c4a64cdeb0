package line

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"transponder/internal/sip/dialog"
)

// The times are those of RFC 3261, 17.1.1.2, table 4: timer A doubles until B.
func TestInviteIsRepeated(t *testing.T) {
	b := newRig(t)
	b.send(request("INVITE", 1), overUDP)
	b.run(2 * time.Minute)
	b.wantTimes("INVITE", 0, 500*ms, 1500*ms, 3500*ms, 7500*ms, 15500*ms, 31500*ms)
	b.wantGot()
	b.wantEmpty()
	branches := map[string]bool{}
	for _, s := range b.sent {
		branches[s.m.top.branch] = true
	}
	if len(branches) != 1 || !strings.HasPrefix(b.last().m.top.branch, cookie) || !b.last().m.top.wantsPort {
		t.Errorf("branches %v, Via %v: want one branch, and rport", branches, b.last().m.vias)
	}
}

// Timer E doubles until T2 (RFC 3261, 17.1.2.2).
func TestRequestIsRepeated(t *testing.T) {
	b := newRig(t)
	b.send(request("REGISTER", 1), overUDP)
	b.run(time.Minute)
	b.wantTimes("REGISTER", 0, 500*ms, 1500*ms, 3500*ms, 7500*ms, 11500*ms, 15500*ms, 19500*ms, 23500*ms, 27500*ms, 31500*ms)
	b.wantEmpty()
}

func TestNothingIsRepeatedOverTCP(t *testing.T) {
	b := newRig(t)
	b.send(request("INVITE", 1), Path{Transport: "tcp", Remote: peerA})
	b.send(request("OPTIONS", 2), Path{Transport: "tcp", Remote: peerA})
	b.run(2 * time.Minute)
	b.wantTimes("INVITE", 0)
	b.wantTimes("OPTIONS", 0)
	b.wantEmpty()
}

func TestProgressStopsRepetition(t *testing.T) {
	b := newRig(t)
	b.send(request("INVITE", 1), overUDP)
	b.run(700 * ms)
	for range 12 {
		b.respond(b.sent[0], fromA, 180, "x")
		b.run(10 * time.Second)
	}
	b.wantTimes("INVITE", 0, 500*ms)
	b.respond(b.sent[0], fromA, 200, "x")
	b.wantGot(append(slices.Repeat([]string{"180"}, 12), "200")...)
	b.run(2 * time.Minute)
	b.wantEmpty()
}

// Every 2xx reaches the owner, who acknowledges it: repetitions, and those of other phones (RFC 6026, 7.2).
func TestAnswersReachTheOwner(t *testing.T) {
	b := newRig(t)
	b.send(request("INVITE", 1), overUDP)
	b.respond(b.last(), fromA, 200, "x")
	b.run(500 * ms)
	b.respond(b.last(), fromA, 200, "x")
	b.respond(b.last(), fromA, 200, "y")
	b.respond(b.last(), fromA, 180, "y")
	b.run(63 * time.Second)
	b.respond(b.last(), fromA, 200, "x")
	b.wantGot("200", "200", "200", "200")
	b.wantTimes("ACK")
	b.run(time.Minute)
	b.respond(b.last(), fromA, 200, "x")
	b.wantGot("200", "200", "200", "200")
	if n := b.tx.counts.unmatched.Load(); n != 1 {
		t.Errorf("%d responses unmatched, want 1", n)
	}
	b.wantEmpty()
}

// Each 487 is acknowledged, and one is told (RFC 3261, 17.1.1.3).
func TestRefusalIsAcknowledged(t *testing.T) {
	b := newRig(t)
	b.send(request("INVITE", 1), overUDP)
	invite := b.last()
	b.respond(invite, fromA, 180, "x")
	b.respond(invite, fromA, 487, "x")
	b.run(500 * ms)
	b.respond(invite, fromA, 487, "x")
	b.respond(invite, fromA, 487, "y")
	b.wantGot("180", "487")
	b.wantTimes("ACK", 0, 500*ms, 500*ms)
	ack := b.last().m
	h := ack.request.Header
	if ack.vias[0] != invite.m.vias[0] || h.Get("CSeq") != "1 ACK" || dialog.ParseAddress(h.Get("To")).Param("tag") != "y" ||
		h.Get("Route") != "<sip:proxy.example.com;lr>" || ack.request.URI != "sip:bob@example.com" {
		t.Errorf("ACK: %v %v %v", ack.request.URI, ack.vias, h)
	}
	b.run(time.Minute)
	b.respond(invite, fromA, 200, "z") // a phone that was faster than the CANCEL
	b.wantGot("180", "487", "200")
	b.run(3 * time.Minute)
	b.wantEmpty()
}

// CANCEL has the Via of its INVITE, and goes to the same address, wherever its path leads (RFC 3261, 9.1).
func TestCancel(t *testing.T) {
	b := newRig(t)
	b.send(request("INVITE", 7), overUDP)
	invite := b.last()
	b.respond(invite, fromA, 180, "x")
	b.send(request("CANCEL", 7), Path{Transport: "tcp", Remote: peerB})
	cancel := b.last()
	if cancel.m.vias[0] != invite.m.vias[0] || cancel.to != invite.to {
		t.Errorf("CANCEL goes to %v with %v, the INVITE went to %v with %v", cancel.to, cancel.m.vias, invite.to, invite.m.vias)
	}
	b.run(600 * ms)
	b.wantTimes("CANCEL", 0, 500*ms)
	b.respond(cancel, fromA, 200, "x")
	b.respond(cancel, fromA, 200, "x")
	b.respond(invite, fromA, 487, "x")
	b.wantGot("180", "200", "487")
	b.run(2 * time.Minute)
	b.send(request("CANCEL", 7), overUDP)
	b.wantGot("180", "200", "487", errNoTransaction.Error())
	b.run(time.Minute)
	b.wantEmpty()
}

// After CANCEL without any answer, a late 2xx still reaches the owner.
func TestCancelUnanswered(t *testing.T) {
	b := newRig(t)
	b.send(request("INVITE", 7), overUDP)
	invite := b.last()
	b.respond(invite, fromA, 180, "x")
	b.send(request("CANCEL", 7), overUDP)
	b.run(50 * time.Second)
	b.respond(invite, fromA, 200, "x")
	b.wantGot("180", "200")
	b.run(2 * time.Minute)
	b.wantEmpty()
}

// A response must come the way of the request: a challenge over UDP to a request over TLS is not answered.
func TestResponseOverAnotherTransport(t *testing.T) {
	tls := Path{Transport: "tls", Remote: peerA, ServerName: "example.com"}
	tests := []struct {
		name string
		path Path
		from Origin
		want bool
	}{
		{"UDP for TLS", tls, fromA, false},
		{"TCP for TLS", tls, Origin{Transport: "tcp", Source: peerA}, false},
		{"a connection that the peer made", tls, Origin{Transport: "tls", Source: peerA}, false},
		{"our TLS connection", tls, Origin{Transport: "tls", Source: peerA, serverName: "example.com"}, true},
		{"another TCP connection", Path{Transport: "tcp", Remote: peerA}, Origin{Transport: "tcp", Source: netip.MustParseAddrPort("192.0.2.1:999")}, true},
		{"another TCP peer", Path{Transport: "tcp", Remote: peerA}, Origin{Transport: "tcp", Source: peerB}, false},
		{"another UDP port", overUDP, Origin{Transport: "udp", Source: peerB}, true},
	}
	for _, test := range tests {
		b := newRig(t)
		b.send(request("REGISTER", 1), test.path)
		b.respond(b.last(), test.from, 401, "x")
		if got := len(b.got) == 1; got != test.want {
			t.Errorf("%s: taken: %v, want %v", test.name, got, test.want)
		}
	}
}

// The next address is tried after silence, a refused connection and 503 (RFC 3263, 4.3), but not within a dialog.
func TestNextAddress(t *testing.T) {
	twoUDP := Path{Transport: "udp", Remote: peerA, Local: ourIP, more: []netip.AddrPort{peerB}}
	tests := []struct {
		name string
		run  func(*rig)
		to   netip.AddrPort
		got  []string
	}{
		{"silence", func(b *rig) {
			b.send(request("INVITE", 1), twoUDP)
			b.run(3900 * ms)
			if b.last().to.remote != peerA {
				b.t.Error("the next address is tried too early")
			}
			b.run(200 * ms)
			b.respond(b.last(), Origin{Transport: "udp", Source: peerB}, 200, "x")
		}, peerB, []string{"200"}},
		{"silence, and a late answer", func(b *rig) {
			b.send(request("INVITE", 1), twoUDP)
			b.run(5 * time.Second)
			b.respond(b.sent[0], fromA, 180, "a")
			b.respond(b.sent[0], fromA, 200, "a")
		}, peerB, []string{"200"}},
		{"503", func(b *rig) {
			b.send(request("INVITE", 1), twoUDP)
			b.respond(b.last(), fromA, 503, "x")
			b.wantTimes("ACK", 0)
			b.respond(b.last(), Origin{Transport: "udp", Source: peerB}, 503, "y")
		}, peerB, []string{"503"}},
		{"503 to REGISTER", func(b *rig) {
			b.send(request("REGISTER", 1), twoUDP)
			b.respond(b.last(), fromA, 503, "x")
		}, peerB, nil},
		{"refused", func(b *rig) {
			b.made = true
			path := Path{Transport: "tcp", Remote: peerA, more: []netip.AddrPort{peerB}}
			b.send(request("REGISTER", 1), path)
			b.tx.lost(b.now, path.route(), errors.New("refused"))
		}, peerB, nil},
		{"both refused", func(b *rig) {
			b.fails[peerA], b.fails[peerB] = errors.New("refused A"), errors.New("refused B")
			b.send(request("REGISTER", 1), Path{Transport: "tcp", Remote: peerA, more: []netip.AddrPort{peerB}})
		}, netip.AddrPort{}, []string{"send REGISTER to 192.0.2.2:5060 over tcp: refused B"}},
		{"an answer, then silence", func(b *rig) {
			b.send(request("INVITE", 1), twoUDP)
			b.respond(b.last(), fromA, 100, "x")
			b.run(10 * time.Second)
		}, peerA, []string{"100"}},
		{"503 after CANCEL", func(b *rig) {
			b.send(request("INVITE", 1), twoUDP)
			invite := b.last()
			b.respond(invite, fromA, 180, "x")
			b.send(request("CANCEL", 1), overUDP)
			b.respond(invite, fromA, 503, "x")
		}, peerA, []string{"180", "503"}},
		{"within a dialog", func(b *rig) {
			r := request("BYE", 1)
			r.Header = slices.DeleteFunc(r.Header, func(f dialog.Field) bool { return f.Name == "To" })
			r.Header = append(r.Header, dialog.Field{Name: "To", Value: "<sip:bob@example.com>;tag=2"})
			b.send(r, twoUDP)
			b.respond(b.last(), fromA, 503, "")
		}, peerA, []string{"503"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := newRig(t)
			test.run(b)
			b.wantGot(test.got...)
			if test.to.IsValid() {
				if got := b.last(); got.to.remote != test.to && got.m.kind() != "ACK" {
					t.Errorf("the last message went to %v, want %v", got.to.remote, test.to)
				}
			}
			b.run(time.Hour)
			b.wantEmpty()
		})
	}
}

// An old connection may be closed by the peer at the moment when we use it: the request is sent once more.
func TestBrokenConnection(t *testing.T) {
	path := Path{Transport: "tcp", Remote: peerA}
	for _, made := range []bool{true, false} { // a request before may have made the next connection
		b := newRig(t)
		b.send(request("OPTIONS", 1), path)
		b.made = made
		b.tx.lost(b.now, path.route(), errors.New("closed"))
		b.wantTimes("OPTIONS", 0, 0)
		b.wantGot()
		b.tx.lost(b.now, path.route(), errors.New("closed"))
		b.wantGot("send OPTIONS to 192.0.2.1:5060 over tcp: closed")
		b.wantEmpty()
	}
}

func TestIllegalRequestIsUnsent(t *testing.T) {
	b := newRig(t)
	r := request("INVITE", 1)
	r.Header[0].Value = "a\r\nb"
	b.send(r, overUDP)
	b.send(request("INVITE", 1), Path{})
	r = request("ACK", 1)
	r.URI = ""
	b.send(r, overUDP)
	if len(b.sent) > 0 || len(b.got) != 3 {
		t.Errorf("sent %v, told %v", b.sent, b.got)
	}
	b.wantEmpty()
}
