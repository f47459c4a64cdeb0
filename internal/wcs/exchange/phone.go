package exchange

import (
	"context"
	"slices"

	"transponder/internal/media"
	"transponder/internal/sip"
	"transponder/internal/sip/dialog"
)

// Phone is a page in the exchange.
type Phone struct {
	x      *Exchange
	login  string
	events sip.PhoneEvents

	closed bool             // guarded by x.mu
	sides  map[string]*side // guarded by x.mu; by call id
}

// Call calls another page. A callee that is not there, or talks to somebody, is reported by a status.
func (p *Phone) Call(_ context.Context, c sip.PageCall) (err error) {
	p.x.do(func() {
		switch {
		case p.closed:
			err = sip.ErrState
			return
		case p.sides[c.CallID] != nil:
			err = sip.ErrCallID
			return
		}
		from := &side{phone: p, id: c.CallID, state: calling}
		to := p.x.find(c.Callee)
		busy := to != nil && len(to.sides) > 0
		p.sides[from.id] = from
		switch {
		case to == nil:
			p.x.end(from, dialog.Failed, "there is no such callee")
		case busy, to == p:
			p.x.end(from, dialog.Busy, "the callee is in another call")
		default:
			from.peer = p.x.ring(to, sip.IncomingCall{Caller: p.login, VisibleName: c.VisibleName, Audio: c.Audio, Video: c.Video})
			from.peer.peer = from
			p.x.status(from, dialog.Ring, "")
		}
	})
	return err
}

// with calls f for a call of this phone that is in one of the states.
func (p *Phone) with(callID string, f func(s *side), in ...state) (err error) {
	p.x.do(func() {
		s := p.sides[callID]
		switch {
		case s == nil:
			err = sip.ErrNoCall
		case !slices.Contains(in, s.state):
			err = sip.ErrState
		default:
			f(s)
		}
	})
	return err
}

// Answer takes a call that rings. The lines are not used: there is no SIP.
func (p *Phone) Answer(callID string, m sip.Media, _ []string) error {
	return p.with(callID, func(s *side) {
		s.stopRinging()
		s.media = m
		if t := s.transferor; t != nil {
			p.x.handOver(t, s)
			return
		}
		s.state, s.peer.state = connecting, connecting
		from, speaks, video := s.peer, codecs(m), m.Codec(media.Video) != media.CodecNone
		p.x.tell(func() { from.phone.events.MediaReady(from.id, speaks, video) })
	}, ringing)
}

// Connect gives a call of this phone its media, after MediaReady. The two sides hear each other from now on.
func (p *Phone) Connect(callID string, m sip.Media) error {
	return p.with(callID, func(s *side) {
		s.media = m
		p.x.join(s, s.peer)
	}, connecting)
}

// Hangup ends a call.
func (p *Phone) Hangup(callID string, why dialog.Reason, info string) error {
	return p.with(callID, func(s *side) { p.x.hangUp(s, why, info) }, calling, ringing, connecting, talking)
}

// hangUp ends a side whose page knows. The caller holds mu.
func (x *Exchange) hangUp(s *side, why dialog.Reason, info string) {
	s.drop()
	x.left(s, why, info)
}

// Hold stops the media both ways, or starts it again.
func (p *Phone) Hold(callID string, on, _ bool) error {
	return p.with(callID, func(s *side) {
		s.holds = on
		p.x.bridge(s, s.peer)
		p.x.status(s, s.held(), "")
		p.x.status(s.peer, s.held(), "")
	}, talking)
}

// SendDigits hands the keys to the other page.
func (p *Phone) SendDigits(callID, keys string, _ sip.Digits) error {
	return p.with(callID, func(s *side) {
		to := s.peer
		p.x.tell(func() { to.phone.events.Digits(to.id, keys) })
	}, talking)
}

// Transfer has the other side talk to the target instead. A target that talks to this phone already is joined at once.
func (p *Phone) Transfer(callID, target string) error {
	return p.with(callID, func(s *side) {
		to := p.x.find(target)
		other := p.talksTo(to)
		switch {
		case s.target != nil:
			p.x.transferring(s, 491)
		case to == nil:
			p.x.transferring(s, 404)
		case other != nil && other != s:
			there := other.peer
			p.x.end(other, dialog.Finish, transferred)
			p.x.handOver(s, there)
		case len(to.sides) > 0:
			p.x.transferring(s, 486)
		default:
			s.target = p.x.ring(to, sip.IncomingCall{
				Caller: s.peer.phone.login, Audio: true, Video: s.peer.media.Codec(media.Video) != media.CodecNone,
				Codecs: codecs(s.peer.media),
			})
			s.target.transferor = s
			p.x.transferring(s, 100)
		}
	}, talking)
}

const transferred = "the call was transferred"

// talksTo returns the side of this phone that talks to another phone, nil if there is none. The lock of the exchange is held.
func (p *Phone) talksTo(to *Phone) *side {
	for _, s := range p.sides {
		if to != nil && s.state == talking && s.peer.phone == to {
			return s
		}
	}
	return nil
}

// handOver connects the peer of s to another side, and ends s. The caller holds mu.
func (x *Exchange) handOver(s, to *side) {
	s.target = nil
	x.transferring(s, 200)
	x.join(s.peer, to)
	x.end(s, dialog.Finish, transferred)
}

// Close hangs up all calls, and takes the phone out of the exchange. Callers then reach the phone that had the login before.
func (p *Phone) Close() {
	p.x.do(func() {
		p.closed = true
		all := slices.DeleteFunc(p.x.phones[p.login], func(q *Phone) bool { return q == p })
		if p.x.phones[p.login] = all; len(all) == 0 {
			delete(p.x.phones, p.login)
		}
		for _, s := range p.sides {
			why := dialog.ReasonHungUp
			if s.state == ringing {
				why = dialog.ReasonNoAnswer
			}
			p.x.hangUp(s, why, "")
		}
	})
}
