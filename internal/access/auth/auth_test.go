package auth

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"transponder/internal/access"
	"transponder/internal/access/audit"
	"transponder/internal/guard"
)

var discard = slog.New(slog.DiscardHandler)

// fakeTokens knows one token.
type fakeTokens struct{}

func (fakeTokens) Verify(_ context.Context, c access.Credential) (*access.Principal, error) {
	switch c.Token {
	case "right":
	case "expired":
		return nil, &access.BadCredential{Detail: "it has expired"}
	default:
		return nil, &access.BadCredential{}
	}
	return &access.Principal{Kind: access.Token, Subject: "ann", Grants: []access.Grant{{Actions: []access.Action{access.Play}, Streams: []string{"*"}}}}, nil
}

// fakePeople knows one password and one cookie.
type fakePeople struct{}

func (fakePeople) Login(_ context.Context, c access.Credential) (*access.Principal, error) {
	if c.Name != "bob" || c.Password != "secret" {
		return nil, &access.BadCredential{}
	}
	return access.Whole(access.User), nil
}

// Before refuses that address, too.
func (fakePeople) Before(c access.Credential, _ string) error {
	if c.Peer.String() == "198.51.100.1" {
		return &access.TooMany{Wait: time.Second}
	}
	return nil
}

func (fakePeople) Right(access.Credential, string) {}

// Wrong refuses more tries from one address.
func (fakePeople) Wrong(c access.Credential) error {
	if c.Peer.String() == "198.51.100.1" {
		return &access.TooMany{Wait: time.Second}
	}
	return &access.BadCredential{}
}

func (fakePeople) Session(_ context.Context, c access.Credential) (*access.Principal, error) {
	switch c.Session {
	case "cookie":
		return access.Whole(access.User), nil
	case "often":
		return nil, &access.TooMany{Wait: time.Second}
	}
	return nil, &access.BadCredential{}
}

// kinds returns what a principal has shown, and what he may do with all streams, in one word.
func outcome(p *access.Principal, err error) string {
	switch {
	case errors.As(err, new(*access.BadCredential)):
		return "bad"
	case errors.As(err, new(*access.TooMany)):
		return "wait"
	case err != nil:
		return err.Error()
	}
	word := string(p.Kind)
	var may []string
	for _, a := range access.Actions {
		if access.Decide(p, a, access.Object{Stream: "s", URL: "rtmp://h:1935/a"}) == nil {
			may = append(may, string(a))
		}
	}
	switch {
	case p.IsAdmin():
		return word + " everything"
	case len(may) == 0:
		return word + " nothing"
	}
	return word + " " + strings.Join(may, ",")
}

func TestIdentify(t *testing.T) {
	var (
		here     = access.Credential{Local: true, Peer: netip.MustParseAddr("127.0.0.1")}
		near     = access.Credential{Peer: netip.MustParseAddr("10.1.2.3")}
		far      = access.Credential{Peer: netip.MustParseAddr("203.0.113.7")}
		with     = func(c access.Credential, change func(*access.Credential)) access.Credential { change(&c); return c }
		token    = func(text string) func(*access.Credential) { return func(c *access.Credential) { c.Token = text } }
		password = func(text string) func(*access.Credential) {
			return func(c *access.Credential) { c.Name, c.Password = "bob", text }
		}
		cookie = func(text string) func(*access.Credential) { return func(c *access.Credential) { c.Session = text } }

		auto      = Config{Mode: Auto}
		closed    = Config{Mode: Closed}
		open      = Config{Mode: Open}
		vendor    = Config{Mode: Auto, REST: RESTOpen}
		password0 = Config{Mode: Auto, REST: RESTClosed}
		openREST  = Config{Mode: Open, REST: RESTClosed}
		whip      = Config{Mode: Auto, WHIPToken: "t1", WHEPToken: "t2"}
		openWHIP  = Config{Mode: Open, WHIPToken: "t1"}
		some      = Config{Mode: Auto, Anonymous: []access.Action{access.Publish, access.Play}}
		push      = Config{Mode: Auto, Anonymous: []access.Action{access.Push}}
		scraper   = Config{Mode: Closed, MetricsAllow: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}}
	)
	for _, tt := range []struct {
		name string
		cfg  Config
		door string
		c    access.Credential
		want string
	}{
		{"laptop", auto, "rest", here, "local everything"},
		{"laptop, encoder", auto, "rtmp", here, "local everything"},
		{"from elsewhere", auto, "rest", far, "anonymous nothing"},
		{"from elsewhere, encoder", auto, "rtmp", far, "anonymous nothing"},
		{"closed", closed, "rest", here, "anonymous nothing"},
		{"closed, encoder", closed, "whip", here, "anonymous nothing"},
		{"open", open, "websocket", far, "anonymous everything"},
		{"open, this machine", open, "websocket", here, "local everything"},
		{"vendor's REST", vendor, "rest", far, "setting everything"},
		{"vendor's REST, counts", vendor, "stat", far, "setting everything"},
		{"vendor's REST does not open other doors", vendor, "rtmp", far, "anonymous nothing"},
		{"vendor's REST does not close other doors", vendor, "whip", here, "local everything"},
		{"vendor's REST from this machine", vendor, "rest", here, "local everything"},
		{"REST with passwords", password0, "rest", here, "anonymous nothing"},
		{"REST with passwords, figures", password0, "metrics", here, "local everything"},
		{"REST with passwords, encoder", password0, "rtmp", here, "local everything"},
		{"REST with passwords in an open server", openREST, "rest", far, "anonymous nothing"},
		{"REST with passwords in an open server, figures", openREST, "metrics", far, "anonymous nothing"},
		{"REST with passwords in an open server, counts", openREST, "stat", far, "anonymous nothing"},
		{"REST with passwords in an open server, figures for this machine", openREST, "metrics", here, "local everything"},
		{"other doors of the open server", openREST, "whep", far, "anonymous everything"},

		{"right token", closed, "rest", with(far, token("right")), "token play"},
		{"wrong token", auto, "rest", with(here, token("wrong")), "bad"},
		{"wrong token in an open server", open, "rest", with(far, token("wrong")), "bad"},
		{"somebody else's token in an open server", open, "websocket", with(far, token("wrong")), "anonymous everything"},
		{"right token in an open server", open, "websocket", with(far, token("right")), "token play"},
		{"expired token where there were too many wrong ones", auto, "rest", with(access.Credential{Peer: netip.MustParseAddr("198.51.100.1")}, token("expired")), "bad"},
		{"one more wrong token", auto, "rest", with(access.Credential{Peer: netip.MustParseAddr("198.51.100.1")}, token("wrong")), "wait"},
		{"WHIP's token where there were too many wrong ones", whip, "whip", with(access.Credential{Peer: netip.MustParseAddr("198.51.100.1")}, token("t1")), "wait"},
		{"right password", closed, "rest", with(far, password("secret")), "user everything"},
		{"wrong password", auto, "rest", with(here, password("x")), "bad"},
		{"wrong password where none is needed", vendor, "rest", with(far, password("x")), "setting everything"},
		{"wrong password where REST needs none, at another door", vendor, "rtmp", with(far, password("x")), "bad"},
		{"wrong password in an open server", open, "rest", with(far, password("x")), "anonymous everything"},
		{"right password where none is needed", vendor, "rest", with(far, password("secret")), "user everything"},
		{"right cookie", closed, "rest", with(far, cookie("cookie")), "user everything"},
		{"old cookie on a laptop", auto, "rest", with(here, cookie("old")), "local everything"},
		{"old cookie from elsewhere", auto, "rest", with(far, cookie("old")), "anonymous nothing"},
		{"too many cookies", auto, "rest", with(here, cookie("often")), "wait"},
		{"a token counts before a cookie", auto, "rest", with(with(far, token("wrong")), cookie("cookie")), "bad"},

		{"WHIP's token", whip, "whip", with(far, token("t1")), "setting publish"},
		{"WHEP's token", whip, "whep", with(far, token("t2")), "setting play"},
		{"WHIP's token at another door", whip, "whep", with(far, token("t1")), "bad"},
		{"WHIP's token at REST", whip, "rest", with(far, token("t1")), "bad"},
		{"WHIP with a token in the settings", whip, "whip", here, "anonymous nothing"},
		{"the same in an open server", openWHIP, "whip", here, "anonymous nothing"},
		{"a wrong token there", openWHIP, "whip", with(far, token("wrong")), "bad"},
		{"a token of ours there", openWHIP, "whip", with(far, token("right")), "token play"},
		{"WHEP in that server", openWHIP, "whep", far, "anonymous everything"},
		{"no setting is the empty token", auto, "whip", with(far, token("t")), "bad"},

		{"strangers who may something", some, "websocket", far, "anonymous publish,play"},
		{"strangers who may push", push, "websocket", far, "anonymous push"},
		{"scraper", scraper, "metrics", near, "setting read"},
		{"scraper reads counts", scraper, "stat", near, "setting read"},
		{"scraper at REST", scraper, "rest", near, "anonymous nothing"},
		{"another scraper", scraper, "metrics", far, "anonymous nothing"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := New(tt.cfg, Parts{Tokens: fakeTokens{}, People: fakePeople{}, Guesses: fakePeople{}}, discard)
			tt.c.Door = tt.door
			if got := outcome(a.Identify(t.Context(), tt.c)); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
	for _, c := range []access.Credential{with(here, token("right")), with(here, password("secret"))} {
		c.Door = "rest"
		a := New(auto, Parts{}, discard)
		if got := outcome(a.Identify(t.Context(), c)); got != "bad" {
			t.Errorf("without anybody who knows credentials: %s", got)
		}
	}
}

// Only a client on this machine is local, if no proxy and no page of another host stands between.
func TestLocal(t *testing.T) {
	named, err := guard.ParseOrigins("https://studio.example")
	if err != nil {
		t.Fatal(err)
	}
	a := New(DefaultConfig(), Parts{Guard: guard.New([]string{"live.example.com"}, nil), Pages: named}, discard)
	for _, tt := range []struct {
		name, peer, host string
		headers          []string
		want             bool
	}{
		{"curl", "127.0.0.1:1", "localhost:8081", nil, true},
		{"curl by IPv6", "[::1]:1", "[::1]:8081", nil, true},
		{"curl by a name of the server", "127.0.0.1:1", "live.example.com", nil, true},
		{"own page", "127.0.0.1:1", "localhost:8081", []string{"Origin", "http://localhost:8081"}, true},
		{"page in development", "127.0.0.1:1", "localhost:8081", []string{"Origin", "http://127.0.0.1:3000"}, true},
		{"page that the settings name", "127.0.0.1:1", "localhost:8081", []string{"Origin", "https://studio.example"}, true},

		{"other machine", "192.168.1.7:1", "192.168.1.5", nil, false},
		{"container's bridge", "172.17.0.1:1", "localhost:8081", nil, false},
		{"page of another host", "127.0.0.1:1", "localhost:8081", []string{"Origin", "https://evil.test"}, false},
		{"page from a file", "127.0.0.1:1", "localhost:8081", []string{"Origin", "null"}, false},
		{"two origins", "127.0.0.1:1", "localhost:8081", []string{"Origin", "http://localhost", "Origin", "http://localhost"}, false},
		{"stolen name", "127.0.0.1:1", "evil.test:8081", nil, false},
		{"page of a stolen name", "127.0.0.1:1", "evil.test:8081", []string{"Origin", "http://evil.test:8081"}, false},
		{"proxy", "127.0.0.1:1", "localhost", []string{"X-Forwarded-For", "203.0.113.7"}, false},
		{"proxy of another kind", "127.0.0.1:1", "localhost", []string{"Forwarded", "for=203.0.113.7"}, false},
		{"proxy that hides the client", "127.0.0.1:1", "localhost", []string{"Via", "1.1 nginx"}, false},
		{"tunnel", "127.0.0.1:1", "localhost", []string{"Cf-Connecting-Ip", "203.0.113.7"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest("POST", "/", nil)
			r.RemoteAddr, r.Host = tt.peer, tt.host
			for i := 0; i+1 < len(tt.headers); i += 2 {
				r.Header.Add(tt.headers[i], tt.headers[i+1])
			}
			if got := a.Credential("rest", r).Local; got != tt.want {
				t.Errorf("local: %v, want %v", got, tt.want)
			}
		})
	}
}

// A request shows everything that its headers and its certificate hold; a cookie only at doors that no page of another host may use.
func TestCredential(t *testing.T) {
	proxies := guard.SharesConfig{Proxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}
	a := New(DefaultConfig(), Parts{Shares: proxies, Cookie: func(*http.Request) string { return "cookie" }}, discard)
	r := httptest.NewRequest("GET", "/", nil)
	r.RemoteAddr = "10.1.1.1:7"
	r.Header.Set("X-Forwarded-For", "6.6.6.6, 203.0.113.7")
	r.Header.Set("Authorization", "bearer  abc ")
	leaf := &x509.Certificate{}
	r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf}}
	c := a.Credential("rest", r)
	if c.Token != "abc" || c.Session != "cookie" || c.Peer.String() != "203.0.113.7" || len(c.Certificates) > 0 {
		t.Errorf("%+v", c)
	}
	r.TLS.VerifiedChains = [][]*x509.Certificate{{leaf}}
	r.Header.Del("Authorization")
	r.SetBasicAuth("ann", "secret")
	if c = a.Credential("whip", r); c.Name != "ann" || c.Password != "secret" || c.Token != "" || c.Session != "" || len(c.Certificates) != 1 {
		t.Errorf("%+v", c)
	}
}

func TestCertificateRoles(t *testing.T) {
	var cfg Config
	for _, text := range []string{"CN=ops:admin", "URI=spiffe://example.org/studio/*:viewer"} {
		r, err := ParseCertificateRole(text)
		if err != nil || r.String() != text {
			t.Fatalf("%q is read as %q, %v", text, r, err)
		}
		cfg.CertificateRoles = append(cfg.CertificateRoles, r)
	}
	cfg.Mode = Closed
	a := New(cfg, Parts{}, discard)
	for _, tt := range []struct{ name, uri, want string }{
		{"ops", "", "certificate everything"},
		{"Ops", "", "anonymous nothing"},
		{"", "spiffe://example.org/studio/7", "certificate read"},
		{"x", "spiffe://example.org/other/7", "anonymous nothing"},
		{"spiffe://example.org/studio/*", "", "anonymous nothing"},
		{"", "", "anonymous nothing"},
	} {
		leaf := &x509.Certificate{Subject: pkix.Name{CommonName: tt.name}}
		if tt.uri != "" {
			u, err := url.Parse(tt.uri)
			if err != nil {
				t.Fatal(err)
			}
			leaf.URIs = []*url.URL{u}
		}
		c := access.Credential{Door: "rest", Certificates: []*x509.Certificate{leaf}}
		if got := outcome(a.Identify(t.Context(), c)); got != tt.want {
			t.Errorf("CN=%q, URI=%q: %s, want %s", tt.name, tt.uri, got, tt.want)
		}
	}
}

func FuzzCertificateRole(f *testing.F) {
	for _, text := range []string{"CN=ops:admin", "URI=spiffe://a/*:viewer", "CN=a:b:operator", "CN==:admin", ":", "CN=://x:admin"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if r, err := ParseCertificateRole(text); err == nil && r.String() != text {
			t.Errorf("%q is written as %q", text, r)
		}
	})
}

type recorder struct{ lines []audit.Line }

func (r *recorder) Note(l audit.Line) { r.lines = append(r.lines, l) }

func TestAuthorize(t *testing.T) {
	refusals, log := guard.NewRefusals(discard), &recorder{}
	a := New(DefaultConfig(), Parts{Refusals: refusals, Recorder: log}, discard)
	player := &access.Principal{Kind: access.Token, Subject: "ann", Grants: []access.Grant{{Actions: []access.Action{access.Play, access.Read}, Streams: []string{"a"}}}}
	c := access.Credential{Door: "whep", Peer: netip.MustParseAddr("203.0.113.7"), Origin: "https://x.example"}
	for _, tt := range []struct {
		who    *access.Principal
		do     access.Action
		stream string
		want   string // "", "none", "denied"
		lines  int
	}{
		{player, access.Play, "a", "", 1},
		{player, access.Read, "a", "", 0},
		{player, access.Read, "b", "denied", 1},
		{player, access.Play, "b", "denied", 1},
		{access.Nobody(), access.Play, "a", "none", 1},
		{nil, access.Play, "a", "none", 1},
		{&access.Principal{Kind: access.Anonymous, Grants: player.Grants}, access.Publish, "a", "none", 1},
	} {
		log.lines = nil
		err := a.Authorize(tt.who, c, tt.do, access.Object{Stream: tt.stream})
		got := ""
		switch {
		case errors.Is(err, access.ErrNone):
			got = "none"
		case errors.As(err, new(*access.Denied)):
			got = "denied"
		}
		if got != tt.want || len(log.lines) != tt.lines {
			t.Errorf("%v %s %s: %q with %d lines, want %q with %d", tt.who, tt.do, tt.stream, got, len(log.lines), tt.want, tt.lines)
		}
		if len(log.lines) > 0 && (log.lines[0].From != "203.0.113.7" || log.lines[0].Via != "whep" || log.lines[0].OK != (err == nil) || log.lines[0].Origin == "") {
			t.Errorf("the line is %+v", log.lines[0])
		}
	}
	if n := refusals.Counts()[guard.Refused{Door: "whep", Why: guard.WhyAccess}]; n != 5 {
		t.Errorf("%d refusals are counted", n)
	}
}

func TestWarnings(t *testing.T) {
	for _, tt := range []struct {
		cfg  Config
		want int
	}{
		{Config{Mode: Auto}, 0},
		{Config{Mode: Closed}, 0},
		{Config{Mode: Open}, 1},
		{Config{Mode: Auto, REST: RESTOpen}, 1},
		{Config{Mode: Auto, Anonymous: []access.Action{access.Play}}, 0},
		{Config{Mode: Auto, Anonymous: []access.Action{access.Push, access.Control}}, 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			var out bytes.Buffer
			a := New(tt.cfg, Parts{}, slog.New(slog.NewTextHandler(&out, nil)))
			ctx, cancel := context.WithTimeout(t.Context(), 90*time.Minute)
			defer cancel()
			_ = a.Run(ctx)
			if got := strings.Count(out.String(), "level=WARN"); got != 2*tt.want {
				t.Errorf("%+v: %d lines in 90 minutes, want %d: %s", tt.cfg, got, 2*tt.want, &out)
			}
		})
	}
}

// A proxy that adds no header passes on many names, and is told of once.
func TestHiddenProxy(t *testing.T) {
	var out bytes.Buffer
	a := New(DefaultConfig(), Parts{}, slog.New(slog.NewTextHandler(&out, nil)))
	for i, host := range []string{"localhost", "127.0.0.1:8081", "[::1]:8081", "a.local", "a.local:8081", "b.local", "10.0.0.1", "c.local"} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr, r.Host = "127.0.0.1:1", host
		a.Credential("rest", r)
		if warned := out.Len() > 0; warned != (i >= 6) {
			t.Errorf("after %s: a warning: %v", host, warned)
		}
	}
	if n := strings.Count(out.String(), "level=WARN"); n != 1 {
		t.Errorf("%d warnings", n)
	}
}
