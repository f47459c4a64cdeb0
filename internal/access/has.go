package access

import "slices"

// Has says whether the principal may do the action with at least some streams. It is the first question about a request, before the request
// says which stream it is about.
func Has(p *Principal, a Action) bool {
	return p != nil && slices.ContainsFunc(p.Grants, func(g Grant) bool { return len(g.Streams) > 0 && g.has(a) })
}
