package access

import (
	"fmt"
	"maps"
	"sync"
)

// Full means that a principal, or an application, has as many publishers, players or pushes as it may have.
type Full struct {
	Of   string // "publishers", "players", "pushes"
	Most int
}

// Error is the text for the client.
func (e *Full) Error() string { return fmt.Sprintf("the limit of %d %s is reached", e.Most, e.Of) }

// Quotas counts what principals and applications have at present. All methods may be called from any goroutine. A nil Quotas sets no limit.
type Quotas struct {
	// AppLimits returns the limits of an application; nil: applications have none. Set before use.
	AppLimits func(app string) Limits

	mu      sync.Mutex
	counts  map[string]int   // guarded by mu; by owner and kind
	refused map[string]int64 // guarded by mu; by kind
}

// NewQuotas returns Quotas that has counted nothing.
func NewQuotas() *Quotas { return &Quotas{counts: map[string]int{}, refused: map[string]int64{}} }

// Refused returns how often there was no place, by what was asked for: "publishers", "players", "pushes".
func (q *Quotas) Refused() map[string]int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return maps.Clone(q.refused)
}

// Take takes a place for an action: Publish, Play or Push. The place counts for the principal, for those who have made his credential, and for
// his application. The error is a *Full. release gives the place back.
func (q *Quotas) Take(p *Principal, a Action) (release func(), err error) {
	if q == nil || p == nil {
		return func() {}, nil
	}
	type owner struct {
		key    string
		limits Limits
	}
	var owners []owner
	if id := p.Identity(); id != "" {
		owners = append(owners, owner{"principal " + id, p.Limits})
	}
	for _, m := range p.Makers {
		if m.Limits != (Limits{}) && m.Identity != p.Identity() { // somebody without limits has none to share
			owners = append(owners, owner{"principal " + m.Identity, m.Limits})
		}
	}
	if p.App != "" && q.AppLimits != nil {
		owners = append(owners, owner{"app " + p.App, q.AppLimits(p.App)})
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	var taken []string
	for _, o := range owners {
		most, of := o.limits.of(a)
		key := o.key + " " + of
		if most > 0 && q.counts[key] >= most {
			q.refused[of]++
			return nil, &Full{of, most}
		}
		taken = append(taken, key)
	}
	for _, k := range taken {
		q.counts[k]++
	}
	return sync.OnceFunc(func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		for _, k := range taken {
			if q.counts[k]--; q.counts[k] == 0 {
				delete(q.counts, k)
			}
		}
	}), nil
}

func (l Limits) of(a Action) (most int, of string) {
	switch a {
	case Publish:
		return l.Publishers, "publishers"
	case Play:
		return l.Players, "players"
	}
	return l.Pushes, "pushes"
}
