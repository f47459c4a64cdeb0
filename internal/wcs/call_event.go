package wcs

import (
	"transponder/internal/sip/dialog"
)

// status takes a status from the phone. A page whose call rings is told nothing else before the call is established.
func (c *call) status(status dialog.Status, info string) {
	next := callState(status)
	switch {
	case next.final():
		c.finish(next, info)
	case next == c.state && next.talking():
		c.sendState() // the answer to a hold that changed nothing
	case c.incoming && next != callEstablished && next != callHold:
	case next == callHold && !c.state.talking(): // the other side holds before we said that it talks
		c.move(callEstablished)
		c.move(callHold)
	default:
		c.move(next)
	}
}

// transferring tells the page how its transfer goes. When the other side talks to the target, this call is over (RFC 5589, 6.1).
func (c *call) transferring(code int) {
	status := transferStatus(code)
	c.log.Debug("transfer", "code", code)
	c.s.send("notifyTransferEvent", transferInfo{c.id, status})
	if status == transferCompleted {
		c.leave(dialog.ReasonHungUp, "")
		c.finish(callFinish, "the call was transferred")
	}
}

// digits tells the page which keys the other side pressed. The SDK has no event for that and ignores the message.
func (c *call) digits(keys string) { c.s.send("notifyDtmf", digitsInfo{c.id, keys}) }

// tellAgain tells a page that has returned of the call.
func (c *call) tellAgain() {
	switch {
	case c.state == callNew:
	case c.incoming && c.state == callRing:
		if k := c.s.socket(); k == nil || k != c.announced { // else it began to ring when the page was already back
			c.announce()
		}
	default:
		if c.missed && c.media != nil {
			c.sendSDP()
		}
		c.sendState()
	}
}
