package line

import (
	"slices"
	"time"

	"transponder/internal/sip/dialog"
)

// serverState is how far the answer to a request from outside is.
type serverState int

const (
	unanswered serverState = iota
	answering              // a 1xx was sent
	taken                  // a 2xx to an INVITE was sent: package dialog repeats it until the ACK (RFC 6026)
	answered               // another final response was sent: to an INVITE, it is repeated until the ACK
	confirmed              // the ACK came
)

var serverMoves = map[serverState][]serverState{
	unanswered: {answering, taken, answered},
	answering:  {taken, answered},
	answered:   {confirmed},
}

// callUnknown is the answer to a request within a call that does not exist (RFC 3261, 12.2.2).
const callUnknown = 481

// server is a transaction of a request from outside. The goroutine of the Line owns it.
type server struct {
	request *dialog.Request
	cancels *dialog.Request // the INVITE that a CANCEL is for; never changes
	vias    []string        // of the responses
	route   route           // where the responses go

	state serverState
	key   serverKey
	last  []byte // the last response
	pause time.Duration

	repeat, end timer
}

func (s *server) isInvite() bool { return s.request.Method == "INVITE" }

func (s *server) to(state serverState) bool {
	if !slices.Contains(serverMoves[s.state], state) {
		return false
	}
	s.state = state
	return true
}

// receiveRequest takes a request: a repetition, an ACK, or one that starts a transaction.
func (t *transactions) receiveRequest(now time.Time, m *message, from Origin) {
	if m.method == "ACK" {
		t.receiveACK(now, m, from)
		return
	}
	key := serverKeyOf(m, m.method, from)
	if s := t.servers[key]; s != nil {
		s.answerAgain(t)
		return
	}
	if !t.allows(now, m, from) {
		return
	}
	s := &server{request: m.request, key: key, route: route{from.Transport, from.Source, from.serverName}}
	s.vias = append([]string{m.top.stamp(m.vias[0], from.Source)}, m.vias[1:]...)
	if from.Transport == "udp" {
		s.route.remote = m.top.answerTo(from.Source)
	}
	if m.method == "CANCEL" {
		if invite := t.servers[serverKeyOf(m, "INVITE", from)]; invite != nil {
			s.cancels = invite.request
		}
	}
	s.end.fire = func(time.Time) { t.drop(s) }
	t.servers[key] = s
	t.count()
	if s.isInvite() {
		s.repeat.fire = func(now time.Time) { s.sendTrying(now, t) }
		t.schedule.set(&s.repeat, now.Add(t.timers.Trying))
		t.schedule.set(&s.end, now.Add(ringTime))
	} else {
		t.schedule.set(&s.end, now.Add(t.timers.timeout()))
	}
	m.request.Transaction = s
	t.incoming(m.request, from)
}

// allows reports whether there is room for another transaction.
func (t *transactions) allows(now time.Time, m *message, from Origin) bool {
	source := senderOf(from.Source, from.Transport)
	inDialog := !startsDialog(m.request)
	if !inDialog && t.gate.isBlocked(now, source) {
		t.counts.rate.Add(1)
		return false
	}
	ok, block := t.rates.allows(now, source, inDialog)
	switch {
	case block:
		t.gate.block(now, source, blockTime)
		fallthrough
	case !ok:
		t.counts.rate.Add(1)
	case len(t.servers) >= maxTransactions:
		t.counts.full.Add(1)
		return false
	}
	return ok
}

// receiveACK takes an ACK. The ACK of a 2xx goes to Parts.Incoming, any other one ends the repetitions of our final response.
func (t *transactions) receiveACK(now time.Time, m *message, from Origin) {
	s := t.servers[serverKeyOf(m, "INVITE", from)]
	switch {
	case s != nil && s.to(confirmed):
		t.schedule.set(&s.repeat, time.Time{})
		t.schedule.set(&s.end, now.Add(t.timers.T4))
	case s != nil && s.state != taken:
		t.counts.unmatched.Add(1)
	case t.allows(now, m, from): // of a 2xx; some phones send it with the branch of the INVITE
		t.incoming(m.request, from)
	}
}

func (t *transactions) drop(s *server) {
	t.schedule.set(&s.repeat, time.Time{})
	t.schedule.set(&s.end, time.Time{})
	if t.servers[s.key] == s {
		delete(t.servers, s.key)
	}
	t.count()
}

// reply sends a response to a request from outside.
func (t *transactions) reply(now time.Time, r *dialog.Request, p *dialog.Response) {
	s, ok := r.Transaction.(*server)
	if !ok || t.servers[s.key] != s || !s.moves(p.Code) {
		t.counts.unsent.Add(1)
		return
	}
	data, err := writeResponse(p, s.vias)
	if err != nil {
		t.counts.unsent.Add(1)
		return
	}
	s.last = data
	s.carry(t)
	if s.state == taken {
		t.gate.know(now, s.route.remote.Addr()) // there is a call now
	}
	switch {
	case p.Code == callUnknown:
		t.drop(s) // a repetition gets the same answer; kept answers to a flood of made-up calls would take the room of real ones (RFC 3261, 8.2.7)
	case p.Code >= 200:
		s.finish(now, t)
	default:
		t.schedule.set(&s.repeat, time.Time{})
	}
}

// moves takes the state that follows a response. It reports false if the response comes too late.
func (s *server) moves(code int) bool {
	switch {
	case code < 200:
		return s.to(answering) || s.state == answering
	case s.isInvite() && code < 300:
		return s.to(taken) || s.state == taken
	}
	return s.to(answered)
}

// finish waits for the ACK, and for repetitions of the request: timers H, J and L.
func (s *server) finish(now time.Time, t *transactions) {
	t.schedule.set(&s.repeat, time.Time{})
	if !s.isInvite() && s.route.transport != "udp" {
		t.drop(s)
		return
	}
	t.schedule.set(&s.end, now.Add(t.timers.timeout()))
	if s.isInvite() && s.state == answered && s.route.transport == "udp" {
		s.pause = t.timers.T1
		s.repeat.fire = func(now time.Time) { s.resend(now, t) }
		t.schedule.set(&s.repeat, now.Add(s.pause))
	}
}

// resend repeats a final response until the ACK, or until timer H ends: timer G.
func (s *server) resend(now time.Time, t *transactions) {
	t.counts.repeated.Add(1)
	s.carry(t)
	s.pause = min(2*s.pause, t.timers.T2)
	t.schedule.set(&s.repeat, now.Add(s.pause))
}

// answerAgain answers a repeated request. A repeated INVITE after our 2xx is not answered: package dialog repeats the 2xx by itself.
func (s *server) answerAgain(t *transactions) {
	if s.last != nil && (s.state == answering || s.state == answered) {
		t.counts.repeated.Add(1)
		s.carry(t)
	}
}

// carry sends the last response. A response never makes a connection: the source of a request would decide where to.
func (s *server) carry(t *transactions) {
	if _, err := t.wire.carry(s.route, s.last, false); err != nil {
		t.counts.unsent.Add(1)
	}
}

// sendTrying sends 100 if nobody has answered an INVITE yet, so that the peer stops repeating it (RFC 3261, 17.2.1).
func (s *server) sendTrying(now time.Time, t *transactions) {
	p := &dialog.Response{Code: 100, Phrase: "Trying"}
	for _, name := range []string{"From", "To", "Call-ID", "CSeq"} {
		p.Header = append(p.Header, dialog.Field{Name: name, Value: s.request.Header.Get(name)})
	}
	t.reply(now, s.request, p)
}

// ignore leaves a request without an answer. Nothing is kept: a repetition is judged again, and a flood of such requests takes no room.
func (t *transactions) ignore(r *dialog.Request) {
	if s, ok := r.Transaction.(*server); ok && t.servers[s.key] == s && s.state == unanswered {
		t.drop(s)
	}
}
