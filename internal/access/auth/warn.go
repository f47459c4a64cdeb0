package auth

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"transponder/internal/access"
)

// Warnings says in words what the settings allow to strangers.
func (c Config) Warnings() []string {
	var all []string
	if c.Mode == Open {
		all = append(all, "access=open: everybody who reaches this server may publish, play, push, and end what others do")
	}
	if c.REST == RESTOpen {
		all = append(all, "disable_rest_auth=true: everybody who reaches this server may use REST, start pushes, and end what others do")
	}
	for _, a := range []access.Action{access.Admin, access.Control, access.Push} {
		if slices.Contains(c.Anonymous, a) && c.Mode != Open {
			all = append(all, "anonymous has "+string(a)+": everybody who reaches this server may do that")
			break
		}
	}
	return all
}

// warnEvery is how often Run repeats the warnings.
const warnEvery = time.Hour

// Run logs what the settings allow to strangers, at once and then every hour, until ctx ends.
func (a *Authenticator) Run(ctx context.Context) error {
	tick := time.NewTicker(warnEvery)
	defer tick.Stop()
	for {
		for _, w := range a.cfg.Warnings() {
			a.log.Warn("access", "detail", w)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// manyNames is how many names of this server a program on this machine would hardly use.
const manyNames = 3

// names are the names by which clients on this machine have called the server. A proxy on this machine that adds no header looks like such a
// client, and passes on the names that its own clients use.
type names struct {
	mu   sync.Mutex
	seen []string // guarded by mu; at most manyNames
}

// add notes the Host header of a request. It returns true once: with the last of manyNames.
func (n *names) add(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.ToLower(strings.Trim(name, "[]"))
	if addr, err := netip.ParseAddr(name); err == nil && addr.Unmap().IsLoopback() || name == "localhost" || name == "" {
		return false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.seen) >= manyNames || slices.Contains(n.seen, name) {
		return false
	}
	n.seen = append(n.seen, name)
	return len(n.seen) == manyNames
}

// watch warns if local requests look as if they came through a proxy.
func (a *Authenticator) watch(r *http.Request) {
	if a.cfg.Mode == Auto && a.names.add(r.Host) {
		a.log.Warn("clients on this machine call the server by several names: if a proxy runs here that adds no X-Forwarded-For, everybody who comes "+
			"through it may do everything; let it add that header, or set access=closed", "names", a.names.list())
	}
}

func (n *names) list() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.seen)
}
