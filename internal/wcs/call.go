package wcs

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync"

	"transponder/internal/media"
	"transponder/internal/panics"
	"transponder/internal/rtc"
	"transponder/internal/sip"
	"transponder/internal/sip/dialog"
	"transponder/internal/stream"
)

// maxPending is how many messages and events may wait for a call, which may be making its media meanwhile.
const maxPending = 32

// call is one call of a page, in either direction. Its goroutine, run, does everything in the order in which it was asked for: messages of
// the page, events of the phone, the end of the media. So the page is told in order, and nothing after the final status.
type call struct {
	s        *session
	id       string
	incoming bool
	log      *slog.Logger

	request callRequest      // of an outgoing call; the SDP is dropped when it was read
	from    sip.IncomingCall // of an incoming call

	inbox  chan func(ctx context.Context)
	cancel context.CancelCauseFunc

	// These belong to run.
	phone      Phone
	state      callState
	media      Duplex // nil before
	mediaWork  sync.WaitGroup
	mediaEnded chan error // gets one value for media
	endMedia   context.CancelFunc
	missed     bool // the page had no socket when the SDP was sent
	known      bool // the page knows of the call
}

func newCall(s *session, id string) *call {
	return &call{
		s:          s,
		id:         id,
		log:        s.log.With("call", short(id)),
		inbox:      make(chan func(context.Context), maxPending),
		state:      callNew,
		mediaEnded: make(chan error, 1),
		endMedia:   func() {},
	}
}

// startCall begins an outgoing call.
func (s *session) startCall(req callRequest) error {
	if err := req.check(); err != nil {
		return err
	}
	c := newCall(s, string(req.CallID))
	c.request, c.known = req, true
	return s.calls.add(c, c.dial)
}

// post hands work to the call's goroutine. It returns false if too much waits already.
func (c *call) post(f func(ctx context.Context)) bool {
	select {
	case c.inbox <- f:
		return true
	default:
		return false
	}
}

// tell is post for an event of the phone. A call that loses one would be in a wrong state, so it ends.
func (c *call) tell(f func(ctx context.Context)) {
	if !c.post(f) {
		c.end(errBusyCall)
	}
}

// end ends the call. Its goroutine tells the page and the other side.
func (c *call) end(cause error) { c.cancel(cause) }

// run runs the call until it has ended.
func (c *call) run(ctx context.Context, begin func(ctx context.Context)) {
	defer c.mediaWork.Wait()
	defer func() { c.endMedia() }()
	defer c.cancel(nil)
	c.s.safely(func() {
		c.phone = c.s.calls.awaitPhone()
		begin(ctx)
		for !c.state.final() {
			c.next(ctx)
		}
	})
	if !c.state.final() { // a panic
		c.s.safely(func() { c.fail(panics.Err) })
	}
}

// next does the next thing that is due. The end of the session comes first.
func (c *call) next(ctx context.Context) {
	if ctx.Err() != nil {
		c.fail(context.Cause(ctx))
		return
	}
	select {
	case <-ctx.Done():
	case err := <-c.mediaEnded:
		c.fail(err)
	case f := <-c.inbox:
		f(ctx)
	}
}

// dial makes an outgoing call. The page hears of it first: until then, its hangup would send nothing.
func (c *call) dial(ctx context.Context) {
	c.move(callTrying, "")
	sdp := string(c.request.SDP)
	err := c.phone.Call(ctx, sip.PageCall{
		CallID:      c.id,
		Callee:      cmp.Or(c.s.calls.fixedCallee(), string(c.request.Callee)),
		VisibleName: string(c.request.VisibleName),
		Audio:       hasSection(sdp, "audio"),
		Video:       hasSection(sdp, "video"),
		SDPLines:    c.request.SIPSDP,
		Custom:      c.request.Custom,
	})
	if err != nil {
		c.log.Warn("call refused", "err", err)
		c.finish(callFailed, err.Error())
		return
	}
	c.log.Info("call made")
	c.log.Debug("call made", "callee", string(c.request.Callee))
}

// answerPage answers the offer of the page, when the other side has said what it speaks.
func (c *call) answerPage(ctx context.Context, codecs []media.Codec, video bool) {
	if c.incoming || c.media != nil {
		return // the phone asked twice
	}
	limit, cancel := context.WithTimeout(ctx, c.s.srv.cfg.AnswerTimeout)
	defer cancel()
	offer := rtc.Offer{SDP: string(c.request.SDP)}
	c.request.SDP = "" // too big to keep
	d, err := c.s.srv.parts.Duplexes.Answer(limit, offer, rtc.Terms{Kinds: kinds(video), Prefer: codecs}, c.streamInfo())
	if err == nil {
		c.start(ctx, d)
		c.sendSDP()
		err = c.phone.Connect(c.id, d)
	}
	c.failIf(ctx, err)
}

// failIf ends the call if there is an error, unless the call is to end anyway: the cause of that counts then.
func (c *call) failIf(ctx context.Context, err error) {
	if err != nil && ctx.Err() == nil {
		c.fail(err)
	}
}

// ring offers media to the page of an incoming call, and tells it of the call. The order is the one that the SDK needs.
func (c *call) ring(ctx context.Context) {
	limit, cancel := context.WithTimeout(ctx, c.s.srv.cfg.AnswerTimeout)
	defer cancel()
	d, err := c.s.srv.parts.Duplexes.Offer(limit, rtc.Terms{Kinds: kinds(c.from.Video), Prefer: c.from.Codecs}, c.streamInfo())
	if err == nil {
		c.start(ctx, d)
		c.announce()
	}
	c.failIf(ctx, err)
}

// announce tells the page of an incoming call.
func (c *call) announce() {
	c.sendSDP()
	c.known = c.s.send("notifyIncomingCall", callInfo{
		CallID:        c.id,
		Incoming:      true,
		Caller:        c.from.Caller,
		Callee:        c.from.Callee,
		VisibleName:   c.from.VisibleName,
		HasAudio:      c.from.Audio,
		HasVideo:      c.from.Video,
		MediaProvider: webRTC,
	}) || c.known
	if c.state == callNew {
		c.move(callRing, "")
		return
	}
	c.sendState("")
}

// answered takes the answer of the page to an incoming call.
func (c *call) answered(ctx context.Context, req callRequest) {
	if !c.incoming || !c.state.allows(callAnswered) {
		c.s.ignore("answer to a call that does not ring", "call", short(c.id))
		return
	}
	c.state = callAnswered
	err := c.media.Accept(string(req.SDP))
	if err == nil {
		err = c.phone.Answer(c.id, c.media, req.SIPSDP)
	}
	c.failIf(ctx, err)
}

// start runs the media.
func (c *call) start(ctx context.Context, d Duplex) {
	c.media = d
	life, cancel := context.WithCancel(ctx)
	c.endMedia = cancel
	c.mediaWork.Go(func() {
		err := panics.Err // unless it is replaced below
		c.s.safely(func() { err = d.Run(life) })
		c.mediaEnded <- err
	})
}

func (c *call) streamInfo() stream.Info {
	return stream.Info{
		Name:      "call " + short(c.id),
		ID:        c.id,
		SessionID: c.s.id,
		AppKey:    c.s.appKey(),
		Provider:  webRTC,
		Transport: "UDP",
		Publisher: stream.Publisher{Address: c.s.address()},
	}
}

func kinds(video bool) []media.Kind {
	if video {
		return []media.Kind{media.Audio, media.Video}
	}
	return []media.Kind{media.Audio}
}

// sendSDP sends the page our side of the media. The third element says whether the page is the one that offers.
func (c *call) sendSDP() { c.missed = !c.s.send("setRemoteSDP", c.id, c.media.SDP(), !c.incoming) }

// status takes a status from the phone. A page whose call rings is told nothing else before the call is established.
func (c *call) status(status dialog.Status, info string) {
	next := callState(status)
	switch {
	case next.final():
		c.finish(next, info)
	case next == c.state && next.talking():
		c.sendState("") // the answer to a hold that changed nothing
	case c.incoming && next != callEstablished && next != callHold:
	case next == callHold && !c.state.talking(): // the other side holds before we said that it talks
		c.move(callEstablished, "")
		c.move(callHold, "")
	default:
		c.move(next, "")
	}
}

// move goes to a state and tells the page. A move that is not in the table is ignored, such as a second RING.
func (c *call) move(next callState, info string) {
	if !c.state.allows(next) {
		return
	}
	if next == callEstablished && !c.state.talking() {
		c.s.srv.count.talked.Add(1)
		c.log.Info("call established")
	}
	c.state = next
	c.sendState(info)
}

func (c *call) sendState(info string) {
	if c.state != callNew && c.state != callAnswered {
		c.s.send(c.state.message(), callInfo{CallID: c.id, Status: string(c.state), Info: info, Incoming: c.incoming, MediaProvider: webRTC})
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

// finish sends the final status. The id is free before.
func (c *call) finish(status callState, info string) {
	if !c.state.allows(status) {
		return
	}
	c.state = status
	c.s.calls.drop(c)
	if status == callFailed {
		c.s.srv.count.callsFailed.Add(1)
	}
	last := callInfo{CallID: c.id, Status: string(status), Info: info, Incoming: c.incoming, MediaProvider: webRTC}
	if c.known {
		c.s.sendLast(status.message(), last)
	}
	c.log.Info("call ended", "status", string(status), "info", info)
}

// hold puts the other side on hold, or takes it back.
func (c *call) hold(name string, ref callRef) {
	c.whileTalking(name, func() error { return c.phone.Hold(c.id, name == "hold", bool(ref.HoldForTransfer)) })
}

func (c *call) transfer(name string, ref callRef) {
	c.whileTalking(name, func() error {
		target := string(ref.Target)
		if target == "" {
			return &sip.RequestError{Field: "target", Reason: "is missing"}
		}
		if err := checkWord("target", target); err != nil {
			return err
		}
		if c.s.calls.fixedCallee() != "" {
			return sip.ErrPolicy // the page would choose a callee
		}
		return c.phone.Transfer(c.id, target)
	})
}

func (c *call) sendDigits(name string, ref callRef) {
	keys, how := string(ref.DTMF), sip.Digits(ref.Type)
	c.whileTalking(name, func() error {
		if err := checkDigits(keys, how); err != nil {
			return err
		}
		return c.phone.SendDigits(c.id, keys, how)
	})
}

// whileTalking does what only an established call can do. The page is told of an error by fail.
func (c *call) whileTalking(name string, do func() error) {
	err := sip.ErrState
	if c.state.talking() {
		err = do()
	}
	if err != nil {
		c.refuse(name, err.Error())
	}
}

// refuse tells the page that a message had no effect. The status is repeated, since the page may wait for one.
func (c *call) refuse(name, info string) {
	c.log.Debug("message refused", "message", name, "err", info)
	c.s.send("fail", failure{APIMethod: name, ID: c.id, Status: failed, Info: info})
	c.sendState("")
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
		c.announce()
	default:
		if c.missed && c.media != nil {
			c.sendSDP()
		}
		c.sendState("")
	}
}

// outcomeOfCall returns what a call that ended for a cause on this side is called: the status, the reason for the other side, and words.
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
