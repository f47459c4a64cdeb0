package whip

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"transponder/internal/access"
	"transponder/internal/rtc"
	"transponder/internal/stream"
)

// iceServers are the servers of the tests: one of each kind.
func iceServers() rtc.ICEServers {
	return rtc.ICEServers{URLs: []string{"stun:stun.example.com", "turns:turn.example.com:443?transport=tcp"}, Secret: "hunter2"}
}

const stunLink = `<stun:stun.example.com>; rel="ice-server"`

// The form is that of the example in RFC 9725, 4.6. The password is made from the secret, and is not the secret.
var turnLink = regexp.MustCompile(`^<turns:turn\.example\.com:443\?transport=tcp>; rel="ice-server"; username="\d{10}:[0-9A-Za-z_-]+"; credential="[0-9A-Za-z+/]{27}="; credential-type="password"$`)

// quiet is the media of a session in which nothing happens.
type quiet struct{ faulty }

func (quiet) Connected() <-chan struct{}      { return nil }
func (quiet) Stats() rtc.PlayStats            { return rtc.PlayStats{} }
func (quiet) Hold(rtc.Sources, time.Duration) {}
func (quiet) Away() (bool, <-chan struct{})   { return false, nil }
func (quiet) Run(ctx context.Context) error   { <-ctx.Done(); return context.Cause(ctx) }

// telling starts a server that tells clients the servers, and returns a function that asks it. There is a stream "a".
func telling(t *testing.T, by Access) (*Server, func(method, path string, headers ...string) *http.Response) {
	t.Helper()
	cfg := DefaultConfig()
	cfg.ICEServers = iceServers()
	hub := stream.NewHub(stream.DefaultConfig(), nil)
	src, err := hub.Publish(stream.Info{Name: "a"})
	if err != nil {
		t.Fatal(err)
	}
	s := New(cfg, Parts{
		Access: by, Streams: hub,
		Publish: func(_ context.Context, _ rtc.Offer, info stream.Info) (Publication, error) {
			if info.Name == "taken" {
				return nil, stream.ErrNameInUse
			}
			return faulty{}, nil
		},
		Play: func(context.Context, rtc.Offer, *stream.Source) (Playback, error) { return quiet{}, nil },
	}, slog.New(slog.DiscardHandler))
	t.Cleanup(func() {
		s.Close()
		src.Close(nil)
	})
	return s, func(method, path string, headers ...string) *http.Response {
		w, r := httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(offer("H264")))
		r.RemoteAddr, r.Host = "127.0.0.1:50000", "localhost" // where a guard is needed
		r.Header.Set("Content-Type", typeSDP)
		for _, h := range headers {
			name, value, _ := strings.Cut(h, ": ")
			r.Header.Set(name, value)
		}
		s.ServeHTTP(w, r)
		return w.Result()
	}
}

// iceLinks returns the headers Link that are about ICE servers.
func iceLinks(h http.Header) []string {
	return slices.DeleteFunc(slices.Clone(h.Values("Link")), func(l string) bool { return !strings.Contains(l, `rel="ice-server"`) })
}

// Publishers and players learn of the servers by the answer to their offer. Others, and who is refused, do not.
func TestICEServerLinks(t *testing.T) {
	_, ask := telling(t, newDesk(t, tokens{
		"right": {Kind: access.Token, Subject: "a", Grants: may("*", access.Publish, access.Play)},
		"other": {Kind: access.Token, Subject: "b", Grants: may("b", access.Publish, access.Play)},
	}))
	preflight := []string{"Origin: https://example.com", "Access-Control-Request-Method: POST"}
	for _, c := range []struct {
		name, method, path, token string
		headers                   []string
		status                    int
		told                      bool
	}{
		{"a publisher", "POST", "/whip/a", "right", nil, 201, true},
		{"a player", "POST", "/whep/a", "right", nil, 201, true},
		{"a publisher before the offer", "OPTIONS", "/whip/a", "right", nil, 204, true},
		{"a player before the offer", "OPTIONS", "/whep/a", "right", nil, 204, true},
		{"a page before the offer", "OPTIONS", "/whep/a", "right", preflight[:1], 204, true},
		{"a preflight", "OPTIONS", "/whip/a", "", preflight, 204, false},
		{"a preflight that shows a token", "OPTIONS", "/whip/a", "right", preflight, 204, false},
		{"no token", "OPTIONS", "/whip/a", "", nil, 204, false},
		{"the token of another stream", "OPTIONS", "/whip/a", "other", nil, 204, false},
		{"a token that is none", "OPTIONS", "/whip/a", "x", nil, 204, false},
		{"a refused offer", "POST", "/whip/a", "other", nil, 403, false},
		{"a name that is taken", "POST", "/whip/taken", "right", nil, 409, false},
		{"a stream that is not there", "POST", "/whep/b", "right", nil, 404, false},
	} {
		headers := slices.Clone(c.headers)
		if c.token != "" {
			headers = append(headers, bearerOf(c.token))
		}
		res := ask(c.method, c.path, headers...)
		if res.StatusCode != c.status {
			t.Errorf("%s: %s, want %d", c.name, res.Status, c.status)
		}
		got := iceLinks(res.Header)
		if good := len(got) == 2 && got[0] == stunLink && turnLink.MatchString(got[1]); good != c.told || !c.told && len(got) > 0 {
			t.Errorf("%s: Link: %q, want that the servers are told: %v", c.name, got, c.told)
		}
		if !strings.Contains(res.Header.Get("Access-Control-Expose-Headers"), "Link") {
			t.Errorf("%s: a page cannot read the header", c.name)
		}
		if events := strings.Contains(strings.Join(res.Header.Values("Link"), " "), "/events"); events != (c.name == "a player") {
			t.Errorf("%s: Link: %q, want the events of players there", c.name, res.Header.Values("Link"))
		}
	}
}

// A page of strangers gets no password through the browser of a visitor who may do everything.
func TestICEServersForPagesOfStrangers(t *testing.T) {
	_, ask := telling(t, everybody())
	if res := ask("OPTIONS", "/whip/a", "Origin: https://evil.test"); len(iceLinks(res.Header)) != 0 {
		t.Errorf("a page of strangers is told %q", res.Header.Values("Link"))
	}
	if res := ask("OPTIONS", "/whip/a"); len(iceLinks(res.Header)) != 2 {
		t.Errorf("a program is told %q", res.Header.Values("Link"))
	}
}

// Two clients have two passwords. What is in a quoted string is escaped, and without servers there is no header.
func TestICEServerLinkValues(t *testing.T) {
	s, _ := telling(t, everybody())
	one, two := http.Header{}, http.Header{}
	s.linkICEServers(one, "one")
	s.linkICEServers(two, "two")
	if a, b := one.Values("Link")[1], two.Values("Link")[1]; a == b {
		t.Errorf("two clients have the same password: %s", a)
	}
	s.cfg.ICEServers = rtc.ICEServers{URLs: []string{"turn:turn.example.com"}, User: `a"b\c`, Password: `"`}
	h := http.Header{}
	s.linkICEServers(h, "one")
	const want = `<turn:turn.example.com>; rel="ice-server"; username="a\"b\\c"; credential="\""; credential-type="password"`
	if got := h.Get("Link"); got != want {
		t.Errorf("Link: %s, want %s", got, want)
	}
	s.cfg.ICEServers = rtc.ICEServers{}
	h = http.Header{}
	if s.linkICEServers(h, "one"); len(h) != 0 {
		t.Errorf("headers without servers: %v", h)
	}
}
