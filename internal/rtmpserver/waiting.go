package rtmpserver

import (
	"net/netip"
	"sync"

	"transponder/internal/guard"
)

// maxWaiting is how many connections of one address may wait for their admission: for the handshake, the request, the check of the token and
// the answer of a backend. Encoders need a moment for that. Somebody who tries tokens, or holds connections open, gets no more than his share.
const maxWaiting = 8

// whyWaiting is the reason for a refusal if an address has maxWaiting connections that are not admitted.
const whyWaiting = "waiting"

// waiting counts the connections that are not admitted yet, by address. All methods may be called from any goroutine.
type waiting struct {
	shares guard.SharesConfig // knows the proxies, behind which there are many clients

	mu sync.Mutex
	by map[netip.Prefix]int // guarded by mu
}

// enter counts another connection of an address. admitted ends the wait, at the admission or at the end of the connection. nil: there are too
// many already.
func (w *waiting) enter(a netip.Addr) (admitted func()) {
	if w.shares.IsProxy(a) {
		return func() {}
	}
	who := guard.Block(a)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.by[who] >= maxWaiting {
		return nil
	}
	w.by[who]++
	return sync.OnceFunc(func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.by[who]--; w.by[who] == 0 {
			delete(w.by, who)
		}
	})
}
