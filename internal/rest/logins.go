package rest

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"transponder/internal/guard"
)

const (
	// freeTries is how often somebody may be wrong without a pause, and longestPause what the pauses grow to, from a second on.
	freeTries    = 5
	longestPause = time.Minute

	// An address that is wrong so often in that time is not asked again for a while.
	maxWrong   = 30
	wrongFor   = 10 * time.Minute
	blockedFor = 15 * time.Minute

	// Each hash takes a core for a tenth of a second or longer. So few are made at a time, and so few wait: of those who were wrong
	// before, of those who were not, of an address and of an address for one user.
	hashesAtATime              = 2
	maxWaiting                 = 16
	maxOfAddress, maxOfAccount = 4, 2

	// maxAccounts bounds what is remembered.
	maxAccounts = 10_000
)

// account is a user as one address names it.
type account struct {
	from netip.Prefix
	name string
}

// tries are what became of the tries to log in: of an account, or of an address as a whole, which has no name.
type tries struct {
	wrong   int       // in a row for an account, within wrongFor for an address
	first   time.Time // of those
	until   time.Time // not asked again before
	right   bool      // a password was right once: who knows it is not held up by those who guess it
	waiting int       // hashes that are made, or wait to be
}

// logins lets people try passwords. Those who guess wait for each other and for pauses; others wait for none of them.
type logins struct {
	shares guard.SharesConfig

	hashing chan struct{} // holds a token for each hash that is made
	again   chan struct{} // holds one while a hash is made, or waits, for somebody who was wrong before: there is one at a time

	mu      sync.Mutex
	tries   map[account]*tries // guarded by mu
	waiting [2]int             // guarded by mu; hashes that are made, or wait to be: for those who were not wrong before, and those who were
	same    map[string]*check  // guarded by mu; those that are under way, by what is checked
}

// check is a hash that is made once for all who ask for the same.
type check struct {
	done  chan struct{}
	right bool // set before done is closed
}

func newLogins(shares guard.SharesConfig) *logins {
	return &logins{shares: shares, hashing: make(chan struct{}, hashesAtATime), again: make(chan struct{}, 1), tries: map[account]*tries{}, same: map[string]*check{}}
}

// try has one password of an account checked by right, which takes a while. what is the user and a keyed hash of the password. If wait
// is not 0 it was not checked: there were too many tries.
func (l *logins) try(ctx context.Context, from netip.Addr, name, what string, right func() bool) (ok bool, wait time.Duration) {
	address := account{from: guard.Block(from)}
	person := account{address.from, name}
	l.mu.Lock()
	if c := l.same[what]; c != nil {
		l.mu.Unlock()
		return c.result(ctx)
	}
	a, p := l.of(address), l.of(person)
	if wait = l.pause(a, p, from); wait > 0 {
		l.mu.Unlock()
		return false, wait
	}
	c := &check{done: make(chan struct{})}
	l.same[what] = c
	lane := p.lane()
	l.waiting[lane]++
	a.waiting++
	p.waiting++
	l.mu.Unlock()

	if lane == 1 {
		l.again <- struct{}{} // this and the next for no longer than the hashes before take
	}
	l.hashing <- struct{}{}
	c.right = right()
	<-l.hashing
	if lane == 1 {
		<-l.again
	}

	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting[lane]--
	a.waiting--
	p.waiting--
	delete(l.same, what)
	close(c.done)
	if c.right {
		p.wrong, p.until, p.right = 0, time.Time{}, true
	} else {
		l.wrong(a, p, time.Now())
	}
	return c.right, 0
}

// lane is 1 for who was wrong before, and 0 for all others.
func (t *tries) lane() int {
	if t.wrong > 0 && !t.right {
		return 1
	}
	return 0
}

// result waits for what another request has asked for.
func (c *check) result(ctx context.Context) (ok bool, wait time.Duration) {
	select {
	case <-c.done:
		return c.right, 0
	case <-ctx.Done():
		return false, time.Second
	}
}

// of returns the tries of an account. The caller holds mu.
func (l *logins) of(who account) *tries {
	t := l.tries[who]
	if t == nil {
		if len(l.tries) >= maxAccounts {
			l.forget(time.Now())
		}
		t = &tries{}
		l.tries[who] = t
	}
	return t
}

// forget drops those who do not wait and are not to wait, and if these are few all who do not wait. The caller holds mu.
func (l *logins) forget(now time.Time) {
	for _, idle := range []func(*tries) bool{
		func(t *tries) bool { return !t.right && now.After(t.until) && now.Sub(t.first) > wrongFor },
		func(*tries) bool { return true },
	} {
		for who, t := range l.tries {
			if t.waiting == 0 && idle(t) {
				delete(l.tries, who)
			}
		}
		if len(l.tries) < maxAccounts/2 {
			return
		}
	}
}

// pause is how long an account of an address has to wait before its password is looked at; 0 for now. The caller holds mu.
func (l *logins) pause(a, p *tries, from netip.Addr) time.Duration {
	now := time.Now()
	switch {
	case l.waiting[p.lane()] >= maxWaiting, p.waiting >= maxOfAccount:
		return time.Second
	case p.right:
		return 0
	case now.Before(p.until):
		return p.until.Sub(now)
	case l.shares.IsProxy(from):
		return 0 // many people may be behind it, and who they are is not known
	case a.waiting >= maxOfAddress:
		return time.Second
	case now.Before(a.until):
		return a.until.Sub(now)
	}
	return 0
}

// wrong notes a wrong password. The caller holds mu.
func (l *logins) wrong(a, p *tries, now time.Time) {
	if p.wrong++; p.wrong > freeTries {
		p.until = now.Add(min(time.Second<<min(p.wrong-freeTries-1, 10), longestPause))
	}
	p.first = now
	if now.Sub(a.first) > wrongFor {
		a.wrong, a.first = 0, now
	}
	if a.wrong++; a.wrong >= maxWrong {
		a.until = now.Add(blockedFor)
	}
}
