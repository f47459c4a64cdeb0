package wcs

import (
	"context"
	"maps"
	"slices"
	"sync"

	"transponder/internal/sip"
)

// callSet holds the calls of one session, and the phone that makes and takes them. It takes the events of the phone.
//
// Lock order: callSet.mu, then streamSet.mu.
type callSet struct {
	s *session

	life   func() (context.Context, context.CancelCauseFunc) // makes the context of an incoming call; set by open
	opened chan struct{}                                     // closed when open returns

	mu         sync.Mutex
	closed     bool             // guarded by mu
	phone      Phone            // guarded by mu; nil: the session has no account that works
	dials      string           // guarded by mu; the only callee that the page may call; "": everybody
	registered bool             // guarded by mu
	calls      map[string]*call // guarded by mu; by call id
}

func newCallSet(s *session) *callSet {
	return &callSet{s: s, opened: make(chan struct{}), calls: map[string]*call{}}
}

// open opens the phone. Events may come before open returns. dials is the only callee that the page may call; "": everybody.
func (set *callSet) open(ctx context.Context, dials string, open func(sip.PhoneEvents) (Phone, error)) error {
	defer close(set.opened)
	set.life = func() (context.Context, context.CancelCauseFunc) {
		return context.WithCancelCause(context.WithoutCancel(ctx))
	}
	phone, err := open(set)
	if err != nil {
		return err
	}
	set.mu.Lock()
	set.phone, set.dials = phone, dials
	closed := set.closed
	set.mu.Unlock()
	if closed {
		phone.Close()
	}
	return nil
}

// hasNoPhone says whether the session can make no calls.
func (set *callSet) hasNoPhone() bool {
	set.mu.Lock()
	defer set.mu.Unlock()
	return set.phone == nil
}

// awaitPhone returns the phone. An incoming call may be earlier than the end of open.
func (set *callSet) awaitPhone() Phone {
	<-set.opened
	set.mu.Lock()
	defer set.mu.Unlock()
	return set.phone
}

// fixedCallee returns the only callee that the page may call; "": everybody.
func (set *callSet) fixedCallee() string {
	set.mu.Lock()
	defer set.mu.Unlock()
	return set.dials
}

// close lets nothing new begin, and ends all calls and the registration. It does not wait.
func (set *callSet) close() {
	set.mu.Lock()
	first := !set.closed
	set.closed = true
	phone := set.phone
	set.mu.Unlock()
	for _, c := range set.all() {
		c.end(errDisconnected)
	}
	if first && phone != nil {
		phone.Close()
	}
}

// add adds a call, and runs it in a goroutine that calls begin first.
func (set *callSet) add(c *call, begin func(context.Context)) error {
	life, cancel := set.life()
	c.cancel = cancel
	set.mu.Lock()
	defer set.mu.Unlock()
	_, taken := set.calls[c.id]
	err := error(nil)
	switch {
	case set.closed:
		err = errDisconnected
	case taken:
		err = errCallID
	case len(set.calls) >= set.s.srv.cfg.MaxCalls:
		err = errTooManyCalls
	case !set.s.streams.start(func() { c.run(life, begin) }):
		err = errDisconnected
	}
	if err != nil {
		cancel(nil)
		return err
	}
	set.calls[c.id] = c
	set.s.srv.count.calls.Add(1)
	return nil
}

func (set *callSet) drop(c *call) {
	set.mu.Lock()
	defer set.mu.Unlock()
	if set.calls[c.id] == c {
		delete(set.calls, c.id)
		set.s.srv.count.calls.Add(-1)
	}
}

// call returns the call with the id, nil if there is none.
func (set *callSet) call(id string) *call {
	set.mu.Lock()
	defer set.mu.Unlock()
	return set.calls[id]
}

func (set *callSet) all() []*call {
	set.mu.Lock()
	defer set.mu.Unlock()
	return slices.Collect(maps.Values(set.calls))
}

func (set *callSet) len() int {
	set.mu.Lock()
	defer set.mu.Unlock()
	return len(set.calls)
}

// tellAgain tells a page that has returned that it is registered, and of its calls.
func (set *callSet) tellAgain() {
	set.mu.Lock()
	registered := set.registered
	set.mu.Unlock()
	if registered {
		set.s.send("registered", struct{}{})
	}
	for _, c := range set.all() {
		c.tell(func(context.Context) { c.tellAgain() })
	}
}
