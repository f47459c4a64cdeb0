package exchange

import (
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"transponder/internal/media"
	"transponder/internal/panics"
	"transponder/internal/sip"
	"transponder/internal/sip/dialog"
)

// Exchange holds the phones of all pages, and the calls between them. All methods may be called from any goroutine.
//
// No lock is held while a page is told of something. The events still come in the order in which they were caused.
type Exchange struct {
	ringTime time.Duration
	log      *slog.Logger
	panics   panics.Counter

	mu      sync.Mutex
	phones  map[string][]*Phone // guarded by mu; by login, the newest one last
	pending []func()            // guarded by mu; what is to be done without mu
	telling bool                // guarded by mu; a goroutine calls the functions of pending
}

// New makes an exchange. A phone rings for ringTime.
func New(ringTime time.Duration, log *slog.Logger) *Exchange {
	return &Exchange{ringTime: ringTime, log: log, phones: map[string][]*Phone{}}
}

// Open opens a phone under the login of the account. If the account is to be registered, it is registered at once.
func (x *Exchange) Open(acc sip.Account, events sip.PhoneEvents) (*Phone, error) {
	if acc.Login == "" {
		return nil, &sip.RequestError{Field: "sipLogin", Reason: "is missing"}
	}
	p := &Phone{x: x, login: acc.Login, events: events, sides: map[string]*side{}}
	x.do(func() {
		x.phones[p.login] = append(x.phones[p.login], p)
		if acc.Register {
			x.tell(p.events.Registered)
		}
	})
	return p, nil
}

// do runs f with mu, then calls what f has left in pending. If another goroutine is calling such functions, it calls these, too: so the order
// stays.
func (x *Exchange) do(f func()) {
	x.mu.Lock()
	defer x.mu.Unlock()
	f()
	if x.telling {
		return
	}
	x.telling = true
	defer func() { x.telling = false }()
	for len(x.pending) > 0 {
		next := x.pending
		x.pending = nil
		x.unlocked(next)
	}
}

// unlocked calls the functions without mu. Each is an event for one page. If one panics, the others are still called.
func (x *Exchange) unlocked(list []func()) {
	x.mu.Unlock()
	defer x.mu.Lock()
	for _, f := range list {
		x.safely(f)
	}
}

func (x *Exchange) safely(f func()) {
	_ = x.panics.Run(x.log, "event of a call panicked", func() error { f(); return nil })
}

// Panics returns how many events of calls have panicked.
func (x *Exchange) Panics() int64 { return x.panics.Load() }

// tell appends f to pending: do calls f without mu, after everything that was told before. The caller holds mu.
func (x *Exchange) tell(f func()) { x.pending = append(x.pending, f) }

// find returns the newest phone of a callee: "user", "user@host" or a SIP URI. The caller holds mu.
func (x *Exchange) find(callee string) *Phone {
	user := callee
	for _, scheme := range []string{"sip:", "sips:"} {
		user = strings.TrimPrefix(user, scheme)
	}
	user, _, _ = strings.Cut(user, "@")
	all := x.phones[user]
	if len(all) == 0 {
		return nil
	}
	return all[len(all)-1]
}

// ring has a phone ring. The caller holds mu.
func (x *Exchange) ring(to *Phone, in sip.IncomingCall) *side {
	callee := &side{phone: to, id: uuid.NewString(), state: ringing}
	in.CallID, in.Callee = callee.id, to.login
	to.sides[callee.id] = callee
	callee.timer = time.AfterFunc(x.ringTime, func() { x.safely(func() { x.unanswered(callee) }) })
	x.tell(func() { to.events.Incoming(in) })
	return callee
}

// unanswered ends a call that still rings.
func (x *Exchange) unanswered(callee *side) {
	x.do(func() {
		if callee.state == ringing {
			x.end(callee, dialog.Finish, noAnswer)
			x.left(callee, dialog.ReasonNoAnswer, noAnswer)
		}
	})
}

const noAnswer = "nobody has answered"

// end ends one side and tells its page. The caller holds mu.
func (x *Exchange) end(s *side, status dialog.Status, info string) {
	if s != nil && s.state != over {
		s.drop()
		x.status(s, status, info)
	}
}

// status tells a page of the status of its call. The caller holds mu.
func (x *Exchange) status(s *side, status dialog.Status, info string) {
	x.tell(func() { s.phone.events.Status(s.id, status, info) })
}

// left does what follows when a side has ended. The caller holds mu.
func (x *Exchange) left(s *side, why dialog.Reason, info string) {
	if s.transferor != nil { // it rang for a transfer: the call that was to be transferred goes on
		s.transferor.target = nil
		x.transferring(s.transferor, codeOf(why))
		return
	}
	x.end(s.target, dialog.Finish, info)
	if s.peer != nil {
		x.end(s.peer.target, dialog.Finish, info)
		x.end(s.peer, statusOf(why), info)
	}
}

func (x *Exchange) transferring(s *side, code int) {
	x.tell(func() { s.phone.events.Transferring(s.id, code) })
}

// join connects two sides that have media. The caller holds mu.
func (x *Exchange) join(a, b *side) {
	for _, s := range []*side{a, b} {
		s.state, s.holds, s.transferor = talking, false, nil
		x.status(s, dialog.Established, "")
	}
	a.peer, b.peer = b, a
	x.bridge(a, b)
}

// bridge plays each side to the other one, or nothing while one of them holds. The caller holds mu.
func (x *Exchange) bridge(a, b *side) {
	toA, toB := b.media.Source(), a.media.Source()
	if a.holds || b.holds {
		toA, toB = nil, nil
	}
	ma, mb := a.media, b.media
	x.tell(func() { // an error means that the media has ended, which its door reports
		_ = ma.Play(toA)
		_ = mb.Play(toB)
	})
}

// statusOf returns the status of a call that the other side has ended.
func statusOf(why dialog.Reason) dialog.Status {
	switch why {
	case dialog.ReasonHungUp, dialog.ReasonCancelled, dialog.ReasonNoAnswer:
		return dialog.Finish
	case dialog.ReasonBusy, dialog.ReasonRejected:
		return dialog.Busy
	}
	return dialog.Failed
}

// codeOf returns the SIP code for a transfer whose target did not answer.
func codeOf(why dialog.Reason) int {
	switch why {
	case dialog.ReasonRejected:
		return 603
	case dialog.ReasonNoAnswer, dialog.ReasonHungUp, dialog.ReasonCancelled:
		return 480
	}
	return 500
}

// codecs returns what a page agreed on.
func codecs(m sip.Media) []media.Codec {
	all := []media.Codec{m.Codec(media.Video), m.Codec(media.Audio)}
	return slices.DeleteFunc(all, func(c media.Codec) bool { return c == media.CodecNone })
}
