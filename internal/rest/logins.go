package rest

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"transponder/internal/guard"
)

const (
	// After freeTries wrong passwords in a row, each further try has to wait. The pauses grow from one second to longestPause.
	freeTries    = 5
	longestPause = time.Minute

	// An address with maxWrong wrong passwords within wrongFor is refused for blockedFor.
	maxWrong   = 30
	wrongFor   = 10 * time.Minute
	blockedFor = 15 * time.Minute

	// Computing a hash takes a core for a tenth of a second or longer. So few are computed at a time, and few may wait: maxWaiting of
	// those who were wrong before, and as many of the others; maxOfAddress of one address, and maxOfAccount of one address for one
	// user.
	hashesAtATime              = 2
	maxWaiting                 = 16
	maxOfAddress, maxOfAccount = 4, 2

	// maxAccounts is how many accounts and addresses are remembered.
	maxAccounts = 10_000
)

// account is a user name as it comes from one address.
type account struct {
	from netip.Prefix
	name string
}

// tries describes the tries to log in to one account, or from one address as a whole, whose account has no name.
type tries struct {
	wrong   int       // wrong passwords: in a row for an account, within wrongFor for an address
	first   time.Time // when the first of them came
	until   time.Time // until then tries are refused
	right   bool      // a password was right once: its owner does not wait because of others who guess
	waiting int       // hashes that are being computed, or wait
}

// logins checks passwords. Clients that were wrong before wait for each other, and for pauses. Other clients wait for neither.
type logins struct {
	shares guard.SharesConfig

	hashing chan struct{} // holds a token for each hash that is being computed
	again   chan struct{} // holds a token while a hash is computed, or waits, for a client that was wrong before: one at a time

	mu      sync.Mutex
	tries   map[account]*tries // guarded by mu
	waiting [2]int             // guarded by mu; hashes that are computed, or wait, by lane
	same    map[string]*check  // guarded by mu; checks under way, by what they check
}

// check is a hash that is computed once for all requests with the same password.
type check struct {
	done  chan struct{}
	right bool // set before done is closed
}

func newLogins(shares guard.SharesConfig) *logins {
	return &logins{shares: shares, hashing: make(chan struct{}, hashesAtATime), again: make(chan struct{}, 1), tries: map[account]*tries{}, same: map[string]*check{}}
}

// try checks one password of an account by calling right, which takes a while. what identifies the check: the user and a keyed hash
// of the password. If wait is not 0, the password was not checked, since there were too many tries; the client may try again after
// that time.
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
		l.again <- struct{}{} // waits no longer than the hashes before it take
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

// lane is 1 for an account that was wrong before, and 0 for all others.
func (t *tries) lane() int {
	if t.wrong > 0 && !t.right {
		return 1
	}
	return 0
}

// result waits for a check that another request has started.
func (c *check) result(ctx context.Context) (ok bool, wait time.Duration) {
	select {
	case <-c.done:
		return c.right, 0
	case <-ctx.Done():
		return false, time.Second
	}
}

// of returns the tries of an account, new ones if there are none. The caller holds mu.
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

// forget drops accounts that have no hash waiting and no pause. If half of the accounts are still there, it drops all that have no hash
// waiting. The caller holds mu.
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

// pause returns how long a try has to wait before the password is checked; 0: it is checked now. a is the address, p the account. The
// caller holds mu.
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
		return 0 // many people may be behind a proxy, and their addresses are not known
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
