package line

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"transponder/internal/sip/dialog"
)

// bench drives transactions without sockets, with a clock of its own.
type bench struct {
	t   *testing.T
	tx  *transactions
	now time.Time

	sent    []sent
	fails   map[netip.AddrPort]error
	made    bool // what carry says
	inbound []*dialog.Request
	got     []string // what owners were told
}

type sent struct {
	at   time.Duration
	to   route
	m    *message
	dial bool
}

var (
	start  = time.Unix(1000, 0)
	peerA  = netip.MustParseAddrPort("192.0.2.1:5060")
	peerB  = netip.MustParseAddrPort("192.0.2.2:5060")
	ourIP  = netip.MustParseAddr("192.0.2.100")
	fromA  = Origin{Transport: "udp", Source: peerA}
	overUD = Path{Transport: "udp", Remote: peerA, Local: ourIP}
)

func newBench(t *testing.T) *bench {
	b := &bench{t: t, now: start, fails: map[netip.AddrPort]error{}}
	parts := Parts{Incoming: func(r *dialog.Request, _ Origin) { b.inbound = append(b.inbound, r) }}
	g := newGate(func(netip.AddrPort, string) bool { return true }, &counters{})
	b.tx = newTransactions(DefaultConfig().Timers, b, g, parts, func(p Path) string { return p.Local.String() + ":5060" })
	return b
}

func (b *bench) carry(r route, data []byte, dial bool) (bool, error) {
	if err := b.fails[r.remote]; err != nil {
		return false, err
	}
	m, err := parse(data)
	if err != nil {
		b.t.Fatalf("we sent %q: %v", data, err)
	}
	b.sent = append(b.sent, sent{b.now.Sub(start), r, m, dial})
	return b.made, nil
}

func (b *bench) Response(r *dialog.Response, _ Origin) { b.got = append(b.got, strconv.Itoa(r.Code)) }
func (b *bench) Unsent(_ *dialog.Request, err error)   { b.got = append(b.got, err.Error()) }
func (b *bench) send(r *dialog.Request, p Path)        { b.tx.send(b.now, r, p, b) }
func (b *bench) receive(from Origin, data string)      { b.tx.receive(b.now, b.parse(data), from) }
func (b *bench) reply(r *dialog.Request, code int)     { b.tx.reply(b.now, r, answerTo(r, code)) }
func (b *bench) last() sent                            { return b.sent[len(b.sent)-1] }
func (b *bench) respond(to sent, from Origin, code int, tag string) {
	b.receive(from, response(to.m, code, tag))
}

func (b *bench) parse(data string) *message {
	m, err := parse([]byte(data))
	if err != nil {
		b.t.Fatalf("%v in %q", err, data)
	}
	return m
}

// run lets time pass.
func (b *bench) run(d time.Duration) {
	end := b.now.Add(d)
	for {
		next := b.tx.schedule.next()
		if next.IsZero() || next.After(end) {
			break
		}
		b.now = next
		b.tx.schedule.run(next)
	}
	b.now = end
}

// times returns when messages of a kind were sent: "INVITE", or "200".
func (b *bench) times(kind string) []time.Duration {
	var at []time.Duration
	for _, s := range b.sent {
		if s.m.kind() == kind {
			at = append(at, s.at)
		}
	}
	return at
}

func (m *message) kind() string {
	if m.request != nil {
		return m.request.Method
	}
	return strconv.Itoa(m.response.Code)
}

func (b *bench) wantTimes(kind string, want ...time.Duration) {
	b.t.Helper()
	if got := b.times(kind); !slices.Equal(got, want) {
		b.t.Errorf("%s sent at %v, want %v", kind, got, want)
	}
}

func (b *bench) wantGot(want ...string) {
	b.t.Helper()
	if !slices.Equal(b.got, want) {
		b.t.Errorf("the owner was told %q, want %q", b.got, want)
	}
}

func (b *bench) wantEmpty() {
	b.t.Helper()
	if len(b.tx.clients)+len(b.tx.servers)+len(b.tx.invites)+len(b.tx.schedule.timers) > 0 {
		b.t.Errorf("left over: %v, %v, %v, %d timers", b.tx.clients, b.tx.servers, b.tx.invites, len(b.tx.schedule.timers))
	}
}

func request(method string, seq int) *dialog.Request {
	return &dialog.Request{Method: method, URI: "sip:bob@example.com", Header: dialog.Header{
		{Name: "Route", Value: "<sip:proxy.example.com;lr>"},
		{Name: "From", Value: "<sip:a@example.com>;tag=1"}, {Name: "To", Value: "<sip:bob@example.com>"},
		{Name: "Call-ID", Value: "c1"}, {Name: "CSeq", Value: fmt.Sprintf("%d %s", seq, method)},
	}}
}

// response returns the bytes of a response to a request that was sent.
func response(to *message, code int, tag string) string {
	h := to.header()
	data, err := writeResponse(&dialog.Response{Code: code, Phrase: "x", Header: dialog.Header{
		{Name: "From", Value: h.Get("From")}, {Name: "To", Value: h.Get("To") + ";tag=" + tag},
		{Name: "Call-ID", Value: h.Get("Call-ID")}, {Name: "CSeq", Value: h.Get("CSeq")},
	}}, to.vias)
	if err != nil {
		panic(err)
	}
	return string(data)
}

func answerTo(r *dialog.Request, code int) *dialog.Response {
	p := &dialog.Response{Code: code, Phrase: "x"}
	for _, name := range []string{"From", "To", "Call-ID", "CSeq"} {
		p.Header = append(p.Header, dialog.Field{Name: name, Value: r.Header.Get(name)})
	}
	return p
}

// incoming returns the bytes of a request from outside.
func incoming(method string, seq int, via string) string {
	r := request(method, seq)
	data, err := writeRequest(r, via)
	if err != nil {
		panic(err)
	}
	return string(data)
}

const ms = time.Millisecond

// The times are those of RFC 3261, 17.1.1.2, table 4: timer A doubles until B.
func TestInviteIsRepeated(t *testing.T) {
	b := newBench(t)
	b.send(request("INVITE", 1), overUD)
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
	b := newBench(t)
	b.send(request("REGISTER", 1), overUD)
	b.run(time.Minute)
	b.wantTimes("REGISTER", 0, 500*ms, 1500*ms, 3500*ms, 7500*ms, 11500*ms, 15500*ms, 19500*ms, 23500*ms, 27500*ms, 31500*ms)
	b.wantEmpty()
}

func TestNothingIsRepeatedOverTCP(t *testing.T) {
	b := newBench(t)
	b.send(request("INVITE", 1), Path{Transport: "tcp", Remote: peerA})
	b.send(request("OPTIONS", 2), Path{Transport: "tcp", Remote: peerA})
	b.run(2 * time.Minute)
	b.wantTimes("INVITE", 0)
	b.wantTimes("OPTIONS", 0)
	b.wantEmpty()
}

func TestProgressStopsRepetition(t *testing.T) {
	b := newBench(t)
	b.send(request("INVITE", 1), overUD)
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
	b := newBench(t)
	b.send(request("INVITE", 1), overUD)
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
	b := newBench(t)
	b.send(request("INVITE", 1), overUD)
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
	b := newBench(t)
	b.send(request("INVITE", 7), overUD)
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
	b.send(request("CANCEL", 7), overUD)
	b.wantGot("180", "200", "487", ErrNoTransaction.Error())
	b.run(time.Minute)
	b.wantEmpty()
}

// After CANCEL without any answer, a late 2xx still reaches the owner.
func TestCancelUnanswered(t *testing.T) {
	b := newBench(t)
	b.send(request("INVITE", 7), overUD)
	invite := b.last()
	b.respond(invite, fromA, 180, "x")
	b.send(request("CANCEL", 7), overUD)
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
		{"another UDP port", overUD, Origin{Transport: "udp", Source: peerB}, true},
	}
	for _, test := range tests {
		b := newBench(t)
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
		run  func(*bench)
		to   netip.AddrPort
		got  []string
	}{
		{"silence", func(b *bench) {
			b.send(request("INVITE", 1), twoUDP)
			b.run(3900 * ms)
			if b.last().to.remote != peerA {
				b.t.Error("the next address is tried too early")
			}
			b.run(200 * ms)
			b.respond(b.last(), Origin{Transport: "udp", Source: peerB}, 200, "x")
		}, peerB, []string{"200"}},
		{"silence, and a late answer", func(b *bench) {
			b.send(request("INVITE", 1), twoUDP)
			b.run(5 * time.Second)
			b.respond(b.sent[0], fromA, 180, "a")
			b.respond(b.sent[0], fromA, 200, "a")
		}, peerB, []string{"200"}},
		{"503", func(b *bench) {
			b.send(request("INVITE", 1), twoUDP)
			b.respond(b.last(), fromA, 503, "x")
			b.wantTimes("ACK", 0)
			b.respond(b.last(), Origin{Transport: "udp", Source: peerB}, 503, "y")
		}, peerB, []string{"503"}},
		{"503 to REGISTER", func(b *bench) {
			b.send(request("REGISTER", 1), twoUDP)
			b.respond(b.last(), fromA, 503, "x")
		}, peerB, nil},
		{"refused", func(b *bench) {
			b.made = true
			path := Path{Transport: "tcp", Remote: peerA, more: []netip.AddrPort{peerB}}
			b.send(request("REGISTER", 1), path)
			b.tx.lost(b.now, path.route(), errors.New("refused"))
		}, peerB, nil},
		{"both refused", func(b *bench) {
			b.fails[peerA], b.fails[peerB] = errors.New("refused A"), errors.New("refused B")
			b.send(request("REGISTER", 1), Path{Transport: "tcp", Remote: peerA, more: []netip.AddrPort{peerB}})
		}, netip.AddrPort{}, []string{"send REGISTER to 192.0.2.2:5060 over tcp: refused B"}},
		{"an answer, then silence", func(b *bench) {
			b.send(request("INVITE", 1), twoUDP)
			b.respond(b.last(), fromA, 100, "x")
			b.run(10 * time.Second)
		}, peerA, []string{"100"}},
		{"within a dialog", func(b *bench) {
			r := request("BYE", 1)
			r.Header = slices.DeleteFunc(r.Header, func(f dialog.Field) bool { return f.Name == "To" })
			r.Header = append(r.Header, dialog.Field{Name: "To", Value: "<sip:bob@example.com>;tag=2"})
			b.send(r, twoUDP)
			b.respond(b.last(), fromA, 503, "")
		}, peerA, []string{"503"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := newBench(t)
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
		b := newBench(t)
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

func TestAnswersToIncomingInvite(t *testing.T) {
	const via = "SIP/2.0/UDP 10.0.0.1:5060;rport;branch=z9hG4bKq"
	t.Run("100 after 200 ms", func(t *testing.T) {
		b := newBench(t)
		b.receive(fromA, incoming("INVITE", 1, via))
		b.run(time.Second)
		b.receive(fromA, incoming("INVITE", 1, via))
		b.wantTimes("100", 200*ms, time.Second)
		if got := b.last(); got.to.remote != peerA || dialog.ParseAddress(got.m.header().Get("To")).Param("tag") != "" || got.dial {
			t.Errorf("the 100 went to %v: %v", got.to, got.m.header())
		}
	})
	t.Run("no 100", func(t *testing.T) {
		b := newBench(t)
		b.receive(fromA, incoming("INVITE", 1, via))
		b.reply(b.inbound[0], 180)
		b.run(time.Second)
		b.wantTimes("100")
		b.wantTimes("180", 0)
	})
	t.Run("a refusal is repeated until the ACK", func(t *testing.T) {
		b := newBench(t)
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
	t.Run("a refusal without an ACK", func(t *testing.T) {
		b := newBench(t)
		b.receive(fromA, incoming("INVITE", 1, via))
		b.reply(b.inbound[0], 486)
		b.run(time.Minute)
		if got := len(b.times("486")); got != 11 {
			t.Errorf("486 sent %d times, want 11", got)
		}
		b.wantEmpty()
	})
	t.Run("a 2xx is repeated by the owner, and its ACK is told", func(t *testing.T) {
		b := newBench(t)
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
		b := newBench(t)
		b.receive(fromA, incoming("INVITE", 1, via))
		b.tx.ignore(b.now, b.inbound[0])
		b.receive(fromA, incoming("INVITE", 1, via))
		b.run(time.Minute)
		if len(b.sent) > 0 || len(b.inbound) != 1 {
			t.Errorf("sent %v, came in %v", b.sent, b.inbound)
		}
		b.wantEmpty()
	})
}

func TestCancelComesIn(t *testing.T) {
	const via = "SIP/2.0/UDP 10.0.0.1:5060;rport;branch=z9hG4bKq"
	cancelled := func(b *bench) *dialog.Request { return (&Line{}).Cancelled(b.inbound[len(b.inbound)-1]) }
	b := newBench(t)
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
		b := newBench(t)
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
	b := newBench(t)
	first, second := `SIP/2.0/UDP 10.0.0.1;rport;branch=z9hG4bKq`, `SIP/2.0/TCP [::1]:9;x="a;b, c";branch=z9hG4bKr`
	b.receive(fromA, incoming("OPTIONS", 1, first+", "+second))
	b.reply(b.inbound[0], 200)
	want := []string{"SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKq;rport=5060;received=192.0.2.1", second}
	if got := b.last().m.vias; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// One source that starts too much is blocked; a source within a dialog is not.
func TestRates(t *testing.T) {
	b := newBench(t)
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

func TestIllegalRequestIsUnsent(t *testing.T) {
	b := newBench(t)
	r := request("INVITE", 1)
	r.Header[0].Value = "a\r\nb"
	b.send(r, overUD)
	b.send(request("INVITE", 1), Path{})
	r = request("ACK", 1)
	r.URI = ""
	b.send(r, overUD)
	if len(b.sent) > 0 || len(b.got) != 3 {
		t.Errorf("sent %v, told %v", b.sent, b.got)
	}
	b.wantEmpty()
}
