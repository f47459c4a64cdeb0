package wcs

import (
	"context"
	"errors"
	"sync/atomic"

	"transponder/internal/panics"
)

// restartRequest is the object of restartIce, an addition to the contract: a page that has got another network sends another offer of the
// same connection, with a new ICE user name and password. The answer is setRemoteSDP; the stream and its media go on. If the server cannot
// restart ICE, the answer is fail, with restartIce as the apiMethod, and the connection stays as it is. Pages of the vendor's SDK send none.
type restartRequest struct {
	MediaSessionID text `json:"mediaSessionId"`
	SDP            text `json:"sdp"`
}

var (
	errNoConnection = errors.New("there is no connection with this id")
	errNoMedia      = errors.New("the call has no connection yet")
	errRestarting   = errors.New("another restart is under way")
)

// restartable is the media of a publisher, a player or a call.
type restartable interface {
	RestartICE(ctx context.Context, offer string) (answer string, err error)
}

// handleRestart restarts ICE of a stream that the session publishes or plays, or of a call.
func (s *session) handleRestart(ctx context.Context, req restartRequest) {
	id := string(req.MediaSessionID)
	if p := s.streams.publisher(id); p != nil {
		p.restart(ctx, p.media, string(req.SDP))
		return
	}
	if p := s.streams.player(id); p != nil {
		if playback := p.playback.Load(); playback != nil {
			p.restart(ctx, *playback, string(req.SDP))
			return
		}
	}
	c := s.calls.call(id)
	switch {
	case c == nil:
		s.refuseRestart(id, errNoConnection)
	case !c.post(func(ctx context.Context) { c.restart(ctx, string(req.SDP)) }):
		s.refuseRestart(id, errBusyCall)
	}
}

// restart restarts ICE of the call. Only its goroutine knows the media, and sends the answer, so that nothing follows the final status.
func (c *call) restart(ctx context.Context, offer string) {
	if c.media == nil {
		c.s.refuseRestart(c.id, errNoMedia)
		return
	}
	c.s.restart(ctx, c.id, &c.restarting, c.media, offer, func(answer string) {
		c.tell(func(context.Context) { c.s.send("setRemoteSDP", c.id, answer, true) })
	})
}

// restart restarts ICE of a stream.
func (n *notifier) restart(ctx context.Context, media restartable, offer string) {
	n.s.restart(ctx, n.id, &n.restarting, media, offer, func(answer string) { n.send("setRemoteSDP", n.id, answer, true) })
}

// restart restarts ICE in a goroutine of the session, which hands over the answer. A second request is refused while one is under way.
func (s *session) restart(ctx context.Context, id string, busy *atomic.Bool, media restartable, offer string, tell func(answer string)) {
	if !busy.CompareAndSwap(false, true) {
		s.refuseRestart(id, errRestarting)
		return
	}
	ctx = context.WithoutCancel(ctx)
	started := s.streams.start(func() {
		answer, err := "", panics.Err // unless they are replaced below
		s.safely(func() {
			ctx, cancel := context.WithTimeout(ctx, s.srv.cfg.AnswerTimeout)
			defer cancel()
			answer, err = media.RestartICE(ctx, offer)
		})
		busy.Store(false) // before the page learns the result, which may make it ask again
		if err != nil {
			s.log.Warn("ICE not restarted", "id", id, "err", err)
			s.refuseRestart(id, err)
			return
		}
		s.srv.restarts.Count(nil)
		s.log.Info("ICE restarted", "id", id)
		tell(answer)
	})
	if !started {
		busy.Store(false)
	}
}

func (s *session) refuseRestart(id string, why error) {
	s.srv.restarts.Count(why)
	s.send("fail", failure{APIMethod: "restartIce", ID: short(id), Status: failed, Info: why.Error()})
}
