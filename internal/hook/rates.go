package hook

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"transponder/internal/guard"
)

const (
	// connectRate and connectBurst are how many connects of clients without a credential one address may cause in a second, and at once.
	// Many people may come from one address.
	connectRate  = 20
	connectBurst = 200
	// maxRates bounds the addresses that are remembered. Past it, those that have been quiet are forgotten.
	maxRates = 10_000
)

// rates limits how often strangers can make this server ask a backend.
type rates struct {
	shares guard.SharesConfig

	mu sync.Mutex
	by map[netip.Prefix]*rate.Limiter // guarded by mu
}

func newRates(shares guard.SharesConfig) *rates {
	return &rates{shares: shares, by: map[netip.Prefix]*rate.Limiter{}}
}

// allow says whether an address may cause another request now. Proxies, and so this machine, may always: many people come through them.
func (r *rates) allow(a netip.Addr, now time.Time) bool {
	if !a.IsValid() || r.shares.IsProxy(a) {
		return true
	}
	who := guard.Block(a)
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.by[who]
	if l == nil {
		if len(r.by) >= maxRates {
			for other, limiter := range r.by {
				if limiter.TokensAt(now) >= connectBurst {
					delete(r.by, other)
				}
			}
			if len(r.by) >= maxRates {
				return false
			}
		}
		l = rate.NewLimiter(connectRate, connectBurst)
		r.by[who] = l
	}
	return l.AllowN(now, 1)
}
