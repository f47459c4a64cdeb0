package sip

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"transponder/internal/access"
	"transponder/internal/sip/dialog"
	"transponder/internal/sip/line"
	"transponder/internal/stream"
)

// inboxSize is how many messages and requests may wait for the goroutine of a call or of a registration. A message that finds no room is
// dropped and counted: the peer repeats it.
const inboxSize = 128

// call is one call. The fields of the first group do not change after Calls.begin. The goroutine of run owns the fields of the second group.
type call struct {
	calls        *Calls
	id           string // of the API
	wireID       string // Call-ID of the messages
	tag          string // our tag
	log          *slog.Logger
	account      Account
	route        route  // of an outgoing call
	pair         string // the address of the push of the request; "": there is none
	push         string // id of that push; "": there is none
	wants        wants
	registration *registration // whose contact is used; nil: the call has one of its own
	joined       bool          // registration is kept for this call, too
	credentials  dialog.Credentials
	phone        *Phone          // of the page at our end; nil: no page
	invite       *dialog.Request // of an incoming call; nil: the call is outgoing
	source       *stream.Source
	lease        *access.Lease // of the client who has asked for the call; nil: it does not end
	entered      bool          // guarded by Calls.mu; the call has begun, and can be found

	dialog   *dialog.Call // nil before the first message
	session  session
	media    phoneMedia // nil before it is opened
	ways     ways
	hears    hears
	page     pageSide
	hold     hold
	public   bool      // the media of the phone is published
	longest  time.Time // when the call ends because it has lasted too long; zero: not limited
	transfer time.Time // when a transfer without progress is given up; zero: there is none
	final    bool      // the status is final, and everything but the signalling has ended

	inbox    chan func(now time.Time)
	prepared chan prepared
	ends     chan ending             // the first wish to end the call
	kill     context.CancelCauseFunc // ends run at once
	stop     context.CancelCauseFunc // ends the children of run; owned by run
	children sync.WaitGroup
	done     chan struct{} // closed when the status is final
	quiet    chan struct{} // closed when the peer knows, too
	gone     chan struct{} // closed when run has returned

	record record
	forged atomic.Bool // a request with the tags of the call came from somewhere else
}

// ending is a wish to end a call.
type ending struct {
	reason dialog.Reason
	info   string
}

// Error makes an ending an error: prepare returns it for a call that cannot begin.
func (e ending) Error() string { return e.info }

// hangUp ends the call. It does not wait. Only the first wish counts.
func (k *call) hangUp(reason dialog.Reason, info string) {
	select {
	case k.ends <- ending{reason, info}:
	default:
	}
}

// post gives f to the goroutine of the call. It never blocks, and reports false if there is no room.
func (k *call) post(f func(now time.Time)) bool {
	select {
	case k.inbox <- f:
		return true
	default:
		k.calls.totals.busy.Add(1)
		return false
	}
}

// do runs f on the goroutine of the call, unless the call has ended.
func (k *call) do(f func(now time.Time) error) error {
	result := make(chan error, 1)
	ask := func(now time.Time) {
		if k.final {
			result <- ErrNoCall
			return
		}
		result <- f(now)
	}
	select {
	case k.inbox <- ask:
	case <-k.done:
		return ErrNoCall
	}
	select {
	case err := <-result:
		return err
	case <-k.gone:
		return ErrNoCall
	}
}

// Response takes a response from the line.
func (k *call) Response(r *dialog.Response, o line.Origin) {
	k.post(func(now time.Time) {
		k.hear(o)
		k.dialog.Response(now, r)
	})
}

// Unsent takes a request that could not be sent.
func (k *call) Unsent(r *dialog.Request, err error) {
	k.post(func(now time.Time) { k.dialog.Unsent(now, r, err) })
}
