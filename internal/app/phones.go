package app

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strings"

	"transponder/internal/rtc"
	"transponder/internal/stream"
	"transponder/internal/wcs"
)

// duplexes gives the media of calls to the Web SDK's door.
type duplexes struct{ *rtc.Duplexes }

func (d duplexes) Answer(ctx context.Context, offer rtc.Offer, terms rtc.Terms, info stream.Info) (wcs.Duplex, error) {
	return orNil[wcs.Duplex](d.Duplexes.Answer(ctx, offer, terms, info))
}

func (d duplexes) Offer(ctx context.Context, terms rtc.Terms, info stream.Info) (wcs.Duplex, error) {
	return orNil[wcs.Duplex](d.Duplexes.Offer(ctx, terms, info))
}

// isHere says whether a host is this machine: a name of the server, an address in the settings, or one of the machine's own.
func (a *App) isHere(host string) bool {
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return slices.ContainsFunc(a.names(a.current()), func(name string) bool { return strings.EqualFold(name, host) })
	}
	own, err := net.InterfaceAddrs()
	return slices.Contains(a.cfg.Media.Addresses, addr) || err == nil && slices.ContainsFunc(own, func(o net.Addr) bool {
		n, ok := o.(*net.IPNet)
		return ok && n.IP.Equal(addr.AsSlice())
	})
}
