package access

import (
	"fmt"
	"slices"
	"strings"
)

// Object is what an action is about.
type Object struct {
	Stream string // the name of the stream; "": no particular one, so that only grants for all streams count
	Owner  string // Identity of the principal that has begun what is to be changed; "": unknown
	// Of a push that is to be started: the name of the destination, or the normalized URL without user and password.
	Destination string
	URL         string
}

// Denied means that a principal may not do what he wants. The text is for him: a door shows it only to those who have a valid credential.
type Denied struct {
	Action Action
	Detail string
}

// Error says what is missing.
func (e *Denied) Error() string { return e.Detail }

// Decide returns nil if the principal may do the action with the object, otherwise a *Denied.
func Decide(p *Principal, a Action, o Object) error {
	if p == nil {
		p = Nobody()
	}
	var among []string // the streams of grants that have the action
	covered := false   // a grant has the action for this stream
	for _, g := range p.Grants {
		if !g.has(a) {
			continue
		}
		if !g.covers(o.Stream) {
			among = append(among, g.Streams...)
			continue
		}
		covered = true
		switch {
		case a != Push, g.isAdmin():
			return nil
		case o.Destination == "" && o.URL == "": // a push that there is
			if o.Owner != "" && o.Owner == p.Identity() {
				return nil
			}
		case o.Destination != "" && matchAny(g.Destinations, o.Destination):
			return nil
		case o.URL != "" && o.Destination == "" && matchAnyURL(g.URLs, o.URL):
			return nil
		}
	}
	if a == Push && o.Destination == "" && o.URL == "" && Decide(p, Control, o) == nil {
		return nil
	}
	if covered {
		among = nil
	}
	return denied(p, a, o, among)
}

func denied(p *Principal, a Action, o Object, among []string) error {
	switch {
	case len(p.Grants) == 0:
		return &Denied{a, fmt.Sprintf("%s needs a credential that grants it", a)}
	case o.Stream != "" && len(among) > 0:
		return &Denied{a, fmt.Sprintf("stream %q is not among %s, which %s may %s", short(o.Stream), short(strings.Join(among, ", ")), p.who(), a)}
	case a == Push && o.Destination != "":
		return &Denied{a, fmt.Sprintf("%s has no grant to push to the destination %q", p.who(), short(o.Destination))}
	case a == Push && o.URL != "":
		return &Denied{a, fmt.Sprintf("%s has no grant to push to this address", p.who())}
	}
	return &Denied{a, fmt.Sprintf("%s has no grant to %s", p.who(), a)}
}

// who names the principal in a sentence for him.
func (p *Principal) who() string {
	switch p.Kind {
	case User:
		return "this user"
	case Token:
		return "this token"
	case Key:
		return "this key"
	}
	return "this client"
}

// covers says whether the grant is about the stream. Without a stream it must be about all of them.
func (g Grant) covers(stream string) bool {
	if stream == "" {
		return slices.Contains(g.Streams, "*")
	}
	return matchAny(g.Streams, stream)
}

func (g Grant) isAdmin() bool {
	return slices.Contains(g.Actions, Admin)
}

func matchAnyURL(patterns []string, address string) bool {
	for _, p := range patterns {
		if matchURL(p, address) {
			return true
		}
	}
	return false
}

// NamesURL reports whether a grant to push has a pattern that names the host of the URL literally, without *. Whoever has written such a
// pattern has allowed the host, though it may be in a private network.
func NamesURL(p *Principal, o Object) bool {
	if p == nil {
		return false
	}
	for _, g := range p.Grants {
		if !g.has(Push) || !g.covers(o.Stream) {
			continue
		}
		for _, u := range g.URLs {
			if literalHost(u) && matchURL(u, o.URL) {
				return true
			}
		}
	}
	return false
}

// MayRead returns a function that says whether the principal may read about a stream. Lists are filtered by it.
func MayRead(p *Principal) func(stream string) bool {
	return func(stream string) bool { return Decide(p, Read, Object{Stream: stream}) == nil }
}
