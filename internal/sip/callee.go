package sip

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"transponder/internal/sip/dialog"
)

// maxText limits a callee and the fields of an account. The longest phone numbers and addresses are far shorter.
const maxText = 255

// address is a SIP URI in parts.
type address struct {
	secure    bool   // sips
	user      string // "": none
	host      string // a name or a numeric address, IPv6 without brackets
	port      int    // 0: not said
	transport string // of the parameter: "udp", "tcp", "tls"; "": not said
	phone     bool   // the parameter user=phone
}

// hostPort returns host and port as a URI has them.
func (a address) hostPort() string {
	host := a.host
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if a.port == 0 {
		return host
	}
	return host + ":" + strconv.Itoa(a.port)
}

// uri returns the address as a URI.
func (a address) uri() string {
	var b strings.Builder
	b.WriteString("sip")
	if a.secure {
		b.WriteByte('s')
	}
	b.WriteByte(':')
	if a.user != "" {
		b.WriteString(a.user + "@")
	}
	b.WriteString(a.hostPort())
	if a.transport != "" {
		b.WriteString(";transport=" + a.transport)
	}
	if a.phone {
		b.WriteString(";user=phone")
	}
	return b.String()
}

// identity returns the address as From and To have it: without what belongs to the way of a message.
func (a address) identity() string {
	a.transport, a.port = "", 0
	return a.uri()
}

// parseCallee reads a callee: a user, user@host, or a URI. The error is what the caller can correct.
func parseCallee(text, domain string) (address, string) {
	if problem := unusable(text, maxText); problem != "" {
		return address{}, problem
	}
	var a address
	rest, isURI := text, false
	for _, scheme := range []string{"sip:", "sips:"} {
		if len(text) >= len(scheme) && strings.EqualFold(text[:len(scheme)], scheme) {
			rest, isURI, a.secure = text[len(scheme):], true, len(scheme) == len("sips:")
		}
	}
	user, hostPart, hasHost := strings.Cut(rest, "@")
	switch {
	case !hasHost && isURI:
		user, hostPart = "", rest
	case !hasHost && domain == "":
		return a, "it is no URI, and the account has no domain (sipDomain)"
	case !hasHost:
		hostPart = domain
	}
	if problem := a.setUser(user, !isURI); problem != "" {
		return a, problem
	}
	return a, a.setHost(hostPart)
}

// setUser takes the user part. It must be there if needed.
func (a *address) setUser(user string, needed bool) string {
	switch {
	case needed && user == "":
		return "the user part is missing"
	case strings.Trim(user, userCharacters) != "":
		return "the user part holds a character that must be written as %XX"
	case !escapes(user):
		return "a % is not followed by two hexadecimal digits"
	}
	a.user = user
	return ""
}

const (
	alphanumeric = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	// userCharacters may stand in a user part (RFC 3261, 25.1), without "?", which some parsers take for the begin of headers, and without
	// the colon before a password.
	userCharacters = alphanumeric + "-_.!~*'()&=+$,;/%"
	hostCharacters = alphanumeric + "-._"
)

func escapes(s string) bool {
	for {
		_, after, found := strings.Cut(s, "%")
		if !found {
			return true
		}
		if len(after) < 2 || strings.Trim(after[:2], "0123456789abcdefABCDEF") != "" {
			return false
		}
		s = after[2:]
	}
}

// setHost takes host, port and parameters.
func (a *address) setHost(text string) string {
	hostPort, params, _ := strings.Cut(text, ";")
	host, port, problem := splitHostPort(hostPort)
	if problem != "" {
		return problem
	}
	a.host, a.port = host, port
	if params == "" {
		return ""
	}
	for param := range strings.SplitSeq(params, ";") {
		name, value, _ := strings.Cut(strings.ToLower(param), "=")
		switch {
		case name == "transport" && knownTransport(value):
			a.transport = value
		case name == "user" && value == "phone":
			a.phone = true
		case name == "user" && value == "ip", name == "lr":
		default:
			// Others, such as maddr and method, change where the request goes or what it does.
			return "the parameter " + strconv.Quote(param) + " is not supported"
		}
	}
	return ""
}

func knownTransport(name string) bool { return name == "udp" || name == "tcp" || name == "tls" }

// splitHostPort reads "host", "host:port" and "[IPv6]:port".
func splitHostPort(text string) (host string, port int, problem string) {
	host = text
	if strings.HasPrefix(text, "[") && strings.HasSuffix(text, "]") {
		host = text[1 : len(text)-1]
	} else if h, p, err := net.SplitHostPort(text); err == nil {
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil || n == 0 {
			return "", 0, "the port must be a number from 1 to 65535"
		}
		host, port = h, int(n)
	}
	if strings.Contains(host, ":") {
		if ip, err := netip.ParseAddr(host); err != nil || ip.Zone() != "" {
			return "", 0, "the host is no name and no address"
		}
		return host, port, ""
	}
	if host == "" || strings.Trim(host, hostCharacters) != "" {
		return "", 0, "the host is no name and no address"
	}
	return host, port, ""
}

// hostOf returns the host of a URI in a message of a peer, "" if there is none that can be read.
func hostOf(uri string) string {
	_, rest, _ := strings.Cut(uri, ":")
	if _, after, found := strings.Cut(rest, "@"); found {
		rest = after
	}
	if end := strings.IndexAny(rest, ";?"); end >= 0 {
		rest = rest[:end]
	}
	host, _, problem := splitHostPort(rest)
	if problem != "" {
		return ""
	}
	return strings.ToLower(host)
}

// userOf returns the user part of a URI in a message of a peer, "" if there is none.
func userOf(uri string) string {
	_, rest, _ := strings.Cut(uri, ":")
	user, _, found := strings.Cut(rest, "@")
	if !found {
		return ""
	}
	user, _, _ = strings.Cut(user, ":")
	return user
}

// unusable says why a text cannot stand in a message, "" if it can. A line end would begin a header field of the writer's choice.
func unusable(text string, limit int) string {
	switch {
	case text == "":
		return "it is missing"
	case len(text) > limit:
		return "it is longer than " + strconv.Itoa(limit) + " bytes"
	case !utf8.ValidString(text):
		return "it is not UTF-8"
	case !plain(text):
		return "it holds a line end or another control character"
	case strings.ContainsAny(text, `<>?"\ `):
		return `it holds one of < > ? " \ or a space`
	}
	return ""
}

// plain reports whether a text is short, and has no line end and no other control character.
func plain(text string) bool {
	return len(text) <= maxText && utf8.ValidString(text) && !strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// quoted returns a display name as From has it, "" for none. The caller has checked for control characters.
func quoted(name string) string {
	if name == "" {
		return ""
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(name) + `" `
}

// party is who stands in From or To of a message of a peer.
type party struct {
	user, host string
	name       string // display name
}

// partyOf reads the value of From or To. What cannot be shown to people is left out.
func partyOf(value string) party {
	uri := dialog.ParseAddress(value).URI
	p := party{user: shown(userOf(uri)), host: shown(hostOf(uri))}
	if open := strings.LastIndexByte(value, '<'); open > 0 {
		name := strings.TrimSpace(value[:open])
		if quoted, ok := strings.CutPrefix(name, `"`); ok {
			name = strings.NewReplacer(`\\`, `\`, `\"`, `"`).Replace(strings.TrimSuffix(quoted, `"`))
		}
		p.name = shown(name)
	}
	return p
}

// shown returns a text of a peer without what cannot be shown.
func shown(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, ""))
	return fmt.Sprintf("%.100s", text)
}

// beside returns the party for somebody of a domain: the user, or user@host for another domain.
func (p party) beside(domain string) string {
	switch {
	case p.user == "":
		return p.host
	case domain == "" || strings.EqualFold(p.host, domain):
		return p.user
	}
	return p.user + "@" + p.host
}
