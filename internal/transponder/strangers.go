package transponder

import (
	"net/netip"
	"slices"
)

// revealing are the reasons that differ by what is at an address: whoever may start pushes and sees them can look for open ports.
var revealing = []Reason{
	ReasonRefused, ReasonTimeout, ReasonTLS, ReasonTLSVerify, ReasonHandshake, ReasonProtocol, ReasonAuth, ReasonBadApp, ReasonKeyInUse,
	ReasonKeyRejected, ReasonPeerClosed, ReasonPeerStalled, ReasonUnreachable,
}

// forStrangers is a reason as those may know it who may not know what is in a private network.
func forStrangers(reason Reason, detail string) (Reason, string) {
	if slices.Contains(revealing, reason) {
		return ReasonUnreachable, "The server at this address was not reached, or refused. The log of this server says more."
	}
	return reason, detail
}

// ForStrangers is what may be said of the push to those who may not know what is in this server's private networks.
func (i Info) ForStrangers() Info {
	if i.Hidden {
		i.Reason, i.Detail = forStrangers(i.Reason, i.Detail)
	}
	return i
}

// ForStrangers is what may be said of the event to those who may not know what is in this server's private networks.
func (e Event) ForStrangers() Event {
	if e.Hidden {
		e.Reason, e.Detail = forStrangers(e.Reason, e.Detail)
	}
	return e
}

// isInside says whether an address is this machine's, or in a private network.
func isInside(a netip.Addr) bool { return holds(privateNetworks, addressForms(a)) }
