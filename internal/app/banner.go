package app

import (
	"fmt"
	"io"
	"net"
	"strconv"
)

// URLs are the addresses of a running server, for people on the same machine.
type URLs struct {
	Page, REST, WebSocket, RTMP string // "": the port is not open
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
	for _, line := range []struct{ name, url string }{
		{"page", u.Page}, {"REST", u.REST}, {"WebSocket", u.WebSocket}, {"RTMP", u.RTMP},
	} {
		if line.url != "" {
			text += fmt.Sprintf("  %-10s %s\n", line.name, line.url)
		}
	}
	if u.Page != "" && u.RTMP != "" {
		text += "Open the page, click Start and let it use the camera; then play " + u.RTMP + "/rtmp_NAME with ffplay.\n"
	}
	_, err := io.WriteString(w, text)
	return err
}
