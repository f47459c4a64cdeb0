package guard

import (
	"fmt"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
)

// Origins are the origins of pages that the settings allow.
type Origins struct {
	named []string // in the form in which browsers write them
	any   bool     // the settings have *
}

// ParseOrigins parses a list of origins with commas between them. An entry is scheme://host[:port], or * for every origin.
func ParseOrigins(text string) (Origins, error) {
	var o Origins
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		switch u, err := url.Parse(part); {
		case part == "":
		case part == "*":
			o.any = true
		case err != nil || u.Host == "" || u.User != nil || strings.TrimSuffix(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
			return Origins{}, fmt.Errorf("%q is not the origin of a page: write it like https://studio.example", part)
		default:
			o.named = append(o.named, plainOrigin(u))
		}
	}
	return o, nil
}

// Any reports whether the settings allow every page by *.
func (o Origins) Any() bool { return o.any }

// Some reports whether the settings name origins.
func (o Origins) Some() bool { return len(o.named) > 0 }

// Allow returns the value of the header Access-Control-Allow-Origin for the answer to a request, or "" if the answer must not have the
// header. Call it only for a request that Page has allowed.
func (o Origins) Allow(r *http.Request) string {
	origin, ok := originOf(r)
	switch {
	case !ok || origin == "" || origin == "null":
		return ""
	case isOwn(r, origin) || o.name(origin):
		return origin
	case o.any:
		return "*"
	}
	return ""
}

func (o Origins) name(origin string) bool {
	u, err := url.Parse(origin)
	return err == nil && u.Host != "" && slices.Contains(o.named, plainOrigin(u))
}

// with returns the value of the setting with one more origin.
func (o Origins) with(origin string) string {
	return strings.Join(append(slices.Clone(o.named), shown(origin)), ",")
}

// plainOrigin returns an origin in the form in which browsers write it: in small letters, without the default port of the scheme.
func plainOrigin(u *url.URL) string {
	scheme, host := strings.ToLower(u.Scheme), strings.ToLower(u.Host)
	if own, ok := map[string]string{"http": ":80", "https": ":443"}[scheme]; ok {
		host = strings.TrimSuffix(host, own)
	}
	return scheme + "://" + host
}

// originOf returns the header Origin of a request, or "" if there is none. A request with two of these headers is not ok.
func originOf(r *http.Request) (origin string, ok bool) {
	switch all := r.Header.Values("Origin"); len(all) {
	case 0:
		return "", true
	case 1:
		return strings.TrimSpace(all[0]), true
	default:
		return "", false
	}
}

// isOwn reports whether a page comes from the host that the request goes to. The port does not matter. All names and addresses by which
// a machine reaches itself count as one host.
func isOwn(r *http.Request, origin string) bool {
	from, ok := hostOf(origin)
	if !ok {
		return false
	}
	to, ok := splitHost(r.Host)
	return ok && (from == to || isLoopbackName(from) && isLoopbackName(to))
}

func isLoopbackOrigin(origin string) bool {
	host, ok := hostOf(origin)
	return ok && isLoopbackName(host)
}

// hostOf returns the host in an origin.
func hostOf(origin string) (string, bool) {
	u, err := url.Parse(origin)
	if err != nil || u.Host == "" {
		return "", false
	}
	return splitHost(u.Host)
}

// sameHostPort reports whether a page comes from the host and port that the request goes to.
func sameHostPort(host, origin string) bool {
	u, err := url.Parse(origin)
	return err == nil && u.Host != "" && strings.EqualFold(u.Host, host)
}

// hasHost reports whether an origin can be named in the settings. All pages from files and in sandboxes have the same origin, "null", which
// cannot be named.
func hasHost(origin string) bool {
	_, ok := hostOf(origin)
	return ok
}

// matches reports whether the origin of a page matches one of the patterns (path.Match). A pattern with "://" is compared with scheme and
// host, other patterns with the host.
func matches(patterns []string, origin string) bool {
	u, err := url.Parse(origin)
	if err != nil {
		return false
	}
	for _, pattern := range patterns {
		target := u.Host
		if strings.Contains(pattern, "://") {
			target = u.Scheme + "://" + u.Host
		}
		if ok, err := path.Match(strings.ToLower(pattern), strings.ToLower(target)); err == nil && ok {
			return true
		}
	}
	return false
}

func isRead(r *http.Request) bool { return r.Method == http.MethodGet || r.Method == http.MethodHead }

// isSimple reports whether a browser sends a request to another origin without asking first (Fetch, 2.2.2). Forms are such requests.
func isSimple(r *http.Request) bool {
	if r.Method != http.MethodPost {
		return false
	}
	kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	switch strings.ToLower(strings.TrimSpace(kind)) {
	case "", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data":
		return true
	}
	return false
}

// shown returns a name from a client in a form that is safe to repeat in errors and logs.
func shown(name string) string {
	const most = 100
	name = strings.Map(func(c rune) rune {
		if c <= ' ' || c > '~' || strings.ContainsRune(`"'<>\`, c) {
			return '?'
		}
		return c
	}, name)
	if len(name) > most {
		return name[:most] + "..."
	}
	return name
}
