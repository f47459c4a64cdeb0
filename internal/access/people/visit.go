package people

import (
	"context"
	"net/netip"
	"time"

	"transponder/internal/access"
	"transponder/internal/state"
)

// visitTime is how exactly the state knows when a user has logged in from an address.
const visitTime = time.Hour

// visited notes that a user has logged in, in the state if it knows nothing of it for visitTime.
func (p *People) visited(ctx context.Context, u *user, c access.Credential) {
	now, from := time.Now(), block(c.Peer)
	next := visitRecord{At: now.UnixMilli(), Places: map[string]int64{}}
	for place, at := range p.guesses.visit(u.name, from, now) {
		next.Places[place.String()] = at.UnixMilli()
	}
	p.mu.Lock()
	kept := p.last[u.name] // its places are as the state has them
	before, known := kept.Places[from.String()]
	save := !known || now.Sub(time.UnixMilli(before)) >= visitTime
	if !save {
		next.Places = kept.Places
	}
	p.last[u.name] = next
	p.mu.Unlock()
	if u.source == FromState {
		p.forgetInitial(u.name)
	}
	if !save {
		return
	}
	if _, err := p.visits.Put(ctx, u.name, next, state.Any); err != nil {
		p.log.Warn("the state does not know of a login", "err", err)
	}
}

// visit notes that a user has logged in from an address, and returns all his addresses.
func (g *guesses) visit(name string, from netip.Prefix, now time.Time) places {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.remember(name, from, now)
	copied := make(places, len(g.places[name]))
	for place, at := range g.places[name] {
		copied[place] = at
	}
	return copied
}

// recall takes over the addresses from which a user has logged in before the server was started.
func (g *guesses) recall(name string, p places) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.places[name] = p
}

// forgetUser forgets the addresses of a user.
func (g *guesses) forgetUser(name string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.places, name)
}

// merge adds the addresses from which a user has logged in at another server.
func (g *guesses) merge(name string, p places) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for from, at := range p {
		if at.After(g.places[name][from]) {
			g.remember(name, from, at)
		}
	}
}
