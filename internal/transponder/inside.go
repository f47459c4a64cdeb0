package transponder

import "net/netip"

// IsInside reports whether an address belongs to this machine or to a private network, in any of the forms in which it may be written.
func IsInside(a netip.Addr) bool { return isInside(a) }
