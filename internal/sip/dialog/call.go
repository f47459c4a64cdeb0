package dialog

import (
	"slices"
	"strings"
	"time"
)

const (
	// lingerTime is how long an ended call waits for a 2xx that comes late: the phone then believes in a call that somebody pays for.
	lingerTime = transactionTimeout
	// maxBranches limits how many phones may answer one INVITE.
	maxBranches = 16

	allow = "INVITE, ACK, BYE, CANCEL, OPTIONS, INFO, UPDATE, NOTIFY"
)

// Config is the same for all calls of an account.
type Config struct {
	LocalTag  string // of this call alone: at least 64 random bits
	Contact   string // the URI at which the peer reaches us
	UserAgent string
	// AnswerTimeout is how long a phone may ring, in either direction.
	AnswerTimeout time.Duration
	// SessionExpires is the session interval that we ask for. 0: no session timer, unless the peer asks.
	SessionExpires time.Duration
	Credentials    Credentials // nil: there is no password
}

// phase is how far the signalling of a call is. The status is for people, and is final before the signalling is over.
type phase int

const (
	inviting    phase = iota // our INVITE had no response: it must not be cancelled yet
	proceeding               // it had a 1xx
	cancelling               // CANCEL is sent
	ringing                  // the peer's INVITE has no final response
	answered                 // it has our 200, but ACK is missing: BYE must not be sent yet
	established              // both sides may send requests
	leaving                  // BYE is sent
	lingering                // over, but for a 2xx that comes late
	gone                     // may be forgotten
)

var moves = map[phase][]phase{
	inviting:    {proceeding, established, lingering},
	proceeding:  {inviting, cancelling, established, lingering},
	cancelling:  {established, lingering},
	ringing:     {answered, lingering},
	answered:    {established, lingering},
	established: {leaving, lingering},
	leaving:     {lingering},
	lingering:   {gone},
}

// timer is one of the times that a call waits for. Requests have deadlines of their own.
type timer int

const (
	answerTimer  timer = iota // the phone has rung long enough
	lingerTimer               // the call may be forgotten
	repeatTimer               // 200 is repeated
	ackTimer                  // ACK did not come
	changeTimer               // the pause after 491 is over
	refreshTimer              // we refresh the session
	expiryTimer               // the session was not refreshed
	digitTimer                // the pause between two digits is over
	timers                    // how many there are
)

// Call is one call in either direction.
type Call struct {
	cfg      Config
	callID   string
	outgoing bool

	phase  phase
	status Status
	reason Reason
	code   int

	dialog   *dialog            // an outgoing call has one without a tag until 2xx
	branches map[string]*dialog // of an outgoing call, other than dialog, by the tag of the peer
	invite   *Request           // the INVITE that began the call
	retried  map[int]bool       // the codes after which the INVITE was changed and sent again: 421, 422

	pending   []*transaction
	deadlines [timers]time.Time
	out       []Output

	negotiation
	session session
	keys    keyFrames
	digits  digits
	// transferring says that the peer was asked to call somebody else and has not told how it ended.
	transferring bool
	// peerAllow are the methods that the peer knows; empty: it did not say.
	peerAllow []string
}

func newCall(cfg Config, callID string) *Call {
	return &Call{cfg: cfg, callID: callID, branches: map[string]*dialog{}, retried: map[int]bool{}}
}

// Key returns what messages of the call are found by.
func (c *Call) Key() Key { return Key{c.callID, c.cfg.LocalTag} }

// Status returns the present status.
func (c *Call) Status() Status { return c.status }

// Code returns the code of the last response to the INVITE, 0 before the first.
func (c *Call) Code() int { return c.code }

// Over reports whether the peer has confirmed the end of the call, or cannot any more. Only a 2xx that comes late is still waited for.
func (c *Call) Over() bool { return c.phase >= lingering }

// Gone reports whether the call may be forgotten.
func (c *Call) Gone() bool { return c.phase == gone }

// Take returns what is to be done since the last Take, in order.
func (c *Call) Take() []Output {
	out := c.out
	c.out = nil
	return out
}

// Deadline returns when Tick has to be called, the zero time if there is nothing to wait for.
func (c *Call) Deadline() time.Time {
	var first time.Time
	sooner := func(at time.Time) {
		if !at.IsZero() && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	for _, at := range c.deadlines {
		sooner(at)
	}
	for _, t := range c.pending {
		sooner(t.deadline)
	}
	return first
}

// Tick does what is due.
func (c *Call) Tick(now time.Time) {
	for name := range timers {
		if at := c.deadlines[name]; !at.IsZero() && !now.Before(at) {
			c.deadlines[name] = time.Time{}
			c.fire(now, name)
		}
	}
	for _, t := range slices.Clone(c.pending) {
		if !t.deadline.IsZero() && !now.Before(t.deadline) {
			c.complete(now, t, t.unanswered(408, "no answer from the peer"))
		}
	}
}

func (c *Call) fire(now time.Time, name timer) {
	switch name {
	case answerTimer:
		c.End(now, ReasonNoAnswer, "nobody answered in "+c.cfg.AnswerTimeout.String())
	case lingerTimer:
		c.to(gone)
		c.pending = nil
	case repeatTimer:
		c.repeatAnswer(now)
	case ackTimer:
		c.ackMissing(now)
	case changeTimer:
		c.tryChange(now)
	case refreshTimer:
		c.refresh(now)
	case expiryTimer:
		c.End(now, ReasonSessionExpired, "the peer did not refresh the session")
	case digitTimer:
		c.nextDigit(now)
	}
}

// End hangs up, cancels or refuses the call, whichever is due. The status is final at once; what the protocol wants follows.
func (c *Call) End(now time.Time, reason Reason, info string) {
	if c.status.Final() {
		return
	}
	c.finish(endings[reason].status, reason, info)
	c.leave(now)
}

// leave takes the next step to end the signalling. It is called again in the phases in which it can do nothing yet.
func (c *Call) leave(now time.Time) {
	c.deadlines[answerTimer] = time.Time{}
	switch c.phase {
	case proceeding:
		c.cancel(now)
	case ringing:
		c.reply(c.offered, endings[c.reason].code, nil)
		c.offered = nil
		c.linger(now)
	case established:
		c.to(leaving)
		if c.offered != nil {
			c.reply(c.offered, 487, nil)
		}
		c.stop()
		c.bye(now, c.dialog, func(now time.Time, _ *Response) { c.linger(now) })
	}
}

func (c *Call) bye(now time.Time, d *dialog, done func(time.Time, *Response)) {
	r := c.newRequest(d, "BYE")
	if cause := endings[c.reason].cause; cause != "" {
		r.Header.add("Reason", cause)
	}
	c.transact(now, d, r, done)
}

// linger ends the call but for late 2xx.
func (c *Call) linger(now time.Time) {
	if c.phase >= lingering {
		return
	}
	c.to(lingering)
	c.stop()
	c.deadlines[lingerTimer] = now.Add(lingerTime)
}

// stop forgets what the call waits for. A BYE to another phone goes on.
func (c *Call) stop() {
	c.deadlines = [timers]time.Time{}
	c.negotiation = negotiation{ourSDP: c.ourSDP, peerSDP: c.peerSDP}
	c.pending = slices.DeleteFunc(c.pending, func(t *transaction) bool { return t.dialog == c.dialog })
}

func (c *Call) to(next phase) {
	if !slices.Contains(moves[c.phase], next) {
		panic("dialog: this move is not in the table")
	}
	c.phase = next
}

func (c *Call) setStatus(s Status) {
	if s == c.status || c.status.Final() {
		return
	}
	c.status = s
	c.out = append(c.out, StatusChanged{Status: s})
}

func (c *Call) finish(s Status, reason Reason, info string) {
	if c.status.Final() {
		return
	}
	c.status, c.reason = s, reason
	c.out = append(c.out, StatusChanged{s, reason, info})
}

// newRequest returns the next request of a dialog.
func (c *Call) newRequest(d *dialog, method string) *Request {
	d.seq++
	r := d.request(method, d.seq, c.callID)
	if method == "INVITE" || method == "UPDATE" || method == "REFER" {
		r.Header.add("Contact", "<"+c.cfg.Contact+">")
	}
	if method == "INVITE" || method == "UPDATE" {
		r.Header.add("Allow", allow)
		r.Header.add("Supported", "timer")
	}
	r.Header.add("User-Agent", c.cfg.UserAgent)
	return r
}

func setBody(h *Header, body *[]byte, contentType string, content []byte) {
	if content == nil {
		return
	}
	h.set("Content-Type", contentType)
	*body = content
}

// transact sends a request. done gets the final response that is no challenge, or an unanswered one.
func (c *Call) transact(now time.Time, d *dialog, r *Request, done func(time.Time, *Response)) *transaction {
	t := &transaction{request: r, dialog: d, deadline: now.Add(transactionTimeout), done: done}
	c.pending = append(c.pending, t)
	c.send(r)
	return t
}

func (c *Call) send(r *Request) { c.out = append(c.out, Send{r}) }

func (c *Call) complete(now time.Time, t *transaction, r *Response) {
	if i := slices.Index(c.pending, t); i >= 0 {
		c.pending = slices.Delete(c.pending, i, i+1)
		t.done(now, r)
	}
}

// Unsent says that a request could not be sent.
func (c *Call) Unsent(now time.Time, r *Request, err error) {
	for _, t := range slices.Clone(c.pending) {
		if t.request == r {
			c.complete(now, t, t.unanswered(503, err.Error()))
		}
	}
}

// Response takes a response to a request of this call. One that nobody waits for is ignored.
func (c *Call) Response(now time.Time, r *Response) {
	number, method := r.Header.cseq()
	isAnswer := method == "INVITE" && r.Code/100 == 2
	if isAnswer && c.acknowledgeAgain(r.Header.tag("To"), number) {
		return
	}
	i := slices.IndexFunc(c.pending, func(t *transaction) bool { return t.matches(r) })
	if i < 0 {
		if isAnswer && c.outgoing {
			c.lateAnswer(now, r)
		}
		return
	}
	t := c.pending[i]
	first := t.request == c.invite
	if first {
		c.code = r.Code
	}
	if r.Code < 200 {
		switch {
		case first:
			c.progress(now, t, r)
		case method == "INVITE":
			t.deadline = now.Add(c.cfg.AnswerTimeout)
		}
		return
	}
	if first && c.status.Final() { // no other INVITE: nobody wants the call any more
		c.complete(now, t, r)
		return
	}
	again := t.authorize(r, c.cfg.Credentials)
	if again == nil {
		c.complete(now, t, r)
		return
	}
	t.dialog.seq++
	again.Header.set("CSeq", cseqValue(t.dialog.seq, method))
	t.request, t.deadline = again, now.Add(transactionTimeout)
	if first {
		c.inviteAgain(again)
	}
	c.send(again)
}

// acknowledge sends the ACK of a 2xx to an INVITE, and keeps it for the case that the 2xx is repeated.
func (c *Call) acknowledge(d *dialog, invite *Request) {
	number, _ := invite.Header.cseq()
	d.ack = d.request("ACK", number, c.callID)
	for _, name := range []string{"Authorization", "Proxy-Authorization"} {
		if value := invite.Header.Get(name); value != "" {
			d.ack.Header.add(name, value) // RFC 3261, 13.2.2.4
		}
	}
	c.send(d.ack)
}

func (c *Call) acknowledgeAgain(tag string, number uint32) bool {
	d := c.dialogOf(tag)
	if d == nil || d.ack == nil {
		return false
	}
	acked, _ := d.ack.Header.cseq()
	if acked != number {
		return false
	}
	c.send(d.ack)
	return true
}

// dialogOf returns the dialog with a tag of the peer, nil if there is none.
func (c *Call) dialogOf(tag string) *dialog {
	switch {
	case tag == c.dialog.tag && c.phase >= ringing: // before, an outgoing call has no dialog of its own
		return c.dialog
	}
	return c.branches[tag]
}

func (c *Call) reply(r *Request, code int, body []byte, fields ...Field) {
	response := respond(r, code, c.cfg.LocalTag)
	if code < 300 && (r.Method == "INVITE" || r.Method == "UPDATE" || r.Method == "OPTIONS") {
		for _, route := range r.Header.Fields("Record-Route") {
			response.Header.add("Record-Route", route)
		}
		response.Header.add("Contact", "<"+c.cfg.Contact+">")
		response.Header.add("Allow", allow)
		response.Header.add("Supported", "timer")
	}
	response.Header = append(response.Header, fields...)
	response.Header.add("Server", c.cfg.UserAgent)
	setBody(&response.Header, &response.Body, "application/sdp", body)
	c.out = append(c.out, Reply{r, response})
}

// peerKnows reports whether the peer has said that it knows a method.
func (c *Call) peerKnows(method string) bool {
	return slices.ContainsFunc(c.peerAllow, func(m string) bool { return strings.EqualFold(m, method) })
}

func (c *Call) learnPeer(h Header) {
	if methods := h.List("Allow"); len(methods) > 0 {
		c.peerAllow = methods
	}
}
