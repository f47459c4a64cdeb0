package transponder

import (
	"errors"
	"sync"

	"transponder/internal/access"
)

// Rights says how many pushes somebody may have, and when somebody loses the right to a push. auth.Authenticator is one.
type Rights interface {
	// Take fails with *access.Full. The caller calls release once.
	Take(p *access.Principal, do access.Action) (release func(), err error)
	Hold(p *access.Principal) *access.Lease
}

// rightsError ends a push whose owner has lost the right to it.
type rightsError struct{ err error }

func (e *rightsError) Error() string { return "the right to push is over: " + e.err.Error() }

func (e *rightsError) Unwrap() error { return e.err }

// words explains it to people.
func (e *rightsError) words() string {
	if errors.Is(e.err, access.ErrExpired) {
		return "The time of the token or key that started it is over."
	}
	return "Whoever started it has lost the right to it: a token or key was revoked, or a user was removed or has less rights."
}

// take takes one of the places for pushes that somebody may have.
func (r *Registry) take(by *access.Principal) (release func(), err error) {
	if r.parts.Rights == nil || by == nil {
		return func() {}, nil
	}
	return r.parts.Rights.Take(by, access.Push)
}

// takePlaces is take for a push with some addresses. A push that sends to all of them at the same time takes a place for each.
func (r *Registry) takePlaces(req Request, addresses int) (release func(), err error) {
	if !req.Options.Simultaneous {
		addresses = 1
	}
	var taken []func()
	release = func() {
		for _, free := range taken {
			free()
		}
	}
	for range addresses {
		free, err := r.take(req.By)
		if err != nil {
			release()
			return nil, err
		}
		taken = append(taken, free)
	}
	return release, nil
}

// watch ends a push when its owner has lost the right to it, or when another process has taken it over. stop ends the watch, and waits for it.
func (r *Registry) watch(e *entry) (stop func()) {
	unwatch := r.watchRights(e)
	lost := e.claim.Lost()
	if lost == nil {
		return unwatch
	}
	over := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := e.fence(over); err != nil {
			e.cancel(err)
		}
	})
	return func() {
		close(over)
		wg.Wait()
		unwatch()
	}
}

// watchRights ends a push when whoever started it has lost the right to it: his token or key is no longer valid, or he is a user who is removed. A
// new password of a user ends no push. stop ends the watch, and waits for it.
func (r *Registry) watchRights(e *entry) (stop func()) {
	by := e.req.By
	if r.parts.Rights == nil || by == nil || by.Kind != access.Token && by.Kind != access.Key && by.Kind != access.User {
		return func() {}
	}
	lease := r.parts.Rights.Hold(by)
	over := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		select {
		case <-lease.Done():
			e.cancel(&rightsError{lease.Err()})
		case <-over:
		}
	})
	return func() {
		close(over)
		wg.Wait()
		lease.Release()
	}
}
