package dialog

import (
	"bytes"
	"cmp"
	"strings"
	"time"
)

// Request takes a request of the peer. It reports false, and does nothing, if the request is for no dialog of this call: the user decides
// between 481 and silence. A CANCEL has no tag of ours: the user finds the call by the transaction of the INVITE.
func (c *Call) Request(now time.Time, r *Request) bool {
	if r.Method == "CANCEL" {
		return c.cancelled(now, r)
	}
	d := c.dialogOf(r.Header.tag("From"))
	if d == nil || r.Key() != c.Key() {
		return false
	}
	number, _ := r.Header.cseq()
	if r.Method == "ACK" {
		if d == c.dialog {
			c.acked(now, r)
		}
		return true
	}
	if int64(number) <= d.peerSeq {
		c.reply(r, 500, nil)
		return true
	}
	d.peerSeq = int64(number)
	switch {
	case r.Method == "BYE":
		c.reply(r, 200, nil)
		if d == c.dialog {
			c.hungUp(now, r)
		}
	case d != c.dialog && r.Method == "UPDATE" && c.phase < established:
		code := 200
		if len(r.Body) > 0 {
			code = 491 // our first offer has no answer
		}
		c.reply(r, code, nil)
	case d != c.dialog || c.phase >= leaving:
		c.reply(r, 481, nil)
	default:
		c.serve(now, r)
	}
	return true
}

// serve answers a request within the call.
func (c *Call) serve(now time.Time, r *Request) {
	if code, fields := c.unacceptable(r); code != 0 {
		c.reply(r, code, nil, fields...)
		return
	}
	switch r.Method {
	case "INVITE", "UPDATE":
		c.offeredBy(now, r)
	case "INFO":
		c.informed(r)
	case "OPTIONS":
		c.reply(r, 200, c.ourSDP, Field{"Accept", "application/sdp"})
	case "NOTIFY":
		c.notified(r)
	case "REFER":
		c.reply(r, 603, nil) // a peer must not make us call numbers that cost money
	case "PRACK":
		c.reply(r, 481, nil) // our 1xx are never reliable
	default:
		c.reply(r, 405, nil, Field{"Allow", allow})
	}
}

// offeredBy takes a re-INVITE or UPDATE. The same SDP as before is only a refresh; any other needs an answer made for it.
func (c *Call) offeredBy(now time.Time, r *Request) {
	refresh := r.Method == "UPDATE" && len(r.Body) == 0
	switch {
	case refresh:
		agreed, fields := answerSession(r.Header, c.cfg.SessionExpires)
		c.reply(r, 200, nil, fields...)
		c.startSession(now, agreed)
	case c.offered != nil:
		c.reply(r, 500, nil, Field{"Retry-After", "1"})
		return
	case c.offering || c.unacked != nil:
		c.reply(r, 491, nil)
		return
	default:
		c.offered = r
	}
	c.dialog.refreshTarget(r.Header)
	c.learnPeer(r.Header)
	switch {
	case refresh:
	case len(r.Body) > 0 && bytes.Equal(r.Body, c.peerSDP):
		c.Accept(now, c.ourSDP)
	default:
		c.out = append(c.out, Offered{r.Body})
	}
}

// hungUp takes a BYE, which was answered.
func (c *Call) hungUp(now time.Time, r *Request) {
	if c.offered != nil {
		c.reply(c.offered, 487, nil)
	}
	c.finish(Finish, ReasonHungUp, cmp.Or(r.Header.Get("Reason"), "the other side hung up"))
	c.linger(now)
}

func (c *Call) notified(r *Request) {
	event := split(r.Header.Get("Event"), ';')[0]
	if !strings.EqualFold(event, "refer") {
		c.reply(r, 489, nil)
		return
	}
	c.reply(r, 200, nil)
	c.transferProgress(fragmentCode(r.Body))
}

// informed takes an INFO.
func (c *Call) informed(r *Request) {
	code := 200
	switch {
	case len(r.Body) == 0: // keeps the connection alive
	case isType(r, "application/media_control+xml"):
		if bytes.Contains(r.Body, []byte("picture_fast_update")) {
			c.out = append(c.out, KeyFrameWanted{})
		}
	case isType(r, "application/dtmf-relay"), isType(r, "application/dtmf"):
		digit, ok := parseDigit(string(r.Body))
		if !ok {
			code = 400
			break
		}
		c.out = append(c.out, digit)
	default:
		code = 415
	}
	c.reply(r, code, nil)
}
