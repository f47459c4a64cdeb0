package wcs

import (
	"slices"

	"transponder/internal/sip/dialog"
)

// callState is the state of a page's call. It is the status that the page was told last, except callNew and callAnswered, which are not told.
type callState string

const (
	callNew         callState = "new" // nothing was told yet
	callTrying      callState = callState(dialog.Trying)
	callRing        callState = callState(dialog.Ring)
	callRingMedia   callState = callState(dialog.RingMedia)
	callProgress    callState = callState(dialog.SessionProgress)
	callAnswered    callState = "answered" // the page has answered an incoming call; the other side does not know yet
	callEstablished callState = callState(dialog.Established)
	callHold        callState = callState(dialog.Hold)
	callFinish      callState = callState(dialog.Finish)
	callBusy        callState = callState(dialog.Busy)
	callFailed      callState = callState(dialog.Failed)
)

// callMoves are the moves of calls that have not ended. A call may end in every state.
var callMoves = map[callState][]callState{
	callNew:         {callTrying, callRing},
	callTrying:      {callRing, callRingMedia, callProgress, callEstablished},
	callRing:        {callRingMedia, callProgress, callAnswered, callEstablished},
	callRingMedia:   {callRing, callProgress, callEstablished},
	callProgress:    {callRing, callRingMedia, callEstablished},
	callAnswered:    {callEstablished},
	callEstablished: {callHold},
	callHold:        {callEstablished},
}

// final says whether no other state follows.
func (st callState) final() bool { return dialog.Status(st).Final() }

// allows says whether a call in this state may go to next.
func (st callState) allows(next callState) bool {
	if next.final() {
		return !st.final()
	}
	return slices.Contains(callMoves[st], next)
}

// talking says whether the call was established, and has not ended.
func (st callState) talking() bool { return st == callEstablished || st == callHold }

// message returns the name of the message that tells the page of this state.
func (st callState) message() string {
	switch st {
	case callTrying:
		return "notifyTryingResponse"
	case callRing, callRingMedia, callProgress:
		return "ring"
	case callEstablished:
		return "talk"
	case callHold:
		return "hold"
	default:
		return "finish" // also for BUSY: the SDK does not read a message "busy"
	}
}
