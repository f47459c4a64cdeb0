package access

import "strings"

// Match reports whether a name fits a pattern. * stands for any run of bytes, also for none and for slashes. Nothing else is special. The
// whole name must fit, byte by byte, in upper and lower case as it stands.
func Match(pattern, name string) bool {
	first, rest, ok := strings.Cut(pattern, "*")
	if !ok {
		return pattern == name
	}
	if !strings.HasPrefix(name, first) {
		return false
	}
	name = name[len(first):]
	for {
		part, more, ok := strings.Cut(rest, "*")
		if !ok { // the last part stands at the end
			return strings.HasSuffix(name, rest)
		}
		i := strings.Index(name, part)
		if i < 0 {
			return false
		}
		name, rest = name[i+len(part):], more
	}
}

func matchAny(patterns []string, name string) bool {
	for _, p := range patterns {
		if Match(p, name) {
			return true
		}
	}
	return false
}

// matchURL reports whether a normalized URL fits a pattern. Host and path are compared apart, so that * in the host does not reach into the
// path. A pattern without a port means the default port of the scheme, unless the host ends in *.
func matchURL(pattern, address string) bool {
	if pattern == "*" {
		return true
	}
	wantScheme, wantHost, wantPath := splitURL(pattern)
	scheme, host, path := splitURL(address)
	return scheme != "" && wantScheme == scheme && Match(withPort(wantScheme, wantHost), host) && Match(wantPath, path)
}

// withPort returns the host of a pattern in lower case, with a port.
func withPort(scheme, host string) string {
	host = strings.ToLower(host)
	if strings.HasSuffix(host, "*") || strings.LastIndexByte(host, ':') > strings.LastIndexByte(host, ']') {
		return host
	}
	if scheme == "rtmps" {
		return host + ":443"
	}
	return host + ":1935"
}

func splitURL(address string) (scheme, host, path string) {
	scheme, rest, ok := strings.Cut(address, "://")
	if !ok {
		return "", "", ""
	}
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		return scheme, rest[:i], rest[i:]
	}
	return scheme, rest, ""
}
