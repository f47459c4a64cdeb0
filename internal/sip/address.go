package sip

import (
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"unicode"
)

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

// setUser takes the user part. It must be there if needed.
func (a *address) setUser(user string, needed bool) string {
	switch {
	case needed && user == "":
		return "the user part is missing"
	case strings.Trim(user, userCharacters) != "":
		return "the user part holds a character that must be written as %XX"
	case !escapes(user):
		return "a % is not followed by two hexadecimal digits"
	case escapesControl(user): // some servers write the character into other messages, or into scripts
		return "it holds a control character, written as %XX"
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

// escapesControl reports whether escapes of a text stand for control characters. The escapes are well-formed.
func escapesControl(s string) bool {
	plain, err := url.PathUnescape(s)
	return err != nil || strings.ContainsFunc(plain, unicode.IsControl)
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
		case name == "transport" && a.transport != "": // the next server may believe the other one
			return "the parameter transport is there twice"
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
