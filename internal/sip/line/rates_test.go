package line

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// One source that starts too much is blocked; a source within a dialog is not.
func TestRates(t *testing.T) {
	b := newRig(t)
	via := func(i int) string { return fmt.Sprintf("SIP/2.0/UDP 10.0.0.1;rport;branch=z9hG4bK%d", i) }
	for i := range 30 {
		b.receive(fromA, incoming("OPTIONS", i, via(i)))
	}
	if len(b.inbound) != maxPerSource {
		t.Errorf("%d requests came in, want %d", len(b.inbound), maxPerSource)
	}
	b.run(59 * time.Second)
	b.receive(fromA, incoming("OPTIONS", 50, via(50)))
	if b.tx.gate.admits(b.now, peerA, "udp") || len(b.inbound) != maxPerSource {
		t.Error("the source is not blocked any more")
	}
	overTCP := Origin{Transport: "tcp", Source: peerA}
	b.receive(overTCP, incoming("OPTIONS", 51, "SIP/2.0/TCP 10.0.0.1;branch=z9hG4bKtcp"))
	if !b.tx.gate.admits(b.now, peerA, "tcp") || len(b.inbound) != maxPerSource+1 {
		t.Error("datagrams with the address of a peer have blocked the connection of the peer")
	}
	b.inbound = b.inbound[1:]
	inDialog := strings.Replace(incoming("BYE", 51, via(51)), "To: <sip:bob@example.com>", "To: <sip:bob@example.com>;tag=2", 1)
	b.receive(fromA, inDialog)
	if len(b.inbound) != maxPerSource+1 {
		t.Error("a BYE of the blocked source is lost")
	}
	b.run(2 * time.Second)
	b.receive(fromA, incoming("OPTIONS", 52, via(52)))
	if !b.tx.gate.admits(b.now, peerA, "udp") || len(b.inbound) != maxPerSource+2 {
		t.Error("the source is still blocked after a minute")
	}
	before := len(b.inbound)
	b.run(2 * time.Second)
	for i := range 300 {
		source := Origin{Transport: "udp", Source: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 5060)}
		b.receive(source, incoming("OPTIONS", 1, via(1000+i)))
	}
	if got := len(b.inbound) - before; got != maxPerSecond {
		t.Errorf("%d requests of many sources came in, want %d", got, maxPerSecond)
	}
}
