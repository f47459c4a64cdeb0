package dialog

import (
	"strconv"
	"strings"
	"time"
)

const (
	// leastSession is the shortest session interval that RFC 4028 allows.
	leastSession = 90 * time.Second
	// refreshPause is the time to the next attempt after a refresh that failed for another reason than a lost peer.
	refreshPause = 10 * time.Second
)

// session is the session timer of a call (RFC 4028).
type session struct {
	interval time.Duration // 0: there is no timer
	ours     bool          // we refresh
	least    time.Duration // what a 422 of the peer asked for
	raised   bool          // one 422 was obeyed
}

// ask adds the interval to a request of ours. The refresher may be "", then the peer decides.
func (s *session) ask(h *Header, refresher string) {
	if s.interval == 0 {
		return
	}
	value := seconds(s.interval)
	if refresher != "" {
		value += ";refresher=" + refresher
	}
	h.set("Session-Expires", value)
	h.set("Min-SE", seconds(s.least))
}

// refresher keeps the roles as they are, in the words of a request of ours.
func (s *session) refresher() string {
	if s.ours {
		return "uac"
	}
	return "uas"
}

// raise takes the Min-SE of a 422, once in a call. It reports whether another attempt makes sense.
func (s *session) raise(h Header) bool {
	least := time.Duration(h.number("Min-SE")) * time.Second
	if s.raised || s.interval == 0 || least <= s.interval {
		return false
	}
	s.interval, s.least, s.raised = least, least, true
	return true
}

// agreed returns the session timer that a 2xx to a request of ours sets. Without a word on the refresher, that is us.
func (s *session) agreed(h Header, asked time.Duration) session {
	value := h.Get("Session-Expires")
	interval := time.Duration(leadingNumber(value)) * time.Second
	switch {
	case interval > 0:
		peer := strings.EqualFold(ParseAddress(value).Param("refresher"), "uas")
		return session{interval: max(interval, leastSession), ours: !peer}
	case asked > 0 && h.lists("Supported", "timer"):
		return session{interval: max(asked, s.least), ours: true}
	}
	return session{}
}

func tooShort(h Header) bool {
	interval := h.number("Session-Expires")
	return interval > 0 && time.Duration(interval)*time.Second < leastSession
}

// answerSession returns the session timer for a request of the peer, and the fields of our 2xx that say so.
func answerSession(h Header, wanted time.Duration) (session, []Field) {
	value, supported := h.Get("Session-Expires"), h.lists("Supported", "timer")
	interval := time.Duration(leadingNumber(value)) * time.Second
	refresher := strings.ToLower(ParseAddress(value).Param("refresher"))
	switch {
	case interval == 0 && (wanted == 0 || !supported):
		return session{}, nil
	case interval == 0:
		interval, refresher = max(wanted, time.Duration(h.number("Min-SE"))*time.Second), "uas"
	case refresher != "uas" && supported:
		refresher = "uac"
	default:
		refresher = "uas" // a peer without session timers does not refresh
	}
	fields := []Field{{"Session-Expires", seconds(interval) + ";refresher=" + refresher}}
	if refresher == "uac" {
		fields = append(fields, Field{"Require", "timer"})
	}
	return session{interval: interval, ours: refresher == "uas"}, fields
}

func seconds(d time.Duration) string { return strconv.FormatInt(int64(d/time.Second), 10) }

// startSession starts the timers anew. If neither side refreshes the session, it ends somewhat before the peer would end it.
func (c *Call) startSession(now time.Time, s session) {
	c.session.interval, c.session.ours = s.interval, s.ours
	c.deadlines[refreshTimer], c.deadlines[expiryTimer] = time.Time{}, time.Time{}
	if s.interval == 0 {
		return
	}
	if s.ours {
		c.deadlines[refreshTimer] = now.Add(s.interval / 2)
	}
	c.deadlines[expiryTimer] = now.Add(s.interval - min(transactionTimeout, s.interval/3))
}

// refresh sends UPDATE if the peer knows it, else a re-INVITE with the same SDP.
func (c *Call) refresh(now time.Time) {
	switch {
	case c.phase != established || c.offering || c.wanted != nil:
		// A re-INVITE that is on its way refreshes, too, unless it is refused.
		c.deadlines[refreshTimer] = now.Add(refreshPause)
		return
	case !c.peerKnows("UPDATE"):
		c.wanted = &change{sdp: c.ourSDP, refresh: true}
		c.tryChange(now)
		return
	}
	r := c.newRequest(c.dialog, "UPDATE")
	c.session.ask(&r.Header, c.session.refresher())
	c.transact(now, c.dialog, r, c.refreshDone)
}

func (c *Call) refreshDone(now time.Time, r *Response) {
	switch {
	case r.Code/100 == 2:
		c.dialog.refreshTarget(r.Header)
		c.startSession(now, c.session.agreed(r.Header, c.cfg.SessionExpires))
	case r.Code == 422 && c.session.raise(r.Header):
		c.refresh(now)
	case r.Code == 405 || r.Code == 501:
		c.peerAllow = nil
		c.refresh(now)
	case r.Code == 408 || r.Code == 481 || r.unanswered:
		c.lost(now, true)
	default:
		c.deadlines[refreshTimer] = now.Add(refreshPause)
	}
}
