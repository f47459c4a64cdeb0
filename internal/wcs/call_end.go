package wcs

import (
	"context"
	"errors"

	"transponder/internal/rtc"
	"transponder/internal/sip"
	"transponder/internal/sip/dialog"
)

// failIf ends the call if there is an error. If the call is to end anyway, next does that, with the cause of ctx.
func (c *call) failIf(ctx context.Context, err error) {
	if err != nil && ctx.Err() == nil {
		c.fail(err)
	}
}

// hangup is the page's wish to end the call.
func (c *call) hangup() {
	why := dialog.ReasonHungUp
	switch {
	case c.state.talking():
	case c.incoming:
		why = dialog.ReasonRejected
	default:
		why = dialog.ReasonCancelled
	}
	c.leave(why, "")
	c.finish(callFinish, "Normal call clearing")
}

// fail ends the call for a cause on this side.
func (c *call) fail(cause error) {
	if c.state.final() {
		return
	}
	if errors.Is(cause, errHungUp) {
		c.hangup()
		return
	}
	status, why, info := outcomeOfCall(cause)
	if why == dialog.ReasonHungUp && c.incoming && !c.state.talking() {
		why = dialog.ReasonNoAnswer // nobody has declined
	}
	c.leave(why, info)
	if status == callFailed {
		c.log.Warn("call failed", "err", cause)
	}
	c.finish(status, info)
}

// leave ends the call at the phone.
func (c *call) leave(why dialog.Reason, info string) {
	if err := c.phone.Hangup(c.id, why, info); err != nil && !errors.Is(err, sip.ErrNoCall) {
		c.log.Warn("hangup failed", "err", err)
	}
}

// finish frees the id of the call, then sends the final status.
func (c *call) finish(status callState, info string) {
	if !c.to(status) {
		return
	}
	c.s.calls.drop(c)
	if status == callFailed {
		c.s.srv.count.callsFailed.Add(1)
	}
	if c.known {
		c.s.sendLast(status.message(), c.info(info))
	}
	c.log.Info("call ended", "status", string(status), "info", info)
}

// outcomeOfCall returns the status of a call that ended for a cause on this side, the reason that the other side is told, and words for people.
func outcomeOfCall(cause error) (callState, dialog.Reason, string) {
	_, info := outcome(cause)
	switch {
	case errors.Is(cause, rtc.ErrClientClosed): // the SDK closes the connection and sends hangup, and either may arrive first
		return callFinish, dialog.ReasonHungUp, "Normal call clearing"
	case errors.Is(cause, errDisconnected):
		return callFinish, dialog.ReasonHungUp, info
	case errors.Is(cause, rtc.ErrNoCommonCodecs):
		return callFailed, dialog.ReasonNoCodec, info
	case errors.Is(cause, rtc.ErrActivity), errors.Is(cause, rtc.ErrICETimeout), errors.Is(cause, rtc.ErrICEFailed),
		errors.Is(cause, rtc.ErrICEKeepAlive), errors.Is(cause, rtc.ErrDTLS):
		return callFailed, dialog.ReasonMediaTimeout, info
	}
	return callFailed, dialog.ReasonTransport, info
}
