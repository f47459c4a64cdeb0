package dialog

import (
	"strings"
	"time"
)

const (
	// firstRepeat and maxRepeat are T1 and T2: the pauses between two 200 double from one to the other (RFC 3261, 13.3.1.4).
	firstRepeat = 500 * time.Millisecond
	maxRepeat   = 4 * time.Second
)

// Receive takes an INVITE that starts a call. The call is over at once, with a final status, if the INVITE asks for what we do not have.
func Receive(now time.Time, cfg Config, r *Request) *Call {
	c := newCall(cfg, r.Header.Get("Call-ID"))
	c.phase, c.status = ringing, Pending
	number, _ := r.Header.cseq()
	c.dialog = &dialog{
		tag:   r.Header.tag("From"),
		local: r.Header.Get("To") + ";tag=" + cfg.LocalTag, remote: r.Header.Get("From"),
		routes: r.Header.List("Record-Route"), peerSeq: int64(number),
	}
	c.dialog.target = ParseAddress(c.dialog.remote).URI
	c.dialog.refreshTarget(r.Header)
	c.invite, c.offered = r, r
	c.session.least = leastSession
	c.learnPeer(r.Header)
	if code, fields := c.unacceptable(r); code != 0 {
		c.offered = nil
		c.reply(r, code, nil, fields...)
		c.finish(Failed, ReasonRejected, phrases[code])
		c.linger(now)
		return c
	}
	c.deadlines[answerTimer] = now.Add(cfg.AnswerTimeout)
	c.out = append(c.out, Offered{r.Body})
	return c
}

// unacceptable returns the code by which a request is refused before anybody looks at its SDP, 0 if there is nothing to refuse.
func (c *Call) unacceptable(r *Request) (code int, fields []Field) {
	var unknown []string
	for _, extension := range r.Header.List("Require") {
		if !strings.EqualFold(extension, "timer") {
			unknown = append(unknown, extension)
		}
	}
	switch offers := r.Method == "INVITE" || r.Method == "UPDATE"; {
	case len(unknown) > 0:
		return 420, []Field{{"Unsupported", strings.Join(unknown, ", ")}}
	case c.dialog.tag == "":
		return 400, nil
	case offers && len(r.Body) > 0 && !isType(r, "application/sdp"):
		return 415, []Field{{"Accept", "application/sdp"}}
	case offers && tooShort(r.Header):
		return 422, []Field{{"Min-SE", seconds(leastSession)}}
	}
	return 0, nil
}

func isType(r *Request, want string) bool {
	return strings.EqualFold(split(r.Header.Get("Content-Type"), ';')[0], want)
}

// Ring says 180 to the caller.
func (c *Call) Ring() {
	if c.phase == ringing {
		c.reply(c.invite, 180, nil)
		c.setStatus(Ring)
	}
}

// Accept answers an Offered with the SDP of our answer, or of our offer if the peer asked for one. It does nothing if the peer's request is
// over meanwhile.
func (c *Call) Accept(now time.Time, sdp []byte) {
	r := c.offered
	if r == nil {
		return
	}
	c.offered = nil
	agreed, fields := answerSession(r.Header, c.cfg.SessionExpires)
	c.reply(r, 200, sdp, fields...)
	c.ourSDP = sdp
	if len(r.Body) > 0 {
		c.peerSDP = r.Body
	}
	c.startSession(now, agreed)
	if r.Method == "INVITE" {
		response := c.out[len(c.out)-1].(Reply)
		c.unacked = &unacked{reply: response, pause: firstRepeat}
		c.deadlines[repeatTimer] = now.Add(firstRepeat)
		c.deadlines[ackTimer] = now.Add(transactionTimeout)
	}
	if c.phase == ringing {
		c.to(answered)
		c.deadlines[answerTimer] = time.Time{}
	}
	c.tryChange(now)
}

// Reject refuses an Offered within the call by 488: the session stays as it was. A call that was not answered is refused by End.
func (c *Call) Reject(now time.Time) {
	if c.offered == nil || c.phase == ringing {
		return
	}
	c.reply(c.offered, 488, nil)
	c.offered = nil
	c.tryChange(now)
}

// unacked is a 200 to an INVITE, until its ACK.
type unacked struct {
	reply Reply
	pause time.Duration
}

func (c *Call) repeatAnswer(now time.Time) {
	c.out = append(c.out, c.unacked.reply)
	c.unacked.pause = min(2*c.unacked.pause, maxRepeat)
	c.deadlines[repeatTimer] = now.Add(c.unacked.pause)
}

func (c *Call) ackMissing(now time.Time) {
	c.unacked = nil
	c.deadlines[repeatTimer] = time.Time{}
	if c.phase == answered {
		c.to(established)
	}
	c.finish(Failed, ReasonTransport, "the peer did not acknowledge our answer")
	c.leave(now)
}

// acked takes an ACK of the peer.
func (c *Call) acked(now time.Time, r *Request) {
	if c.unacked == nil {
		return
	}
	invite := c.unacked.reply.Request
	want, _ := invite.Header.cseq()
	if number, _ := r.Header.cseq(); number != want {
		return
	}
	c.unacked = nil
	c.deadlines[repeatTimer], c.deadlines[ackTimer] = time.Time{}, time.Time{}
	first := c.phase == answered
	if first {
		c.to(established)
	}
	late := len(invite.Body) == 0
	switch {
	case c.status.Final():
		c.leave(now)
		return
	case late && len(r.Body) > 0:
		c.peerSDP = r.Body
		c.out = append(c.out, Answered{SDP: r.Body})
	case late && first:
		c.End(now, ReasonNoCodec, "the peer acknowledged our offer without an answer")
		return
	}
	c.showHold()
	c.tryChange(now)
}

// cancelled takes a CANCEL. It reports whether the INVITE of this call is meant.
func (c *Call) cancelled(now time.Time, r *Request) bool {
	number, _ := r.Header.cseq()
	want, _ := c.invite.Header.cseq()
	if c.outgoing || r.Header.Get("Call-ID") != c.callID || r.Header.tag("From") != c.dialog.tag || number != want {
		return false
	}
	c.reply(r, 200, nil)
	if c.phase == ringing {
		c.reply(c.invite, 487, nil)
		c.offered = nil
		c.finish(Finish, ReasonCancelled, r.Header.Get("Reason"))
		c.linger(now)
	}
	return true
}
