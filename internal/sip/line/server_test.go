package line

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"transponder/internal/sip/dialog"
)

func TestAnswersToIncomingInvite(t *testing.T) {
	const via = "SIP/2.0/UDP 10.0.0.1:5060;rport;branch=z9hG4bKq"
	t.Run("100 after 200 ms", func(t *testing.T) {
		b := newRig(t)
		b.receive(fromA, incoming("INVITE", 1, via))
		b.run(time.Second)
		b.receive(fromA, incoming("INVITE", 1, via))
		b.wantTimes("100", 200*ms, time.Second)
		if got := b.last(); got.to.remote != peerA || dialog.ParseAddress(got.m.header().Get("To")).Param("tag") != "" || got.dial {
			t.Errorf("the 100 went to %v: %v", got.to, got.m.header())
		}
	})
	t.Run("no 100", func(t *testing.T) {
		b := newRig(t)
		b.receive(fromA, incoming("INVITE", 1, via))
		b.reply(b.inbound[0], 180)
		b.run(time.Second)
		b.wantTimes("100")
		b.wantTimes("180", 0)
	})
	t.Run("a refusal is repeated until the ACK", func(t *testing.T) {
		b := newRig(t)
		b.receive(fromA, incoming("INVITE", 1, via))
		b.reply(b.inbound[0], 486)
		b.run(2 * time.Second)
		b.receive(fromA, incoming("INVITE", 1, via))
		b.receive(fromA, incoming("ACK", 1, via))
		b.run(time.Minute)
		b.wantTimes("486", 0, 500*ms, 1500*ms, 2*time.Second)
		if len(b.inbound) != 1 {
			t.Errorf("%d requests came in, want 1", len(b.inbound))
		}
		b.wantEmpty()
	})
	t.Run("an ACK before any final response", func(t *testing.T) {
		b := newRig(t)
		b.receive(fromA, incoming("INVITE", 1, via))
		b.receive(fromA, incoming("ACK", 1, via))
		if got := b.tx.counts.unmatched.Load(); got != 1 || len(b.inbound) != 1 {
			t.Errorf("%d unmatched, %d requests came in, want 1 and 1", got, len(b.inbound))
		}
	})
	t.Run("the address of a caller is known once the call is accepted", func(t *testing.T) {
		b := newRig(t)
		b.receive(fromA, incoming("INVITE", 1, via))
		b.reply(b.inbound[0], 180)
		if b.tx.gate.knows(b.now, peerA.Addr()) {
			t.Error("it is known while the phone rings")
		}
		if b.reply(b.inbound[0], 200); !b.tx.gate.knows(b.now.Add(knownFor-1), peerA.Addr()) || b.tx.gate.knows(b.now.Add(knownFor), peerA.Addr()) {
			t.Error("it is not known for an hour")
		}
	})
	t.Run("a refusal without an ACK", func(t *testing.T) {
		b := newRig(t)
		b.receive(fromA, incoming("INVITE", 1, via))
		b.reply(b.inbound[0], 486)
		b.run(time.Minute)
		if got := len(b.times("486")); got != 11 {
			t.Errorf("486 sent %d times, want 11", got)
		}
		b.wantEmpty()
	})
	t.Run("a 2xx is repeated by the owner, and its ACK is told", func(t *testing.T) {
		b := newRig(t)
		b.receive(fromA, incoming("INVITE", 1, via))
		b.reply(b.inbound[0], 200)
		b.run(500 * ms)
		b.receive(fromA, incoming("INVITE", 1, via))
		b.reply(b.inbound[0], 200)
		b.reply(b.inbound[0], 486) // too late
		b.receive(fromA, incoming("ACK", 1, "SIP/2.0/UDP 10.0.0.1:5060;rport;branch=z9hG4bKother"))
		b.receive(fromA, incoming("ACK", 1, via)) // by a phone that does not make another branch
		b.wantTimes("200", 0, 500*ms)
		if len(b.inbound) != 3 || b.inbound[1].Method != "ACK" || b.inbound[2].Method != "ACK" {
			t.Errorf("came in: %v", b.inbound)
		}
		b.run(time.Minute)
		b.wantTimes("486")
		b.wantEmpty()
	})
	t.Run("ignored", func(t *testing.T) {
		b := newRig(t)
		b.receive(fromA, incoming("INVITE", 1, via))
		b.tx.ignore(b.inbound[0])
		b.wantEmpty()
		b.receive(fromA, incoming("INVITE", 1, via))
		b.tx.ignore(b.inbound[1])
		b.run(time.Minute)
		if len(b.sent) > 0 || len(b.inbound) != 2 {
			t.Errorf("sent %v, came in %v", b.sent, b.inbound)
		}
	})
	t.Run("a flood of calls that do not exist takes no room", func(t *testing.T) {
		b := newRig(t)
		for i := range 10 {
			for _, method := range []string{"BYE", "INVITE"} {
				via := fmt.Sprintf("SIP/2.0/UDP 10.0.0.1:5060;rport;branch=z9hG4bK%s%d", method, i)
				b.receive(fromA, incoming(method, i, via))
				b.reply(b.inbound[len(b.inbound)-1], 481)
				b.receive(fromA, incoming("ACK", i, via))
			}
		}
		b.wantEmpty()
		b.run(time.Minute)
		if got := len(b.times("481")); got != 20 {
			t.Errorf("481 sent %d times, want 20", got)
		}
	})
}

func TestCancelComesIn(t *testing.T) {
	const via = "SIP/2.0/UDP 10.0.0.1:5060;rport;branch=z9hG4bKq"
	cancelled := func(b *rig) *dialog.Request { return (&Line{}).Cancelled(b.inbound[len(b.inbound)-1]) }
	b := newRig(t)
	b.receive(fromA, incoming("INVITE", 1, via))
	b.receive(fromA, incoming("CANCEL", 1, via))
	if cancelled(b) != b.inbound[0] {
		t.Error("the CANCEL does not lead to its INVITE")
	}
	b.reply(b.inbound[1], 200)
	b.reply(b.inbound[0], 487)
	b.wantTimes("200", 0)
	b.wantTimes("487", 0)
	for name, other := range map[string]struct {
		from Origin
		via  string
	}{
		"another branch": {fromA, via + "2"},
		"another source": {Origin{Transport: "udp", Source: peerB}, via},
	} {
		b.receive(other.from, incoming("CANCEL", 1, other.via))
		if cancelled(b) != nil {
			t.Errorf("%s: it cancels the INVITE", name)
		}
	}
}

// A repeated request is answered again, and not told again. Clients of the time before RFC 3261 have no branch.
func TestRepeatedRequest(t *testing.T) {
	for _, via := range []string{"SIP/2.0/UDP 10.0.0.1;rport;branch=z9hG4bKq", "SIP/2.0/UDP 10.0.0.1;rport;branch=1", "SIP/2.0/UDP 10.0.0.1;rport"} {
		b := newRig(t)
		b.receive(fromA, incoming("OPTIONS", 1, via))
		b.receive(fromA, incoming("OPTIONS", 1, via))
		b.reply(b.inbound[0], 200)
		b.receive(fromA, incoming("OPTIONS", 1, via))
		b.receive(fromA, incoming("OPTIONS", 2, via+"2"))
		b.wantTimes("200", 0, 0)
		if len(b.inbound) != 2 {
			t.Errorf("%s: %d requests came in, want 2", via, len(b.inbound))
		}
		b.run(time.Minute)
		b.wantEmpty()
	}
}

// A response passes through all proxies that the request came through (RFC 3261, 8.2.6.2).
func TestResponseKeepsVias(t *testing.T) {
	b := newRig(t)
	first, second := `SIP/2.0/UDP 10.0.0.1;rport;branch=z9hG4bKq`, `SIP/2.0/TCP [::1]:9;x="a;b, c";branch=z9hG4bKr`
	b.receive(fromA, incoming("OPTIONS", 1, first+", "+second))
	b.reply(b.inbound[0], 200)
	want := []string{"SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKq;rport=5060;received=192.0.2.1", second}
	if got := b.last().m.vias; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
