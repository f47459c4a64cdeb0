package transponder

import (
	"net/netip"
	"slices"
)

// revealing are the reasons that tell what is at an address. A caller who sees them could find open ports by starting pushes.
var revealing = []Reason{
	ReasonRefused, ReasonTimeout, ReasonTLS, ReasonTLSVerify, ReasonHandshake, ReasonProtocol, ReasonAuth, ReasonBadApp, ReasonKeyInUse,
	ReasonKeyRejected, ReasonPeerClosed, ReasonPeerStalled, ReasonUnreachable,
}

// forStrangers returns the reason for callers who must not learn about private networks.
func forStrangers(reason Reason, detail string) (Reason, string) {
	if slices.Contains(revealing, reason) {
		return ReasonUnreachable, "The server at this address was not reached, or refused. The log of this server says more."
	}
	return reason, detail
}

// ForStrangers returns the Info for callers who must not learn about this server's private networks.
func (i Info) ForStrangers() Info {
	if i.Hidden {
		i.Reason, i.Detail = forStrangers(i.Reason, i.Detail)
		i.Addresses = slices.Clone(i.Addresses)
		for n, a := range i.Addresses {
			i.Addresses[n].Reason, i.Addresses[n].Detail = forStrangers(a.Reason, a.Detail)
		}
	}
	return i
}

// ForStrangers returns the event for callers who must not learn about this server's private networks.
func (e Event) ForStrangers() Event {
	if e.Hidden {
		e.Reason, e.Detail = forStrangers(e.Reason, e.Detail)
	}
	return e
}

// isInside reports whether an address belongs to this machine or to a private network.
func isInside(a netip.Addr) bool { return holds(privateNetworks, addressForms(a)) }
