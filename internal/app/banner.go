package app

import (
	"cmp"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"

	"transponder/internal/access"
	"transponder/internal/access/auth"
)

// URLs are the addresses of a running server, for people on the same machine.
type URLs struct {
	Page, REST, WebSocket, RTMP string // "": the port is not open

	Mode   auth.Mode
	Access []auth.Line // for each door, what clients without a credential may do
}

// report says who may do what: clients without a credential, the users, and those who have stored keys.
func (a *App) report() auth.Report {
	var all []auth.Somebody
	for _, u := range a.people.Users() {
		all = append(all, auth.Somebody{Who: "user " + u.Name, Principal: &access.Principal{Kind: access.User, Subject: u.Name, Grants: u.Role.Grants(u.Streams)}})
	}
	for _, k := range a.tokens.Keys(access.Whole(access.Local)) {
		all = append(all, auth.Somebody{Who: "key " + cmp.Or(k.Label, k.ID), Principal: &access.Principal{Kind: access.Key, ID: k.ID, Grants: k.Grants}})
	}
	return a.auth.Report(all...)
}

// doors returns the table of what clients without a credential may do at the open ports.
func (a *App) doors() []auth.Line {
	var open []string
	if a.http != nil || a.https != nil {
		open = append(open, "rest", "whip", "whep")
	}
	if a.ws != nil || a.wss != nil || len(open) > 0 {
		open = append(open, "websocket")
	}
	if a.rtmpPort() != 0 {
		open = append(open, "rtmp")
	}
	return a.auth.Table(open...)
}

// urls returns the addresses of the listeners.
func (a *App) urls() URLs {
	local := func(scheme string, port int, path string) string {
		if port == 0 {
			return ""
		}
		return scheme + "://localhost:" + strconv.Itoa(port) + path
	}
	return URLs{
		Page:      local("http", portOf(a.http), "/"),
		REST:      local("http", portOf(a.http), "/rest-api"),
		WebSocket: local("ws", portOf(a.ws), ""),
		RTMP:      local("rtmp", a.rtmpPort(), "/live"),
		Mode:      a.auth.Mode(),
		Access:    a.doors(),
	}
}

// portOf returns the port of a listener, 0 if there is none.
func portOf(l net.Listener) int {
	if l == nil {
		return 0
	}
	return l.Addr().(*net.TCPAddr).Port
}

func (a *App) rtmpPort() int {
	if a.server == nil || a.server.Addr() == nil {
		return 0
	}
	return a.server.Addr().(*net.TCPAddr).Port
}

// Print tells a person at a terminal the addresses, and what to do next.
func (u URLs) Print(w io.Writer, version string) error {
	text := "Transponder " + version + " is ready.\n"
	docs := ""
	if u.Page != "" {
		docs = u.Page + "docs/"
	}
	for _, line := range []struct{ name, url string }{
		{"page", u.Page}, {"manual", docs}, {"REST", u.REST}, {"WebSocket", u.WebSocket}, {"RTMP", u.RTMP},
	} {
		if line.url != "" {
			text += fmt.Sprintf("  %-10s %s\n", line.name, line.url)
		}
	}
	text += u.who()
	if u.Page != "" && u.RTMP != "" {
		text += "Open the page, click Start and let it use the camera; then play " + u.RTMP + "/rtmp_NAME with ffplay.\n"
	}
	_, err := io.WriteString(w, text)
	return err
}

// who says what clients may do that show no password, no token and no key.
func (u URLs) who() string {
	if len(u.Access) == 0 {
		return ""
	}
	var text strings.Builder
	fmt.Fprintf(&text, "Who may do what (access=%s):\n  %-12s %-24s %s\n", cmp.Or(u.Mode, auth.Auto), "", "on this machine", "from elsewhere")
	for _, l := range u.Access {
		fmt.Fprintf(&text, "  %-12s %-24s %s\n", l.Door, l.Here, l.Elsewhere)
	}
	return text.String()
}
