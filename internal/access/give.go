package access

import (
	"fmt"
	"slices"
	"strings"
)

// maxGrants bounds the grants that one credential may have.
const maxGrants = 64

// ValidateGrants reports what cannot be used in a list of grants.
func ValidateGrants(grants []Grant) error {
	if len(grants) > maxGrants {
		return fmt.Errorf("grants: more than %d", maxGrants)
	}
	for i, g := range grants {
		if err := g.Validate(); err != nil {
			return fmt.Errorf("grants[%d]: %w", i, err)
		}
	}
	return nil
}

// Give returns nil if a principal may give the grants to somebody: nobody gives more than he has. Otherwise the error is a *Denied.
func Give(by *Principal, grants []Grant) error {
	if by.IsAdmin() {
		return nil
	}
	for _, g := range grants {
		for _, a := range g.Actions {
			for _, s := range g.Streams {
				if err := by.mayGive(g, a, s); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// mayGive returns nil if one action of a grant on one pattern of streams is within the grants of the principal.
func (p *Principal) mayGive(g Grant, a Action, streams string) error {
	own := p.over(a, streams)
	switch {
	case len(own) == 0:
		return &Denied{a, fmt.Sprintf("%s may not give %s on %q: nobody gives more than he has", p.who(), a, short(streams))}
	case g.Replace && a == Publish && !slices.ContainsFunc(own, func(o Grant) bool { return o.Replace || o.isAdmin() }):
		return &Denied{a, fmt.Sprintf("%s may not give replace on %q: nobody gives more than he has", p.who(), short(streams))}
	case a != Push:
		return nil
	}
	for _, d := range g.Destinations {
		if !slices.ContainsFunc(own, func(o Grant) bool { return o.isAdmin() || matchAny(o.Destinations, d) }) {
			return &Denied{a, fmt.Sprintf("%s may not give a push to the destination %q: nobody gives more than he has", p.who(), short(d))}
		}
	}
	for _, u := range g.URLs {
		// An administrator of some streams only may push nowhere in private networks, and so gives nobody a host that NamesURL would open.
		if !slices.ContainsFunc(own, func(o Grant) bool { return o.isAdmin() && !literalHost(u) || givesURL(o.URLs, u) }) {
			return &Denied{a, fmt.Sprintf("%s may not give a push to %q: nobody gives more than he has, and a host without * may be named only "+
				"by somebody whose own grant names it", p.who(), short(u))}
		}
	}
	return nil
}

// over returns the grants that allow an action on all streams that a pattern stands for. A * in the pattern can only be matched by a * of
// the grant, because no other part of a grant's pattern has that byte. So a grant whose pattern matches the other pattern as if it were a
// name matches all names that the other pattern stands for.
func (p *Principal) over(a Action, pattern string) []Grant {
	if p == nil {
		return nil
	}
	var over []Grant
	for _, g := range p.Grants {
		if g.has(a) && matchAny(g.Streams, pattern) {
			over = append(over, g)
		}
	}
	return over
}

// givesURL says whether one of the patterns stands for all that another pattern stands for. A pattern that names a host without * also
// opens private addresses (see NamesURL), so that only the same right gives it.
func givesURL(own []string, pattern string) bool {
	for _, o := range own {
		if literalHost(pattern) && !literalHost(o) {
			continue
		}
		if o == "*" || pattern != "*" && coversURL(o, pattern) {
			return true
		}
	}
	return false
}

// coversURL is matchURL for a pattern in the place of the address.
func coversURL(own, pattern string) bool {
	ownScheme, ownHost, ownPath := splitURL(own)
	scheme, host, path := splitURL(pattern)
	return scheme != "" && ownScheme == scheme && Match(withPort(scheme, ownHost), withPort(scheme, host)) && Match(ownPath, path)
}

func literalHost(pattern string) bool {
	_, host, _ := splitURL(pattern)
	return host != "" && !strings.Contains(host, "*")
}
