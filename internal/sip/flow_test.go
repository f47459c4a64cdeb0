package sip

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"transponder/internal/sip/dialog"
	"transponder/internal/sip/line"
	"transponder/internal/testkit"
	"transponder/internal/testkit/phone"
)

// accept answers the next REGISTER by 200, and says where it came from. It returns the contacts as "host:port;expires=N".
func accept(t *testing.T, registrar *phone.Phone) (r *phone.Message, contacts []string) {
	t.Helper()
	r = registrar.Await("REGISTER")
	host, port, err := net.SplitHostPort(r.From)
	if err != nil {
		t.Fatal(err)
	}
	answer := registrar.Text(r, phone.Reply{Code: 200, Headers: []string{"Expires: 600"}})
	answer = strings.Replace(answer, ";rport", fmt.Sprintf(";received=%s;rport=%s", host, port), 1)
	if err := registrar.ReplyRaw(r, []byte(answer)); err != nil {
		t.Fatal(err)
	}
	for _, contact := range r.Headers("Contact") {
		uri, expires, _ := strings.Cut(contact, ">")
		_, at, _ := strings.Cut(uri, "@")
		at, _, _ = strings.Cut(at, ";")
		contacts = append(contacts, at+expires)
	}
	return r, contacts
}

// Many registrars send calls only over the connection of the registration. If this connection breaks, we register over another one at once, and
// calls come again.
func TestRegistrationSurvivesConnection(t *testing.T) {
	for _, transport := range []string{"tcp", "tls"} {
		t.Run(transport, func(t *testing.T) {
			registrar := newRegistrar(t, transport)
			s := newServer(t, func(c *Config) {
				c.Account = Server{Login: "ann", Domain: "example.com"}
				c.OutboundProxy, c.IncomingStream = registrar.Addr().String()+";transport="+transport, "in-{caller}"
				c.Line.TLSInsecure = true
			})
			r, _ := accept(t, registrar)
			before := r.From
			r, contacts := accept(t, registrar)
			if r.From != before || contacts[0] != before+";expires=600" {
				t.Fatalf("REGISTER from %s, then from %s with the contacts %q", before, r.From, contacts)
			}
			testkit.Eventually(t, 5*time.Second, func() string {
				if n := s.Stats().Registrations; n.Up != 1 {
					return fmt.Sprintf("there are %+v", n)
				}
				return ""
			})
			registrar.Cut()
			began := time.Now()
			r, _ = accept(t, registrar)
			if took := time.Since(began); took > 4*time.Second {
				t.Errorf("REGISTER comes after %v", took)
			}
			now := r.From
			r, contacts = accept(t, registrar)
			if want := []string{now + ";expires=600", before + ";expires=0"}; now == before || r.From != now || !slices.Equal(contacts, want) {
				t.Fatalf("REGISTER from %s, then from %s with the contacts %q, want %q", now, r.From, contacts, want)
			}
			d := registrar.Calling("sip:ann@example.com", registrar.PeerOf("sip:"+now))
			d.Target = strings.Trim(strings.Split(r.Header("Contact"), ";")[0], "<>")
			answer := d.Request("INVITE", "", phone.Offer(phone.NewStream(t), nil))
			if answer.Code != 200 || answer.From != now {
				t.Fatalf("the call is answered by %d from %s", answer.Code, answer.From)
			}
			d.Confirm(answer, "")
			s.wait("established", func(i Info) bool { return i.Status == dialog.Established })
			d.HangUp()
			s.wait("the end", func(i Info) bool { return i.Status.Final() })
		})
	}
}

// newRegistrar starts a phone that listens for connections, and confirms the end of the registration by itself.
func newRegistrar(t *testing.T, transport string) *phone.Phone {
	cfg := phone.Config{Transport: transport}
	if transport == "tls" {
		web := httptest.NewTLSServer(nil)
		web.Close()
		cfg.Certificate = &web.TLS.Certificates[0]
	}
	var p *phone.Phone
	cfg.Handle = func(m *phone.Message) bool {
		gone := m.Method == "REGISTER" && m.Header("Expires") == "0"
		if gone {
			_ = p.TryReply(m, phone.Reply{Code: 200})
		}
		return gone
	}
	p = phone.New(t, cfg)
	return p
}

// names is a DNS in which every host has two addresses.
type names struct{ line.Resolver }

func (names) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return []netip.Addr{netip.MustParseAddr("127.0.0.1"), peer.Addr()}, nil
}

// twoServers returns a path to a silent server, and after it to peer.
func twoServers(t *testing.T) line.Path {
	cfg := line.DefaultConfig()
	cfg.Address, cfg.Port = "127.0.0.1", 0
	l := line.New(cfg, line.Parts{Resolver: names{}}, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = l.Run(ctx) }()
	defer func() { cancel(); <-ended }()
	way, err := l.Resolve(ctx, "sip:example.com:5060", "udp")
	if err != nil {
		t.Fatal(err)
	}
	return way
}

// The way to the server that has answered is kept, and not that to the first address of the registrar. When it breaks, a REGISTER follows.
func TestRegistrationKeepsWayOfAnswer(t *testing.T) {
	way := twoServers(t)
	inLab(t, nil, func(l lab) {
		l.line.way = way
		if _, err := l.Open(t.Context(), Account{Login: "ann", Domain: "example.com", Register: true}, Page{}, &page{}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		l.line.wantKept(t, way.Remote)
		l.line.respond(l.line.last("REGISTER"), 200, "", dialog.Field{Name: "Expires", Value: "600"})
		synctest.Wait()
		l.line.wantKept(t, peer)(errTestOver)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if n := l.line.count("REGISTER"); n != 2 {
			t.Errorf("%d REGISTER were sent, want 2", n)
		}
		l.line.wantKept(t, peer)
	})
}
