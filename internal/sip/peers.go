package sip

import (
	"net/netip"
	"sync"
)

// peers are the addresses that calls and registrations talk to at present. Calls.welcome lets them in.
type peers struct {
	mu sync.RWMutex
	n  map[netip.Addr]int // guarded by mu; how many calls and registrations talk to the address
}

func (p *peers) add(a netip.Addr) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.n == nil {
		p.n = map[netip.Addr]int{}
	}
	p.n[a]++
}

func (p *peers) remove(a netip.Addr) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.n[a]--; p.n[a] <= 0 {
		delete(p.n, a)
	}
}

func (p *peers) has(a netip.Addr) bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.n[a] > 0
}
