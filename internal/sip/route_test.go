package sip

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestRouteTo(t *testing.T) {
	tests := []struct {
		name    string
		account Account
		callee  string
		want    string // Request-URI, From, first server, transport, Route
	}{
		{"user at the domain", Account{Login: "ann", Domain: "example.com"}, "bob",
			"sip:bob@example.com sip:ann@example.com sip:example.com udp []"},
		{"port of the domain", Account{Login: "ann", Domain: "example.com", Port: 5080}, "bob",
			"sip:bob@example.com:5080 sip:ann@example.com sip:example.com:5080 udp []"},
		{"callee elsewhere", Account{Login: "ann", Domain: "example.com", Port: 5080}, "sip:bob@example.org",
			"sip:bob@example.org sip:ann@example.com sip:example.org udp []"},
		{"proxy", Account{Login: "ann", Domain: "example.com", OutboundProxy: "proxy.example.net"}, "bob",
			"sip:bob@example.com sip:ann@example.com sip:proxy.example.net udp [<sip:proxy.example.net;lr>]"},
		{"proxy with port and transport", Account{Login: "ann", Domain: "example.com", OutboundProxy: "192.0.2.1:5070;transport=tcp"}, "bob",
			"sip:bob@example.com sip:ann@example.com sip:192.0.2.1:5070;transport=tcp tcp [<sip:192.0.2.1:5070;transport=tcp;lr>]"},
		{"port of the proxy", Account{Login: "ann", Domain: "example.com", OutboundProxy: "proxy", Port: 5080}, "bob",
			"sip:bob@example.com sip:ann@example.com sip:proxy:5080 udp [<sip:proxy:5080;lr>]"},
		{"TLS", Account{Login: "ann", Domain: "example.com", Transport: "tls"}, "bob",
			"sip:bob@example.com sip:ann@example.com sip:example.com;transport=tls tls []"},
		{"no account", Account{}, "sip:door@192.0.2.7", "sip:door@192.0.2.7 sip: sip:192.0.2.7 udp []"},
		{"transport of the callee", Account{}, "sip:door@192.0.2.7;transport=tcp",
			"sip:door@192.0.2.7;transport=tcp sip: sip:192.0.2.7;transport=tcp tcp []"},
		{"sips", Account{}, "sips:door@192.0.2.7", "sips:door@192.0.2.7 sip: sips:192.0.2.7;transport=tls tls []"},
	}
	for _, tt := range tests {
		r, err := routeTo(tt.account, tt.callee, "")
		got := fmt.Sprint(r.callee.uri(), " ", r.from.identity(), " ", r.hop, " ", r.transport, " ", r.routes())
		if err != nil || got != tt.want {
			t.Errorf("%s: %s, %v, want %s", tt.name, got, err, tt.want)
		}
	}
}

func TestRouteRefuses(t *testing.T) {
	good := Account{Login: "ann", Domain: "example.com"}
	with := func(change func(*Account)) Account { a := good; change(&a); return a }
	tests := []struct {
		account       Account
		callee, shown string
		field         string
	}{
		{good, "bob\r\n", "", "callee"},
		{good, "bob", "Ann\r\nX: y", "visibleName"},
		{good, "bob", strings.Repeat("n", 256), "visibleName"},
		{with(func(a *Account) { a.Login = "an n" }), "bob", "", "sipLogin"},
		{with(func(a *Account) { a.Login = "ann<" }), "bob", "", "sipLogin"},
		{with(func(a *Account) { a.Domain = "example.com/x" }), "bob", "", "sipDomain"},
		{with(func(a *Account) { a.OutboundProxy = "proxy;maddr=1" }), "bob", "", "sipOutboundProxy"},
		{with(func(a *Account) { a.Password = "a\nb" }), "bob", "", "sipPassword"},
		{with(func(a *Account) { a.AuthName = "a\x00b" }), "bob", "", "sipAuthenticationName"},
		{with(func(a *Account) { a.Port = 65536 }), "bob", "", "sipPort"},
		{with(func(a *Account) { a.Transport = "ws" }), "bob", "", "sipTransport"},
		{with(func(a *Account) { a.Register, a.Login = true, "" }), "bob", "", "sipRegisterRequired"},
	}
	for _, tt := range tests {
		_, err := routeTo(tt.account, tt.callee, tt.shown)
		var bad *RequestError
		if !errors.As(err, &bad) || bad.Field != tt.field {
			t.Errorf("%s: %v", tt.field, err)
		}
	}
}

// A display name is quoted so that it ends where it ends.
func TestQuoted(t *testing.T) {
	if got, want := quoted(`An"n\`), `"An\"n\\" `; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestComplete(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Domain, cfg.OutboundProxy, cfg.OutboundPort = "home", "proxy", 5070
	cfg.Account = Server{Login: "desk", Domain: "office", Password: "secret"}
	tests := []struct{ name, got, want string }{
		{"none", show(cfg.complete(Account{})), "desk office proxy 5070 false"},
		{"own domain", show(cfg.complete(Account{Login: "ann", Domain: "away"})), "ann away proxy 5070 false"},
		{"no domain", show(cfg.complete(Account{Login: "ann", Register: true})), "ann home proxy 5070 true"},
		{"own proxy", show(cfg.complete(Account{Login: "ann", OutboundProxy: "p", Port: 1})), "ann home p 1 false"},
	}
	for _, tt := range tests {
		if tt.got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, tt.got, tt.want)
		}
	}
	cfg.IncomingStream = "sip-{user}"
	if a := cfg.complete(Account{}); !a.Register || a.Password != "secret" {
		t.Errorf("the account of the server is %+v: it has to be registered to be called", a)
	}
}

func show(a Account) string {
	return fmt.Sprint(a.Login, " ", a.Domain, " ", a.OutboundProxy, " ", a.Port, " ", a.Register)
}
