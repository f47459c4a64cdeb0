package wcs

import (
	"context"
	"errors"

	"transponder/internal/media"
	"transponder/internal/sip"
	"transponder/internal/sip/dialog"
)

// Registered implements sip.PhoneEvents.
func (set *callSet) Registered() {
	set.mu.Lock()
	set.registered = true
	set.mu.Unlock()
	set.s.log.Info("registered")
	set.s.send("registered", struct{}{})
}

// RegisterFailed implements sip.PhoneEvents.
func (set *callSet) RegisterFailed(info string) {
	set.s.log.Warn("registration failed", "err", info)
	set.s.send("fail", failure{APIMethod: "register", Status: failed, Info: info})
}

// Incoming implements sip.PhoneEvents.
func (set *callSet) Incoming(from sip.IncomingCall) {
	c := newCall(set.s, from.CallID)
	c.incoming, c.from = true, from
	err := set.add(c, c.ring)
	if err == nil {
		set.s.srv.count.callsTaken.Add(1)
		return
	}
	set.s.log.Warn("incoming call refused", "call", short(from.CallID), "err", err)
	why := dialog.ReasonBusy
	if !errors.Is(err, errTooManyCalls) {
		why = dialog.ReasonTransport
	}
	set.s.streams.start(func() { // if the session has ended, the phone is closed and has hung up
		set.s.safely(func() { c.phone = set.awaitPhone(); c.leave(why, err.Error()) })
	})
}

// MediaReady implements sip.PhoneEvents.
func (set *callSet) MediaReady(callID string, codecs []media.Codec, video bool) {
	set.tell(callID, func(ctx context.Context, c *call) { c.answerPage(ctx, codecs, video) })
}

// Status implements sip.PhoneEvents.
func (set *callSet) Status(callID string, status dialog.Status, info string) {
	set.tell(callID, func(_ context.Context, c *call) { c.status(status, info) })
}

// HoldFailed implements sip.PhoneEvents.
func (set *callSet) HoldFailed(callID, info string) {
	set.tell(callID, func(_ context.Context, c *call) { c.refuse("hold", info) })
}

// Digits implements sip.PhoneEvents.
func (set *callSet) Digits(callID, keys string) {
	set.tell(callID, func(_ context.Context, c *call) { c.digits(keys) })
}

// Transferring implements sip.PhoneEvents.
func (set *callSet) Transferring(callID string, code int) {
	set.tell(callID, func(_ context.Context, c *call) { c.transferring(code) })
}

// tell hands an event to the call. A call that has ended hears nothing.
func (set *callSet) tell(callID string, f func(ctx context.Context, c *call)) {
	if c := set.call(callID); c != nil {
		c.tell(func(ctx context.Context) { f(ctx, c) })
	}
}
