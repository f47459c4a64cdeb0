package dialog

import (
	"bytes"
	"math/rand/v2"
	"time"
)

// maxCollisions is how often an offer is sent again after 491.
const maxCollisions = 5

// negotiation is the state of offers and answers. At most one offer is on its way.
type negotiation struct {
	ourSDP, peerSDP []byte // of the last exchange

	offered  *Request // the peer's INVITE or UPDATE that waits for Accept
	unacked  *unacked // our 200 that waits for ACK
	offering bool     // our re-INVITE waits for its response
	wanted   *change  // our next re-INVITE

	holding, peerHolds bool
}

// change is an offer of ours within the call.
type change struct {
	sdp        []byte
	hold       bool
	refresh    bool // nothing changes: it is for the session timer
	collisions int
}

// Modify sends an offer by re-INVITE as soon as no other offer is on its way. With hold, the status becomes HOLD when the peer agrees.
// Answered or ChangeRefused follows, unless another Modify replaces this one before it is sent.
func (c *Call) Modify(now time.Time, sdp []byte, hold bool) {
	c.wanted = &change{sdp: sdp, hold: hold}
	c.tryChange(now)
}

// PeerHolds says whether the last SDP of the peer puts us on hold.
func (c *Call) PeerHolds(hold bool) {
	c.peerHolds = hold
	c.showHold()
}

func (c *Call) showHold() {
	switch {
	case c.phase != established:
	case c.holding || c.peerHolds:
		c.setStatus(Hold)
	default:
		c.setStatus(Established)
	}
}

// tryChange sends the wanted offer if nothing is in its way. It is called again when that may have changed.
func (c *Call) tryChange(now time.Time) {
	busy := c.offering || c.offered != nil || c.unacked != nil || !c.deadlines[changeTimer].IsZero()
	if c.wanted == nil || busy || c.phase != established {
		return
	}
	w := c.wanted
	c.wanted, c.offering = nil, true
	r := c.newRequest(c.dialog, "INVITE")
	c.session.ask(&r.Header, c.session.refresher())
	setBody(&r.Header, &r.Body, "application/sdp", w.sdp)
	var t *transaction
	t = c.transact(now, c.dialog, r, func(now time.Time, r *Response) {
		c.offering = false
		c.changeDone(now, w, t.request, r)
		c.tryChange(now)
	})
}

func (c *Call) changeDone(now time.Time, w *change, invite *Request, r *Response) {
	switch {
	case r.Code/100 == 2:
		c.acknowledgeChange(now, w, invite, r)
	case r.Code == 491 && w.collisions < maxCollisions:
		w.collisions++
		if c.wanted == nil {
			c.wanted = w
		}
		c.deadlines[changeTimer] = now.Add(c.collisionPause())
	case r.Code == 422 && c.session.raise(r.Header) && c.wanted == nil:
		c.wanted = w
	case r.Code == 408 || r.Code == 481 || r.unanswered: // RFC 3261, 12.2.1.2
		c.lost(now, w.refresh)
	case w.refresh:
		c.deadlines[refreshTimer] = now.Add(refreshPause)
	default:
		c.out = append(c.out, ChangeRefused{r.Code})
	}
}

func (c *Call) acknowledgeChange(now time.Time, w *change, invite *Request, r *Response) {
	c.dialog.refreshTarget(r.Header)
	c.learnPeer(r.Header)
	c.acknowledge(c.dialog, invite)
	c.startSession(now, c.session.agreed(r.Header, c.cfg.SessionExpires))
	changed := !bytes.Equal(r.Body, c.peerSDP)
	switch {
	case len(r.Body) > 0:
		c.ourSDP, c.peerSDP = w.sdp, r.Body
		if !w.refresh || changed {
			c.out = append(c.out, Answered{SDP: r.Body})
		}
	case !w.refresh:
		c.out = append(c.out, ChangeRefused{r.Code})
		return
	}
	if !w.refresh {
		c.holding = w.hold
	}
	c.showHold()
}

// lost ends a call whose peer does not know it any more.
func (c *Call) lost(now time.Time, refresh bool) {
	if refresh {
		c.End(now, ReasonSessionExpired, "the peer did not answer the refresh of the session")
		return
	}
	c.End(now, ReasonTransport, "the peer did not answer within the call")
}

// collisionPause keeps both sides from sending their offers at the same time again (RFC 3261, 14.1).
func (c *Call) collisionPause() time.Duration {
	if c.outgoing { // we own the Call-ID
		return 2100*time.Millisecond + rand.N(1900*time.Millisecond)
	}
	return rand.N(2 * time.Second)
}
