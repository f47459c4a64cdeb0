package line

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"transponder/internal/sip/dialog"
)

// errDowngrade means that TLS is asked for, but the URI wants to be reached without it.
var errDowngrade = errors.New("the SIP URI wants a transport that is not encrypted, but TLS is asked for")

// target is what a URI says of the way to it (RFC 3263, 4).
type target struct {
	host      string // a name, or an IP address without brackets
	port      uint16 // 0: not given
	transport string // "": DNS decides
	name      string // whom a certificate must name: the host of the URI, also if maddr sends us elsewhere
}

// parseTarget reads a URI, or the value of a Route. wanted is the transport that the settings ask for, "" for none.
func parseTarget(value, wanted string) (target, error) {
	uri := dialog.ParseAddress(value).URI
	if !strings.Contains(value, "<") {
		uri = value // without brackets, the parameters belong to the URI
	}
	uri, _, _ = strings.Cut(uri, "?")
	a := dialog.ParseAddress(uri)
	scheme, rest, _ := strings.Cut(a.URI, ":")
	scheme = strings.ToLower(scheme)
	if scheme != "sip" && scheme != "sips" {
		return target{}, fmt.Errorf("SIP URI %q begins neither with sip: nor with sips: as it has to", shown(uri))
	}
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		rest = rest[at+1:]
	}
	t := target{}
	var err error
	if t.host, t.port, err = splitHostPort(rest); err != nil {
		return target{}, fmt.Errorf("SIP URI %q: %w", shown(uri), err)
	}
	t.name = t.host
	if maddr := a.Param("maddr"); maddr != "" {
		if t.host, _, err = splitHostPort(maddr); err != nil {
			return target{}, fmt.Errorf("maddr of SIP URI %q: %w", shown(uri), err)
		}
	}
	t.transport, err = chooseTransport(scheme, strings.ToLower(a.Param("transport")), wanted)
	return t, err
}

// chooseTransport joins what the URI says with what the settings ask for. The URI decides, but it never takes TLS away.
func chooseTransport(scheme, said, wanted string) (string, error) {
	secure := scheme == "sips" || wanted == "tls"
	switch said {
	case "":
		said = wanted
	case "udp", "tcp", "tls":
	default:
		return "", fmt.Errorf("SIP over %q is not supported: only udp, tcp and tls", shown(said))
	}
	switch {
	case secure && said == "tcp" && scheme == "sips": // sips with transport=tcp means TLS over TCP (RFC 3261, 26.2.2)
		return "tls", nil
	case secure && (said == "udp" || said == "tcp"):
		return "", errDowngrade
	case secure:
		return "tls", nil
	}
	return said, nil
}

// shown shortens what came from outside, and takes the user away: numbers are personal.
func shown(uri string) string {
	if at := strings.LastIndexByte(uri, '@'); at >= 0 {
		uri = "…" + uri[at:]
	}
	if len(uri) > 100 {
		uri = uri[:100] + "…"
	}
	return uri
}

func defaultPort(transport string) uint16 {
	if transport == "tls" {
		return 5061
	}
	return 5060
}

// isNobody reports whether the address belongs to no single host, so that it is never sent to.
func isNobody(a netip.Addr) bool {
	return !a.IsValid() || a.IsUnspecified() || a.IsMulticast() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255})
}
