package transponder

import (
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// naming is how the name to publish under is made.
type naming struct {
	Prefix  string // put before the name
	Name    string // the name itself, with or without the prefix; "": the name of the stream
	FullURL bool   // the last part of the URL is the name
	// Parameters changes FullURL: app/?user=u&pass=p is an application with parameters, as the contract wants it for the setting
	// rtmp_transponder_full_url=true. A request with FullURL means a name there, since the keys of some platforms begin with a question
	// mark.
	Parameters bool
}

// pushTarget is the parsed address of a destination, with the name to publish under. It does not print its secrets: String and LogValue leave
// out the instance of the application, the name, the query and the user.
type pushTarget struct {
	TLS  bool
	Host string // without port and brackets
	Port string

	User, Password string // of user:password@host, percent-decoded

	App   string // for connect: the path without its first slash, with the query, byte for byte as given
	TCURL string // the URL up to the end of the app, without user and password
	Name  string // to publish under

	SecretName bool // the name comes from the URL, as the stream key of a platform does

	Destination string // the destination whose address this is; "": the address stood in the request
	Preset      string // the platform of that destination, as destination.Preset.ID; "": none was given
	// Forwarded means that a server named this address, which may hold what it was told: the key of a destination.
	Forwarded bool
	// Policy decides which addresses of the host may be dialled.
	Policy TargetPolicy

	raw   string
	shown string // what String returns; "": what follows from the other fields
}

const (
	portRTMP  = "1935"
	portRTMPS = "443"
)

// maxURL is the longest address. The longest addresses in use contain a signed token of some kilobytes. A name must fit into an AMF0 string
// (64 KiB), and most servers accept much less.
const maxURL = 8 << 10

// parseTarget parses the URL of a push.
//
// Without naming.FullURL the application is the whole path with the query, and the name is the prefix and the name of the stream, or naming.Name:
// rtmp://host/live/?user=u leads to connect('live/?user=u'), publish('rtmp_NAME'). With naming.FullURL the name is the last part of the
// path (see splitName), and a URL without such a part is refused.
func parseTarget(rawURL, streamName string, n naming) (pushTarget, error) {
	t := pushTarget{raw: rawURL}
	if len(rawURL) > maxURL {
		return pushTarget{}, &RequestError{"rtmpUrl", fmt.Sprintf("it is longer than %d characters", maxURL)}
	}
	scheme, rest, ok := strings.Cut(rawURL, "://")
	if !ok {
		return pushTarget{}, &RequestError{"rtmpUrl", `it must look like rtmp://server:port/app`}
	}
	switch strings.ToLower(scheme) {
	case "rtmp":
		t.Port = portRTMP
	case "rtmps":
		t.TLS, t.Port = true, portRTMPS
	default:
		return pushTarget{}, &RequestError{"rtmpUrl", "it must begin with rtmp:// or rtmps://"}
	}
	if strings.ContainsFunc(rest, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return pushTarget{}, &RequestError{"rtmpUrl", "it contains a space or a control character"}
	}
	end := strings.IndexAny(rest, "/?")
	if end < 0 {
		end = len(rest)
	}
	authority, path := rest[:end], strings.TrimPrefix(rest[end:], "/")
	if at := strings.LastIndexByte(authority, '@'); at >= 0 {
		if err := t.setUser(authority[:at]); err != nil {
			return pushTarget{}, err
		}
		authority = authority[at+1:]
	}
	if err := t.setHost(authority); err != nil {
		return pushTarget{}, err
	}

	t.App, t.Name = path, n.Prefix+streamName
	if n.Name != "" {
		t.Name = n.Prefix + strings.TrimPrefix(n.Name, n.Prefix)
	}
	if n.FullURL && !(n.Parameters && isParameters(path)) {
		t.App, t.Name = splitName(path)
		t.SecretName = true
		if t.Name == "" {
			return pushTarget{}, &RequestError{"rtmpUrl", "a full URL must end in the name or key to publish under, as in rtmp://server/app/name; " +
				"nothing follows the last slash of this one"}
		}
	}
	if !strings.Contains(t.App, "?") {
		t.App = strings.TrimSuffix(t.App, "/")
	}
	t.TCURL = strings.ToLower(scheme) + "://" + authority + "/" + t.App
	return t, nil
}

// splitName splits a path into the application and the name to publish under. It does what FFmpeg and GStreamer do where these agree: the
// name is the last part of the path, with its query (app/name?a=b). A query belongs to the application instead
//
//   - after the first part of the path: app?a=b/name
//   - after a slash: app/?a=b/name
//   - if another query follows the name: app/inst?a=b/name?c=d
//
// A query alone may be the name: app/?name=n&key=k.
//
// In app/name?a=b/c FFmpeg and GStreamer read the name c, which breaks keys with a slash in their query; splitName reads name?a=b/c. A part
// with a colon begins the name, as in FFmpeg and the servers of Adobe: app/mp4:folder/name.
func splitName(path string) (app, name string) {
	mark := strings.IndexByte(path, '?')
	if mark < 0 {
		return splitAt(path, colonSlash(path))
	}
	before, query := path[:mark], path[mark:]
	second := strings.IndexByte(query[1:], '?') + 1
	end := len(query)
	if second > 0 {
		end = second
	}
	within := strings.LastIndexByte(query[:end], '/')
	slash := strings.LastIndexByte(before, '/')
	switch {
	case within >= 0 && (slash < 0 || slash == mark-1 || second > 0):
		return splitAt(path, mark+within)
	case slash > 0 && slash == mark-1: // the query alone
		return splitAt(path, slash)
	case slash == mark-1: // there is nothing before the query
		return path, ""
	default:
		return splitAt(path, colonSlash(before))
	}
}

// splitAt splits a path at a slash; at -1 all of it is the name.
func splitAt(path string, slash int) (app, name string) { return path[:max(slash, 0)], path[slash+1:] }

// colonSlash returns the position of the slash before the name in a path without a query, -1 if there is none.
func colonSlash(path string) int {
	last := strings.LastIndexByte(path, '/')
	first := strings.IndexByte(path, '/')
	if colon := strings.IndexByte(path[first+1:], ':'); first >= 0 && colon >= 0 {
		return min(last, strings.LastIndexByte(path[:first+1+colon], '/'))
	}
	return last
}

// isParameters reports whether a path ends in a query that belongs to no name: app/?a=b.
func isParameters(path string) bool {
	before, query, ok := strings.Cut(path, "?")
	return ok && (before == "" || strings.HasSuffix(before, "/")) && !strings.Contains(query, "/")
}

func (t *pushTarget) setUser(info string) error {
	user, password, _ := strings.Cut(info, ":")
	var err1, err2 error
	t.User, err1 = url.PathUnescape(user)
	t.Password, err2 = url.PathUnescape(password)
	if err1 != nil || err2 != nil {
		return &RequestError{"rtmpUrl", `the user or password contains a "%" that is not followed by two hexadecimal digits; write it as %25`}
	}
	return nil
}

func (t *pushTarget) setHost(authority string) error {
	host, port := authority, ""
	switch bracket := strings.LastIndexByte(authority, ']'); {
	case strings.HasPrefix(authority, "[") && bracket > 0: // an IPv6 address
		host = authority[1:bracket]
		port = authority[bracket+1:]
		if port != "" && port[0] != ':' {
			return &RequestError{"rtmpUrl", "an IPv6 address in [ ] must be followed by :port or by nothing"}
		}
		if net.ParseIP(strings.SplitN(host, "%", 2)[0]) == nil {
			return &RequestError{"rtmpUrl", "the text in [ ] is not an IPv6 address"}
		}
		port = strings.TrimPrefix(port, ":")
	case strings.Count(authority, ":") == 1:
		host, port, _ = strings.Cut(authority, ":")
	case strings.Contains(authority, ":"):
		return &RequestError{"rtmpUrl", "an IPv6 address must be written in [ ]"}
	}
	if host == "" {
		return &RequestError{"rtmpUrl", "it names no server"}
	}
	if strings.ContainsFunc(host, func(c rune) bool { return c > unicode.MaxASCII }) {
		return &RequestError{"rtmpUrl", `the name of the server contains letters that DNS does not have; write the name in the form that begins with "xn--"`}
	}
	if port != "" {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return &RequestError{"rtmpUrl", "the port must be a number from 1 to 65535"}
		}
		t.Port = strconv.FormatUint(n, 10) // without zeros before it
	}
	t.Host = host
	return nil
}

// URL returns the address as it was given, secrets included.
func (t pushTarget) URL() string { return t.raw }

// normal returns the address in the form that grants name: in lower case, with the port, without user and password, with all that follows the
// server as it was given.
func (t pushTarget) normal() string {
	scheme, host := t.server()
	_, rest, _ := strings.Cut(t.raw, "://")
	path := "/"
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		path += strings.TrimPrefix(rest[i:], "/")
	}
	return scheme + "://" + net.JoinHostPort(host, t.Port) + path
}

// server returns the scheme and the host, each equal for all spellings.
func (t pushTarget) server() (scheme, host string) {
	scheme = "rtmp"
	if t.TLS {
		scheme = "rtmps"
	}
	host = strings.TrimSuffix(strings.ToLower(t.Host), ".")
	if a, err := netip.ParseAddr(host); err == nil {
		host = a.Unmap().String()
	}
	return scheme, host
}

// key is equal for all spellings of one address and name.
func (t pushTarget) key() string {
	scheme, host := t.server()
	return scheme + "://" + t.User + "@" + net.JoinHostPort(host, t.Port) + "/" + strings.TrimSuffix(t.App, "/") + "\x00" + t.Name
}

// String returns the parts of the address that cannot be a key: scheme, server, and the first part of the application.
func (t pushTarget) String() string {
	if t.shown != "" {
		return t.shown
	}
	scheme, authority := "rtmp", t.Host
	if strings.Contains(t.Host, ":") {
		authority = "[" + t.Host + "]"
	}
	defaultPort := portRTMP
	if t.TLS {
		scheme, defaultPort = "rtmps", portRTMPS
	}
	if t.Port != defaultPort {
		authority += ":" + t.Port
	}
	app := t.App
	if end := strings.IndexAny(app, "/?"); end >= 0 {
		app = app[:end]
	}
	switch {
	case t.Forwarded && t.Destination != "" && t.echoes(authority):
		return scheme + "://***"
	case t.Forwarded && t.Destination != "":
		return scheme + "://" + authority + "/***"
	case strings.Contains(app, "@"): // the password contained a raw slash
		app = "***"
	}
	return scheme + "://" + authority + "/" + app + "/***"
}

// echoes reports whether a text holds the name or the password of the target.
func (t pushTarget) echoes(text string) bool {
	return slices.ContainsFunc([]string{t.Name, t.Password}, func(secret string) bool {
		return secret != "" && strings.Contains(strings.ToLower(text), strings.ToLower(secret))
	})
}

// GoString is String, so that %#v prints no secrets either.
func (t pushTarget) GoString() string { return t.String() }

// LogValue returns String.
func (t pushTarget) LogValue() slog.Value { return slog.StringValue(t.String()) }
