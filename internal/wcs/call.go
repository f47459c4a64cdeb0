package wcs

import (
	"cmp"
	"context"
	"log/slog"
	"sync"
	"sync/atomic"

	"transponder/internal/panics"
	"transponder/internal/sip"
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

	restarting atomic.Bool // ICE is being restarted

	// These belong to run.
	phone      Phone
	state      callState
	media      Duplex // nil before
	mediaWork  sync.WaitGroup
	mediaEnded chan error // gets one value for media
	endMedia   context.CancelFunc
	announced  *socket // over which the page was told of this incoming call; nil: over none
	missed     bool    // the page had no socket when the SDP was sent
	known      bool    // the page knows of the call
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
	if err := s.mayCall(cmp.Or(s.calls.fixedCallee(), string(req.Callee))); err != nil {
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
	defer c.s.calls.drop(c) // done before, unless something panicked
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
	c.move(callTrying)
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

// to goes to a state, and says whether the move is in the table. Only here the state changes.
func (c *call) to(next callState) bool {
	allowed := c.state.allows(next)
	if allowed {
		c.state = next
	}
	return allowed
}

// move goes to a state and tells the page. A move that is not in the table is ignored, such as a second RING.
func (c *call) move(next callState) {
	first := !c.state.talking()
	if !c.to(next) {
		return
	}
	if first && c.state.talking() {
		c.s.srv.count.talked.Add(1)
		c.log.Info("call established")
	}
	c.sendState()
}

// sendState tells the page of the present state, if it is one that pages know.
func (c *call) sendState() {
	if c.state != callNew && c.state != callAnswered {
		c.s.send(c.state.message(), c.info(""))
	}
}

// info returns the call object.
func (c *call) info(words string) callInfo {
	return callInfo{CallID: c.id, Status: string(c.state), Info: words, Incoming: c.incoming, MediaProvider: webRTC}
}
