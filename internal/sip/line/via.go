package line

import (
	"errors"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"transponder/internal/sip/dialog"
)

// cookie begins every branch that RFC 3261 knows (8.1.1.7).
const cookie = "z9hG4bK"

var errVia = errors.New("malformed Via")

// via is one entry of the field Via.
type via struct {
	transport string // lower case
	host      string // without brackets
	port      uint16 // 0: not given
	branch    string
	received  string
	rport     string
	wantsPort bool // rport is there, with or without a value
}

// parseVia reads SIP/2.0/UDP host:port;branch=… White space may stand around each separator (RFC 3261, 25.1).
func parseVia(entry string) (via, error) {
	a := dialog.ParseAddress(entry)
	parts := strings.SplitN(a.URI, "/", 3)
	if len(parts) != 3 || !strings.EqualFold(strings.TrimSpace(parts[0]), "SIP") || strings.TrimSpace(parts[1]) != "2.0" {
		return via{}, errVia
	}
	fields := strings.Fields(parts[2])
	if len(fields) < 2 {
		return via{}, errVia
	}
	v := via{transport: strings.ToLower(fields[0]), branch: a.Param("branch"), received: a.Param("received")}
	v.rport, v.wantsPort = a.Lookup("rport")
	var err error
	v.host, v.port, err = splitHostPort(strings.Join(fields[1:], ""))
	return v, err
}

// splitHostPort reads host, host:port, [IPv6] and [IPv6]:port. Without a port it returns 0.
func splitHostPort(s string) (host string, port uint16, err error) {
	host, number := s, ""
	switch end := strings.IndexByte(s, ']'); {
	case strings.HasPrefix(s, "[") && end > 0:
		host, number = s[1:end], s[end+1:]
		if number != "" && number[0] != ':' {
			return "", 0, errHost
		}
	case strings.Count(s, ":") == 1:
		colon := strings.IndexByte(s, ':')
		host, number = s[:colon], s[colon:]
	}
	if host == "" || strings.ContainsAny(host, " \t\"<>@/\\") || strings.ContainsFunc(host, isControl) {
		return "", 0, errHost
	}
	if number == "" {
		return host, 0, nil
	}
	n, err := strconv.ParseUint(number[1:], 10, 16)
	if err != nil || n == 0 {
		return "", 0, errHost
	}
	return host, uint16(n), nil
}

var errHost = errors.New("malformed host or port")

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

// seen returns where the peer saw our request come from: "" if the peer does not say. Some peers leave out received where it would repeat
// the address that we wrote.
func (v via) seen() string {
	host := v.received
	if host == "" {
		host = v.host
	}
	seen := net.JoinHostPort(host, v.rport) // it becomes our Contact, so it must be an address and a port, and nothing more
	if a, err := netip.ParseAddrPort(seen); err != nil || a.Port() == 0 || a.Addr().Zone() != "" {
		return ""
	}
	return seen
}

// answerTo returns where the response to a request over UDP goes: to the address that the request came from, and to the port that the
// client asks for (RFC 3261, 18.2.2; RFC 3581, 4). The parameter maddr is not obeyed: it would let a stranger aim our answers at others.
func (v via) answerTo(source netip.AddrPort) netip.AddrPort {
	switch {
	case v.wantsPort:
		return source
	case v.port == 0:
		return netip.AddrPortFrom(source.Addr(), 5060)
	}
	return netip.AddrPortFrom(source.Addr(), v.port)
}

// stamp returns the entry with the parameters that tell the client where we saw the request come from.
func (v via) stamp(entry string, source netip.AddrPort) string {
	if v.wantsPort {
		entry = cutParam(entry, "rport") + ";rport=" + strconv.Itoa(int(source.Port()))
	}
	if v.wantsPort || v.host != source.Addr().String() {
		entry = cutParam(entry, "received") + ";received=" + source.Addr().String()
	}
	return entry
}

// cutParam removes a parameter from an entry of Via.
func cutParam(entry, name string) string {
	parts := strings.Split(entry, ";")
	kept := parts[:1]
	for _, p := range parts[1:] {
		if key, _, _ := strings.Cut(p, "="); !strings.EqualFold(strings.TrimSpace(key), name) {
			kept = append(kept, p)
		}
	}
	return strings.Join(kept, ";")
}
