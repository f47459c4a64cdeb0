package sip

import (
	"context"
	"net/netip"
	"time"

	"transponder/internal/sip/dialog"
	"transponder/internal/sip/line"
	"transponder/internal/transponder"
)

const (
	// resolveLimit is how long the first server of a call or the registrar may be looked up.
	resolveLimit = 10 * time.Second
	// nextLimit is how long another server may be looked up within a call: the goroutine of the call waits meanwhile.
	nextLimit = 3 * time.Second
	// maxWays limits the servers that one call is led to.
	maxWays = 16
)

// ways are the paths on which the requests of a call or of a registration go, and the addresses from which the peer may send.
type ways struct {
	first   line.Path            // of the first request
	known   map[string]line.Path // of later requests, by the URI of the server; not used by registrations
	heard   line.Origin          // of the last message of the peer
	release func()               // ends Line.Keep for first; nil: nothing is kept open
	joined  []netip.Addr         // entered in Calls.peers
	peers   *peers
}

// close lets the connection of the first path go. The addresses stay, because the peer may still send something.
func (w *ways) close() {
	if w.release != nil {
		w.release()
		w.release = nil
	}
}

// leave forgets the addresses.
func (w *ways) leave() {
	for _, a := range w.joined {
		w.peers.remove(a)
	}
	w.joined = nil
}

// meet notes an address that the call talks to: from now on requests may come from there.
func (k *call) meet(a netip.Addr) {
	a = a.Unmap()
	if k.record.meets(a) {
		k.ways.peers.add(a)
		k.ways.joined = append(k.ways.joined, a)
	}
}

// hear notes where a message of the peer came from.
func (k *call) hear(o line.Origin) {
	k.ways.heard = o
	k.meet(o.Source.Addr())
}

// send sends a request of the call.
func (k *call) send(ctx context.Context, r *dialog.Request) {
	p := k.wayOf(ctx, r)
	k.meet(p.Remote.Addr())
	k.calls.line.Send(r, p, k)
}

// wayOf returns the path of a request. Within the dialog, the request goes to the first proxy of the route set, or else to the Contact of the
// peer. If the Contact cannot be reached, it goes to the address from which the peer sends.
func (k *call) wayOf(ctx context.Context, r *dialog.Request) line.Path {
	w := &k.ways
	inside := dialog.ParseAddress(r.Header.Get("To")).Param("tag") != ""
	switch {
	case r.Method == "CANCEL", !inside && !w.heard.Source.IsValid():
		return w.first
	case !inside: // with credentials: to the server that asked for them
		return w.first.At(w.heard)
	}
	uri, routed := r.URI, false
	if route := r.Header.Get("Route"); route != "" {
		uri, routed = dialog.ParseAddress(route).URI, true
	}
	if !routed && (w.heard.Transport != "udp" || behindNAT(uri, w.heard.Source.Addr())) {
		return k.calls.line.Back(w.heard)
	}
	if p, known := w.known[uri]; known {
		return p
	}
	transport := ""
	if w.first.Transport == "tls" {
		transport = "tls" // what began encrypted does not go on in the open
	}
	ctx, cancel := context.WithTimeout(ctx, nextLimit)
	defer cancel()
	p, err := k.calls.line.Resolve(ctx, uri, transport)
	if err == nil && k.route.public && transponder.IsInside(p.Remote.Addr()) && !transponder.IsInside(w.heard.Source.Addr()) {
		err = errInside // a server outside must not send us into private networks
	}
	if err != nil { // an ACK or a BYE must not get lost: we try the address from which the peer sends
		k.log.Info("peer is answered at the address that it sends from", "err", err)
		p = k.calls.line.Back(w.heard)
	}
	if len(w.known) < maxWays {
		w.known[uri] = p
	}
	return p
}

// behindNAT reports whether a Contact holds an address of a private network while messages come from a public address: the Contact cannot
// be reached.
func behindNAT(contact string, source netip.Addr) bool {
	ip, err := netip.ParseAddr(hostOf(contact))
	source = source.Unmap()
	return err == nil && ip.IsPrivate() && ip != source && !source.IsPrivate() && !source.IsLoopback()
}
