package wcs

import (
	"context"
	"errors"

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
	errCall         = errors.New("the connection of a call cannot restart ICE: hang up, and call again")
	errRestarting   = errors.New("another restart is under way")
)

// restartable is the media of a publisher or a player.
type restartable interface {
	RestartICE(ctx context.Context, offer string) (answer string, err error)
}

// handleRestart restarts ICE of a stream that the session publishes or plays.
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
	if s.calls.call(id) != nil {
		s.refuseRestart(id, errCall)
		return
	}
	s.refuseRestart(id, errNoConnection)
}

// restart restarts ICE in a goroutine of the session. A second request is refused while one is under way.
func (n *notifier) restart(ctx context.Context, media restartable, offer string) {
	if !n.restarting.CompareAndSwap(false, true) {
		n.s.refuseRestart(n.id, errRestarting)
		return
	}
	ctx = context.WithoutCancel(ctx)
	started := n.s.streams.start(func() {
		answer, err := "", panics.Err // unless they are replaced below
		n.s.safely(func() {
			ctx, cancel := context.WithTimeout(ctx, n.s.srv.cfg.AnswerTimeout)
			defer cancel()
			answer, err = media.RestartICE(ctx, offer)
		})
		n.restarting.Store(false) // before the page learns the result, which may make it ask again
		if err != nil {
			n.s.log.Warn("ICE not restarted", "id", n.id, "err", err)
			n.s.refuseRestart(n.id, err)
			return
		}
		n.s.srv.restarts.Count(nil)
		n.s.log.Info("ICE restarted", "id", n.id)
		n.send("setRemoteSDP", n.id, answer, true)
	})
	if !started {
		n.restarting.Store(false)
	}
}

func (s *session) refuseRestart(id string, why error) {
	s.srv.restarts.Count(why)
	s.send("fail", failure{APIMethod: "restartIce", ID: short(id), Status: failed, Info: why.Error()})
}
