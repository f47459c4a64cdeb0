package line

import (
	"net"
	"net/netip"
	"runtime"
	"strconv"
	"testing"
	"time"
)

// A flood from 10,000 addresses leaves nothing in memory, and does not disturb those we talk to.
func TestFlood(t *testing.T) {
	const sources, packets = 10_000, 10
	short := func(cfg *Config, parts *Parts) {
		cfg.Timers.T1, cfg.Timers.T2 = 20*time.Millisecond, 100*time.Millisecond
		parts.Welcome = func(source netip.AddrPort, _ string) bool { return source.Addr() == netip.MustParseAddr("127.0.0.1") }
	}
	victim, peer := newNode(t, short), newNode(t, short)
	stop := make(chan struct{})
	answered := make(chan int, 1)
	go func() { answered <- callMeanwhile(t, victim, peer, stop) }()
	before := heapSize()
	to := &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: victim.Port("udp")}
	data := []byte(incoming("INVITE", 1, "SIP/2.0/UDP 10.0.0.1;rport;branch=z9hG4bKflood"))
	for i := range sources {
		conn, err := net.DialUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 1, byte(i>>8), byte(i))}, to)
		if err != nil {
			t.Fatal(err)
		}
		for range packets {
			if _, err := conn.Write(data); err != nil {
				t.Fatal(err)
			}
		}
		conn.Close()
	}
	close(stop)
	if n := <-answered; n < 20 {
		t.Errorf("only %d requests were answered during the flood", n)
	}
	if grown := int64(heapSize()) - int64(before); grown > 2<<20 {
		t.Errorf("the heap has grown by %d bytes", grown)
	}
	// The kernel drops what it has no room for. Enough has to arrive for the test to mean something.
	if s := victim.Stats(); s.Strangers < sources {
		t.Errorf("only %d datagrams of strangers were counted", s.Strangers)
	}
}

// callMeanwhile sends one request after another within a call, until stop, and returns how many were answered.
func callMeanwhile(t *testing.T, a, b *node, stop chan struct{}) int {
	path := a.resolve(b.uri(), "udp")
	pace := time.NewTicker(10 * time.Millisecond) // one source may send 200 a second
	defer pace.Stop()
	for n := 0; ; n++ {
		<-pace.C
		r := request("INFO", n)
		r.Header[2].Value += ";tag=2"
		a.Send(r, path, a)
		for done := false; !done; {
			select {
			case <-stop:
				return n
			case <-time.After(patience):
				t.Errorf("request %d gets no answer", n)
				return n
			case in := <-b.requests:
				b.Reply(in.request, answerTo(in.request, 200))
			case got := <-a.got:
				if cseq := got.response.Header.Get("CSeq"); cseq != strconv.Itoa(n)+" INFO" {
					t.Errorf("the answer to request %d is for %s", n, cseq)
				}
				done = true
			}
		}
	}
}

func heapSize() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// A flood from welcome addresses is bounded by the rates, and by the number of transactions.
func TestFloodOfWelcome(t *testing.T) {
	b := newRig(t)
	for i := range maxTransactions + 10*maxPerSecond {
		if i%maxPerSecond == 0 {
			b.run(time.Second)
		}
		if len(b.tx.servers) > maxTransactions {
			t.Fatalf("%d transactions", len(b.tx.servers))
		}
		source := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 5060)
		b.sent = b.sent[:0]
		b.receive(Origin{Transport: "udp", Source: source}, incoming("INVITE", 1, "SIP/2.0/UDP 10.0.0.1;rport;branch=z9hG4bK"+strconv.Itoa(i)))
	}
	if got := b.tx.counts.full.Load(); got != 10*maxPerSecond || len(b.tx.servers) != maxTransactions {
		t.Errorf("%d refused, %d transactions", got, len(b.tx.servers))
	}
	b.run(time.Hour) // nobody answers
	b.wantEmpty()
}
