package people

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

	// From a place where the password was right within rightFor, there are more free tries, and the pauses do not grow: a neighbour who
	// guesses behind the same address must not lock the user out.
	freeTriesAtHome = 50
	pauseAtHome     = 2 * time.Second
	rightFor        = 30 * 24 * time.Hour

	// An address with maxWrong wrong credentials within wrongFor is refused for blockedFor.
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
	// maxPlaces is how many addresses are remembered for a user from which he has logged in.
	maxPlaces = 16
)

// block returns the network whose addresses count as one: for IPv6 56 bits, which a provider gives to one customer.
func block(a netip.Addr) netip.Prefix {
	bits := a.BitLen()
	if a.Is6() {
		bits = 56
	}
	p, _ := a.Prefix(bits) // the zero address has the zero prefix
	return p
}

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
	waiting int       // hashes that are being computed, or wait
}

// guesses checks passwords. Clients that were wrong before wait for each other, and for pauses. Other clients wait for neither.
type guesses struct {
	shares guard.SharesConfig

	hashing chan struct{} // holds a token for each hash that is being computed
	again   chan struct{} // holds a token while a hash is computed, or waits, for a client that was wrong before: one at a time

	mu      sync.Mutex
	tries   map[account]*tries // guarded by mu
	waiting [2]int             // guarded by mu; hashes that are computed, or wait, by lane
	same    map[string]*check  // guarded by mu; checks under way, by what they check
	places  map[string]places  // guarded by mu; by user
}

// places are the addresses from which a user has logged in, with the last time.
type places map[netip.Prefix]time.Time

// check is a hash that is computed once for all requests with the same password.
type check struct {
	done  chan struct{}
	right bool // set before done is closed
}

func newGuesses(shares guard.SharesConfig) *guesses {
	return &guesses{
		shares: shares, hashing: make(chan struct{}, hashesAtATime), again: make(chan struct{}, 1),
		tries: map[account]*tries{}, same: map[string]*check{}, places: map[string]places{},
	}
}

// try checks one password of an account by calling right, which takes a while. what identifies the check: the user and a keyed hash
// of the password. If wait is not 0, the password was not checked, since there were too many tries; the client may try again after
// that time.
func (g *guesses) try(ctx context.Context, from netip.Addr, name, what string, right func() bool) (ok bool, wait time.Duration) {
	address := account{from: block(from)}
	person := account{address.from, name}
	g.mu.Lock()
	if c := g.same[what]; c != nil {
		g.mu.Unlock()
		return c.result(ctx)
	}
	a, p := g.of(address), g.of(person)
	home := g.isHome(person, time.Now())
	if wait = g.pause(a, p, from, home); wait > 0 {
		g.mu.Unlock()
		return false, wait
	}
	c := &check{done: make(chan struct{})}
	g.same[what] = c
	lane := p.lane(home)
	g.waiting[lane]++
	a.waiting++
	p.waiting++
	g.mu.Unlock()

	if lane == 1 {
		g.again <- struct{}{} // waits no longer than the hashes before it take
	}
	g.hashing <- struct{}{}
	c.right = right()
	<-g.hashing
	if lane == 1 {
		<-g.again
	}

	g.mu.Lock()
	defer g.mu.Unlock()
	g.waiting[lane]--
	a.waiting--
	p.waiting--
	delete(g.same, what)
	close(c.done)
	now := time.Now()
	if c.right {
		p.wrong, p.until = 0, time.Time{}
		g.remember(name, address.from, now)
	} else {
		p.note(home, now)
		a.noteAddress(now)
	}
	return c.right, 0
}

// tokens is the name by which the wrong tokens of an address are counted. They are counted apart from wrong passwords: a page of a stranger can
// send tokens from the browser of its visitor, to WHIP for one, but no passwords, and must not shut the visitor's address out of the logins.
const tokens = "\x00tokens"

// wrong counts a wrong credential of another kind, such as a token. It returns how long tokens of the address are refused, 0 if they are not.
func (g *guesses) wrong(from netip.Addr) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	a, now := g.of(account{block(from), tokens}), time.Now()
	refused := a.until.Sub(now)
	a.noteAddress(now)
	if refused <= 0 || g.shares.IsProxy(from) {
		return 0
	}
	return refused
}

// before returns how long a secret of an account must not be compared that comes from an address; 0: it may be.
func (g *guesses) before(from netip.Addr, name string) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	person := account{block(from), name}
	a := g.tries[account{person.from, tokens}]
	if a == nil || g.shares.IsProxy(from) || g.isHome(person, now) {
		return 0
	}
	return max(0, a.until.Sub(now))
}

// lane is 1 for an account that was wrong before, and 0 for all others.
func (t *tries) lane(home bool) int {
	if t.wrong > 0 && !home {
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
func (g *guesses) of(who account) *tries {
	t := g.tries[who]
	if t == nil {
		if len(g.tries) >= maxAccounts {
			g.forget(time.Now())
		}
		t = &tries{}
		g.tries[who] = t
	}
	return t
}

// forget drops accounts that have no hash waiting and no pause. If half of the accounts are still there, it drops all that have no hash
// waiting. The caller holds mu.
func (g *guesses) forget(now time.Time) {
	for _, idle := range []func(*tries) bool{
		func(t *tries) bool { return now.After(t.until) && now.Sub(t.first) > wrongFor },
		func(*tries) bool { return true },
	} {
		for who, t := range g.tries {
			if t.waiting == 0 && idle(t) {
				delete(g.tries, who)
			}
		}
		if len(g.tries) < maxAccounts/2 {
			return
		}
	}
}

// pause returns how long a try has to wait before the password is checked; 0: it is checked now. a is the address, p the account. The
// caller holds mu.
func (g *guesses) pause(a, p *tries, from netip.Addr, home bool) time.Duration {
	now := time.Now()
	switch {
	case g.waiting[p.lane(home)] >= maxWaiting, p.waiting >= maxOfAccount:
		return time.Second
	case now.Before(p.until):
		return p.until.Sub(now)
	case home:
		return 0
	case g.shares.IsProxy(from):
		return 0 // many people may be behind a proxy, and their addresses are not known
	case a.waiting >= maxOfAddress:
		return time.Second
	case now.Before(a.until):
		return a.until.Sub(now)
	}
	return 0
}

// note counts a wrong password for an account.
func (t *tries) note(home bool, now time.Time) {
	t.wrong++
	t.first = now
	switch {
	case home && t.wrong > freeTriesAtHome:
		t.until = now.Add(pauseAtHome)
	case !home && t.wrong > freeTries:
		t.until = now.Add(min(time.Second<<min(t.wrong-freeTries-1, 10), longestPause))
	}
}

// noteAddress counts a wrong credential for an address.
func (t *tries) noteAddress(now time.Time) {
	if now.Sub(t.first) > wrongFor {
		t.wrong, t.first = 0, now
	}
	if t.wrong++; t.wrong >= maxWrong {
		t.until = now.Add(blockedFor)
	}
}

// isHome says whether the user has logged in from the address within rightFor. The caller holds mu.
func (g *guesses) isHome(who account, now time.Time) bool {
	at, ok := g.places[who.name][who.from]
	return ok && now.Sub(at) < rightFor
}

// remember notes that a user has logged in from an address. The caller holds mu.
func (g *guesses) remember(name string, from netip.Prefix, now time.Time) {
	p := g.places[name]
	if p == nil {
		p = places{}
		g.places[name] = p
	}
	if _, known := p[from]; !known && len(p) >= maxPlaces {
		oldest := from
		for place, at := range p {
			if oldest == from || at.Before(p[oldest]) {
				oldest = place
			}
		}
		delete(p, oldest)
	}
	p[from] = now
}
