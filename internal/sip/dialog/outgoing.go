package dialog

import (
	"slices"
	"strings"
	"time"
)

// Target is whom an outgoing call is made to.
type Target struct {
	CallID string
	URI    string
	From   string   // "name" <URI>, without a tag
	To     string   // the same of the callee
	Routes []string // the outbound proxy: <sip:host:port;lr>
	Offer  []byte   // SDP
}

// Dial makes an outgoing call.
func Dial(now time.Time, cfg Config, target Target) *Call {
	c := newCall(cfg, target.CallID)
	c.outgoing, c.status = true, Pending
	c.dialog = &dialog{
		local: target.From + ";tag=" + cfg.LocalTag, remote: target.To,
		target: target.URI, routes: target.Routes, peerSeq: -1,
	}
	c.ourSDP = target.Offer
	c.session.interval, c.session.least = cfg.SessionExpires, leastSession
	c.deadlines[answerTimer] = now.Add(cfg.AnswerTimeout)

	r := c.newRequest(c.dialog, "INVITE")
	r.Header.add("Accept", "application/sdp")
	c.session.ask(&r.Header, "")
	setBody(&r.Header, &r.Body, "application/sdp", target.Offer)
	c.invite = r
	c.transact(now, c.dialog, r, c.inviteDone)
	c.setStatus(Trying)
	return c
}

// inviteAgain says that the INVITE was sent another time. It must have a 1xx of its own before it can be cancelled.
func (c *Call) inviteAgain(r *Request) {
	c.invite = r
	if c.phase == proceeding {
		c.to(inviting)
	}
}

// progress takes a 1xx to the first INVITE.
func (c *Call) progress(now time.Time, t *transaction, r *Response) {
	if c.phase == inviting {
		c.to(proceeding)
		t.deadline = time.Time{} // the answerTimer limits the wait from here
	}
	if c.status.Final() {
		c.leave(now)
		return
	}
	if d := c.branch(r); d != nil {
		c.confirmReliable(now, d, r)
	}
	switch r.Code {
	case 180, 181, 182:
		if len(r.Body) > 0 {
			c.setStatus(RingMedia)
		} else {
			c.setStatus(Ring)
		}
	case 183, 199:
		c.setStatus(SessionProgress)
	}
	if len(r.Body) > 0 && !slices.Equal(r.Body, c.peerSDP) {
		c.peerSDP = r.Body
		c.out = append(c.out, Answered{r.Body, true})
	}
}

// branch returns the early dialog of a 1xx, nil if it opens none.
func (c *Call) branch(r *Response) *dialog {
	tag := r.Header.tag("To")
	d := c.branches[tag]
	if d == nil && tag != "" && r.Code > 100 && len(c.branches) < maxBranches {
		d = c.dialog.dialogFrom(r)
		c.branches[tag] = d
	}
	return d
}

// confirmReliable sends PRACK for a reliable 1xx that was not seen before (RFC 3262, 4).
func (c *Call) confirmReliable(now time.Time, d *dialog, r *Response) {
	rseq := r.Header.number("RSeq")
	if !r.Header.lists("Require", "100rel") || rseq == 0 || d.rseq != 0 && rseq != d.rseq+1 {
		return
	}
	d.rseq = rseq
	d.routeBy(r)
	if len(r.Body) > 0 {
		d.answer = r.Body
	}
	prack := c.newRequest(d, "PRACK")
	prack.Header.add("RAck", cseqValue(rseq, c.invite.Header.Get("CSeq")))
	c.transact(now, d, prack, func(time.Time, *Response) {})
}

// cancel sends CANCEL. The final response to the INVITE decides: it may be a 2xx that was on the way.
func (c *Call) cancel(now time.Time) {
	c.to(cancelling)
	r := c.invite.clone()
	r.Method, r.Body = "CANCEL", nil
	number, _ := r.Header.cseq()
	r.Header.set("CSeq", cseqValue(number, "CANCEL"))
	for _, name := range []string{
		"Contact", "Allow", "Supported", "Accept", "Session-Expires", "Min-SE", "Content-Type", "Authorization", "Proxy-Authorization",
	} {
		r.Header.remove(name)
	}
	r.Header.add("Reason", endings[c.reason].cause)
	c.send(r)
	for _, t := range c.pending {
		if t.request == c.invite {
			t.deadline = now.Add(transactionTimeout)
		}
	}
}

// inviteDone takes the final response to the first INVITE.
func (c *Call) inviteDone(now time.Time, r *Response) {
	switch {
	case r.Code/100 == 2:
		c.answeredBy(now, r)
	case !c.status.Final() && c.inviteChanged(now, r):
	default:
		status, reason, info := judge(r)
		c.finish(status, reason, info)
		c.linger(now)
	}
}

// inviteChanged sends the INVITE once more if the peer only wants a longer session interval or reliable 1xx.
func (c *Call) inviteChanged(now time.Time, r *Response) bool {
	if c.retried[r.Code] {
		return false
	}
	again := c.invite.clone()
	switch {
	case r.Code == 422 && c.session.raise(r.Header):
		c.session.ask(&again.Header, "")
	case r.Code == 421 && r.Header.lists("Require", "100rel"):
		again.Header.set("Supported", "timer, 100rel")
	default:
		return false
	}
	c.retried[r.Code] = true
	c.dialog.seq++
	again.Header.set("CSeq", cseqValue(c.dialog.seq, "INVITE"))
	c.inviteAgain(again)
	c.transact(now, c.dialog, again, c.inviteDone)
	return true
}

// answeredBy takes the first 2xx. If nobody wants the call any more, it is acknowledged and hung up.
func (c *Call) answeredBy(now time.Time, r *Response) {
	tag := r.Header.tag("To")
	d := c.branches[tag]
	delete(c.branches, tag)
	if d == nil {
		d = c.dialog.dialogFrom(r)
	}
	d.routeBy(r)
	c.dialog = d
	c.learnPeer(r.Header)
	c.acknowledge(d, c.invite)
	c.to(established)
	c.deadlines[answerTimer] = time.Time{}

	answer := r.Body
	if len(answer) == 0 {
		answer = d.answer
	}
	switch {
	case c.status.Final():
		c.leave(now)
	case len(answer) == 0:
		c.End(now, ReasonNoCodec, "the peer answered without SDP")
	default:
		c.peerSDP = answer
		c.out = append(c.out, Answered{SDP: answer})
		c.setStatus(Established)
		c.startSession(now, c.session.agreed(r.Header, c.cfg.SessionExpires))
		c.tryChange(now)
	}
}

// lateAnswer takes a 2xx of another phone, or one after the call has ended: it is acknowledged and hung up.
func (c *Call) lateAnswer(now time.Time, r *Response) {
	tag := r.Header.tag("To")
	number, _ := r.Header.cseq()
	ours, _ := c.invite.Header.cseq()
	if tag == "" || number > ours || tag == c.dialog.tag || c.phase == gone {
		return
	}
	d := c.branches[tag]
	if d == nil {
		if len(c.branches) >= maxBranches {
			return
		}
		root := *c.dialog
		root.seq, root.peerSeq, root.ack = ours, -1, nil
		d = root.dialogFrom(r)
		c.branches[tag] = d
	}
	d.routeBy(r)
	invite := c.invite.clone()
	invite.Header.set("CSeq", cseqValue(number, "INVITE"))
	c.acknowledge(d, invite)
	c.bye(now, d, func(time.Time, *Response) {})
}

// fragmentCode returns the code in a body of type message/sipfrag, 0 if there is none.
func fragmentCode(body []byte) int {
	line, _, _ := strings.Cut(string(body), "\n")
	version, rest, _ := strings.Cut(line, " ")
	code := leadingNumber(rest)
	if version != "SIP/2.0" || code < 100 || code > 699 {
		return 0
	}
	return int(code)
}
