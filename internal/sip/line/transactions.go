package line

import (
	"crypto/rand"
	"errors"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"transponder/internal/sip/dialog"
)

// maxTransactions bounds the memory for transactions, of each direction.
const maxTransactions = 8192

var (
	// errNoTransaction means that there is no INVITE that a CANCEL could cancel.
	errNoTransaction = errors.New("there is no INVITE to cancel")
	errFull          = errors.New("too many SIP requests are waiting")
)

// Owner learns what becomes of a request. Its methods are called from the goroutine of the Line: they must not block, and may call the methods
// of the Line.
type Owner interface {
	// Response takes a response. An INVITE can have any number of responses, also several with 2xx.
	Response(*dialog.Response, Origin)
	// Unsent says that a request did not leave, or that the connection broke before any response.
	Unsent(*dialog.Request, error)
}

// wire sends bytes. It never blocks.
type wire interface {
	// carry sends a message. Over TCP and TLS it uses the connection of the route; if there is none and dial is true, it makes one, and
	// reports that. If a connection breaks later, transactions.lost is called.
	carry(r route, data []byte, dial bool) (made bool, err error)
}

// transactions match messages to requests, and repeat them over UDP (RFC 3261, 17). They have no clock and no lock: the goroutine of the Line
// owns them and hands in the time.
type transactions struct {
	timers   Timers
	wire     wire
	counts   *counters
	gate     *gate
	incoming func(*dialog.Request, Origin)
	sentBy   func(Path) string // host and port for Via

	schedule schedule
	clients  map[clientKey]*client
	invites  map[inviteKey]*client // the last INVITE that was sent, to be cancelled
	servers  map[serverKey]*server
	rates    *rates
}

func newTransactions(timers Timers, w wire, g *gate, parts Parts, sentBy func(Path) string) *transactions {
	return &transactions{
		timers: timers, wire: w, gate: g, counts: g.counts, incoming: parts.Incoming, sentBy: sentBy,
		clients: map[clientKey]*client{}, invites: map[inviteKey]*client{}, servers: map[serverKey]*server{}, rates: newRates(),
	}
}

// count publishes how many transactions there are.
func (t *transactions) count() { t.counts.transactions.Store(int64(len(t.clients) + len(t.servers))) }

// send sends a request of ours.
func (t *transactions) send(now time.Time, r *dialog.Request, p Path, o Owner) {
	switch {
	case r.Method == "CANCEL":
		t.sendCancel(now, r, o)
	case !p.Remote.IsValid():
		t.counts.unsent.Add(1)
		o.Unsent(r, errNoAddress)
	case r.Method == "ACK":
		t.sendACK(r, p, o)
	case len(t.clients) >= maxTransactions:
		t.counts.full.Add(1)
		o.Unsent(r, errFull)
	default:
		if !startsDialog(r) {
			p.more = nil
		}
		t.start(now, &client{request: r, path: p, owner: o, via: t.newVia(p)})
	}
}

// sendACK sends the ACK of a 2xx. It belongs to no transaction, and nothing answers it.
func (t *transactions) sendACK(r *dialog.Request, p Path, o Owner) {
	data, err := writeRequest(r, t.newVia(p))
	if err == nil {
		_, err = t.wire.carry(p.route(), data, true)
	}
	if err != nil {
		t.counts.unsent.Add(1)
		o.Unsent(r, err)
	}
}

// sendCancel sends CANCEL the way of its INVITE (RFC 3261, 9.1).
func (t *transactions) sendCancel(now time.Time, r *dialog.Request, o Owner) {
	invite := t.invites[inviteKeyOf(r)]
	if invite == nil {
		t.counts.unsent.Add(1)
		o.Unsent(r, errNoTransaction)
		return
	}
	t.start(now, &client{request: r, path: invite.path, owner: o, via: invite.via})
	invite.path.more = nil // nobody else is to ring now
	t.schedule.set(&invite.end, now.Add(lateness*t.timers.timeout()))
}

// newVia returns the Via of a new transaction.
func (t *transactions) newVia(p Path) string {
	return "SIP/2.0/" + strings.ToUpper(p.Transport) + " " + t.sentBy(p) + ";rport;branch=" + cookie + rand.Text()
}

// receive takes a message from the network.
func (t *transactions) receive(now time.Time, m *message, from Origin) {
	t.counts.received.Add(1)
	if m.response != nil {
		t.receiveResponse(now, m, from)
		return
	}
	t.receiveRequest(now, m, from)
}

// receiveResponse finds the request of a response. A response that comes over another transport than the request went is dropped: TLS would
// protect nothing if anybody could answer over UDP.
func (t *transactions) receiveResponse(now time.Time, m *message, from Origin) {
	c := t.clients[clientKey{m.top.branch, m.method}]
	if c == nil || !c.isFrom(from) {
		t.counts.unmatched.Add(1)
		return
	}
	c.receive(now, t, m, from)
}

// lost tells the requests that went over a connection that it broke.
func (t *transactions) lost(now time.Time, r route, err error) {
	var broken []*client
	for _, c := range t.clients {
		if c.path.route() == r {
			broken = append(broken, c)
		}
	}
	for _, c := range broken {
		c.lost(now, t, err)
	}
}

type clientKey struct{ branch, method string }

type inviteKey struct{ callID, from, seq string }

func inviteKeyOf(r *dialog.Request) inviteKey {
	seq, _, _ := strings.Cut(r.Header.Get("CSeq"), " ")
	return inviteKey{r.Header.Get("Call-ID"), r.Header.Get("From"), seq}
}

// serverKey finds the transaction of a request (RFC 3261, 17.2.3). Clients of the time before RFC 3261 make no unique branch.
type serverKey struct {
	branch, sentBy, method string
	source                 netip.Addr
}

func serverKeyOf(m *message, method string, from Origin) serverKey {
	branch := m.top.branch
	if !strings.HasPrefix(strings.ToLower(branch), strings.ToLower(cookie)) {
		h := m.header()
		branch = strings.Join([]string{
			h.Get("Call-ID"), dialog.ParseAddress(h.Get("From")).Param("tag"), strconv.FormatUint(uint64(m.seq), 10), m.vias[0],
		}, "\n")
	}
	return serverKey{branch, m.top.host + ":" + strconv.Itoa(int(m.top.port)), method, from.Source.Addr()}
}
