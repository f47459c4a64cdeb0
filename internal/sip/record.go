package sip

import (
	"net/netip"
	"sync"

	"transponder/internal/sip/dialog"
	"transponder/internal/sip/leg"
)

// record is what all goroutines may see of a call. Any goroutine may use it.
type record struct {
	mu    sync.Mutex
	info  Info                    // guarded by mu; without the figures of media
	media phoneMedia              // guarded by mu; nil before it is opened
	last  *leg.Stats              // guarded by mu; the final figures of media, once it has ended
	asked int64                   // guarded by mu; key frames asked for by INFO
	peers map[netip.Addr]struct{} // guarded by mu; from where requests within the call may come
}

// change changes the Info.
func (r *record) change(f func(i *Info)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f(&r.info)
}

// snapshot returns the Info as it is.
func (r *record) snapshot() Info {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.info
}

func (r *record) status() dialog.Status { return r.snapshot().Status }

// inform counts a key frame that INFO asked for.
func (r *record) inform() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked++
}

// informed returns how often INFO asked for a key frame.
func (r *record) informed() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.asked
}

// figures returns the figures of media.
func (r *record) figures() leg.Stats {
	r.mu.Lock()
	m, last := r.media, r.last
	r.mu.Unlock()
	switch {
	case last != nil:
		return *last
	case m != nil:
		return m.Stats()
	}
	return leg.Stats{}
}

// open notes the media of the call.
func (r *record) open(m phoneMedia) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.media = m
}

// close keeps the figures of media that has ended. It reports false if that was done before.
func (r *record) close() (leg.Stats, bool) {
	r.mu.Lock()
	m := r.media
	r.media = nil
	r.mu.Unlock()
	if m == nil {
		return leg.Stats{}, false
	}
	s := m.Stats()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last = &s
	return s, true
}

// askKeyFrame asks the phone for a key frame. Any goroutine may call it; it does not block.
func (r *record) askKeyFrame() {
	r.mu.Lock()
	m := r.media
	r.mu.Unlock()
	if m != nil {
		m.AskKeyFrame()
	}
}

// maxPeers limits the addresses that one call talks to.
const maxPeers = 16

// meets notes an address that the call talks to. It reports false if that is nothing new.
func (r *record) meets(a netip.Addr) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, known := r.peers[a]
	if known || len(r.peers) >= maxPeers || !a.IsValid() {
		return false
	}
	r.peers[a] = struct{}{}
	return true
}

// knows reports whether the call talks to an address.
func (r *record) knows(a netip.Addr) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, known := r.peers[a]
	return known
}
