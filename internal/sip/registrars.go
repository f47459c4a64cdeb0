package sip

import (
	"errors"
	"net/netip"
	"sync"
)

// maxSilent is how many registrations may be tried at an address from which no answer has come. Pages name their registrar, and pages are
// open to everybody: without a limit, a thousand pages could have this server flood a host that is no registrar.
const maxSilent = 16

// errSilent means that a registrar was not asked. It is asked later.
var errSilent = errors.New("the registrar does not answer others that register there")

// registrars counts the registrations at each address. Any goroutine may call the methods.
type registrars struct {
	mu     sync.Mutex
	silent map[netip.Addr]int // guarded by mu; registrations without any answer yet
	heard  map[netip.Addr]int // guarded by mu; registrations that had an answer
}

// enter notes a registration that begins at an address. It reports false if the address does not answer and is asked enough.
func (r *registrars) enter(a netip.Addr) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.heard[a] == 0 && r.silent[a] >= maxSilent {
		return false
	}
	add(&r.silent, a, 1)
	return true
}

// answered notes the first answer to a registration.
func (r *registrars) answered(a netip.Addr) {
	r.mu.Lock()
	defer r.mu.Unlock()
	add(&r.silent, a, -1)
	add(&r.heard, a, 1)
}

// leave notes that a registration has ended.
func (r *registrars) leave(a netip.Addr, answered bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if answered {
		add(&r.heard, a, -1)
		return
	}
	add(&r.silent, a, -1)
}

func add(m *map[netip.Addr]int, a netip.Addr, n int) {
	if *m == nil {
		*m = map[netip.Addr]int{}
	}
	if (*m)[a] += n; (*m)[a] == 0 {
		delete(*m, a)
	}
}
