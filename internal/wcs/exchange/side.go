package exchange

import (
	"time"

	"transponder/internal/sip"
	"transponder/internal/sip/dialog"
)

// state is the state of one side of a call.
type state int

const (
	calling    state = iota // the caller waits for an answer
	ringing                 // the callee has not answered
	connecting              // the callee has answered, the caller's media is being made
	talking
	over
)

// side is one page's part in a call. The lock of its Exchange guards it.
type side struct {
	phone *Phone
	id    string
	state state
	media sip.Media // nil before
	holds bool      // it has put the peer on hold
	timer *time.Timer
	peer  *side // nil while it rings for a transfer

	target     *side // rings, because this side transfers its peer there
	transferor *side // the side that transfers its peer here
}

// drop takes the side from its phone. The exchange's lock is held.
func (s *side) drop() {
	s.state = over
	s.stopRinging()
	delete(s.phone.sides, s.id)
}

func (s *side) stopRinging() {
	if s.timer != nil {
		s.timer.Stop()
	}
}

// held returns the status of a call that is established.
func (s *side) held() dialog.Status {
	if s.holds || s.peer.holds {
		return dialog.Hold
	}
	return dialog.Established
}
