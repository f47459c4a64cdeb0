package app

import (
	"net"
	"net/http"
	"sync"
	"time"

	"transponder/internal/guard"
)

const (
	idleTimeout = 2 * time.Minute // between two requests on one connection

	// When more than crowdedPercent of the places are taken, a connection that is idle for idleWhenCrowded makes room for others.
	idleWhenCrowded = 30 * time.Second
	crowdedPercent  = 80
)

// idlers are the HTTP connections that wait for a request. When places become rare, the longest of them are closed: a client that sends
// another request connects again. Any goroutine may call the methods.
type idlers struct {
	places *guard.Places

	mu    sync.Mutex
	since map[net.Conn]time.Time // guarded by mu
}

func newIdlers(places *guard.Places) *idlers {
	return &idlers{places: places, since: map[net.Conn]time.Time{}}
}

// note is the ConnState of an http.Server.
func (i *idlers) note(c net.Conn, state http.ConnState) {
	now := time.Now()
	i.mu.Lock()
	delete(i.since, c)
	if state == http.StateIdle {
		i.since[c] = now
	}
	var closing []net.Conn
	if state == http.StateNew && i.places.Crowded(crowdedPercent) {
		for c, since := range i.since {
			if now.Sub(since) >= idleWhenCrowded {
				closing = append(closing, c)
				delete(i.since, c)
			}
		}
	}
	i.mu.Unlock()
	for _, c := range closing {
		c.Close()
	}
}
