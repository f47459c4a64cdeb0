package line

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"testing"
	"time"

	"transponder/internal/sip/dialog"
)

// rig drives transactions without sockets, with a clock of its own.
type rig struct {
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
	start   = time.Unix(1000, 0)
	peerA   = netip.MustParseAddrPort("192.0.2.1:5060")
	peerB   = netip.MustParseAddrPort("192.0.2.2:5060")
	ourIP   = netip.MustParseAddr("192.0.2.100")
	fromA   = Origin{Transport: "udp", Source: peerA}
	overUDP = Path{Transport: "udp", Remote: peerA, Local: ourIP}
)

func newRig(t *testing.T) *rig {
	b := &rig{t: t, now: start, fails: map[netip.AddrPort]error{}}
	parts := Parts{Incoming: func(r *dialog.Request, _ Origin) { b.inbound = append(b.inbound, r) }}
	g := newGate(func(netip.AddrPort, string) bool { return true }, &counters{})
	b.tx = newTransactions(DefaultConfig().Timers, b, g, parts, func(p Path) string { return p.Local.String() + ":5060" })
	return b
}

func (b *rig) carry(r route, data []byte, dial bool) (bool, error) {
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

func (b *rig) Response(r *dialog.Response, _ Origin) { b.got = append(b.got, strconv.Itoa(r.Code)) }
func (b *rig) Unsent(_ *dialog.Request, err error)   { b.got = append(b.got, err.Error()) }
func (b *rig) send(r *dialog.Request, p Path)        { b.tx.send(b.now, r, p, b) }
func (b *rig) receive(from Origin, data string)      { b.tx.receive(b.now, b.parse(data), from) }
func (b *rig) reply(r *dialog.Request, code int)     { b.tx.reply(b.now, r, answerTo(r, code)) }
func (b *rig) last() sent                            { return b.sent[len(b.sent)-1] }
func (b *rig) respond(to sent, from Origin, code int, tag string) {
	b.receive(from, response(to.m, code, tag))
}

func (b *rig) parse(data string) *message {
	m, err := parse([]byte(data))
	if err != nil {
		b.t.Fatalf("%v in %q", err, data)
	}
	return m
}

// run lets time pass.
func (b *rig) run(d time.Duration) {
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
func (b *rig) times(kind string) []time.Duration {
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

func (b *rig) wantTimes(kind string, want ...time.Duration) {
	b.t.Helper()
	if got := b.times(kind); !slices.Equal(got, want) {
		b.t.Errorf("%s sent at %v, want %v", kind, got, want)
	}
}

func (b *rig) wantGot(want ...string) {
	b.t.Helper()
	if !slices.Equal(b.got, want) {
		b.t.Errorf("the owner was told %q, want %q", b.got, want)
	}
}

func (b *rig) wantEmpty() {
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
