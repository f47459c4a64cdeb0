package guard

import (
	"fmt"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
)

// Origins are those of pages that the settings name.
type Origins struct {
	named []string // as browsers write them
	any   bool     // the settings say so with *
}

// ParseOrigins reads origins (scheme://host[:port], or * for any) with commas between them.
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

// Any says whether the settings allow all pages with *.
func (o Origins) Any() bool { return o.any }

// Allow returns what Access-Control-Allow-Origin is to say to the page that a request comes from; "" for nothing. Only a request that
// Page lets through may be answered so.
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

// with is the setting's value with one more origin.
func (o Origins) with(origin string) string {
	return strings.Join(append(slices.Clone(o.named), shown(origin)), ",")
}

// plainOrigin writes an origin as browsers do: in small letters, without the scheme's own port.
func plainOrigin(u *url.URL) string {
	scheme, host := strings.ToLower(u.Scheme), strings.ToLower(u.Host)
	if own, ok := map[string]string{"http": ":80", "https": ":443"}[scheme]; ok {
		host = strings.TrimSuffix(host, own)
	}
	return scheme + "://" + host
}

// originOf returns a request's Origin, "" where there is none. A request with two of them is not ok.
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

// isOwn says whether a page comes from the host that the request goes to, on whatever port. This machine's names for itself are
// one host.
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

// hostOf returns the host of an origin.
func hostOf(origin string) (string, bool) {
	u, err := url.Parse(origin)
	if err != nil || u.Host == "" {
		return "", false
	}
	return splitHost(u.Host)
}

// sameHostPort says whether a page comes from this very server.
func sameHostPort(host, origin string) bool {
	u, err := url.Parse(origin)
	return err == nil && u.Host != "" && strings.EqualFold(u.Host, host)
}

// hasHost says whether an origin can be named in the settings. That of a page from a file or in a sandbox cannot: all of them share it.
func hasHost(origin string) bool {
	_, ok := hostOf(origin)
	return ok
}

// matches says whether a page's host, or scheme and host, is among the patterns of path.Match.
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

// isSimple says whether a browser sends a request without asking the server first, as it does forms (Fetch, 2.2.2).
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

// shown is what is told of a name that a client sent.
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
