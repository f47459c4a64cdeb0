package sip

import (
	"strings"
	"testing"
	"time"

	"transponder/internal/sip/dialog"
	"transponder/internal/testkit"
	"transponder/internal/testkit/phone"
)

var ann = phone.Login{Realm: "example.com", Nonce: "n1", User: "ann", Password: "secret-of-ann", QOP: true}

// register answers the next REGISTER with a challenge, and then with 200 if the credentials are right.
func register(t *testing.T, registrar *phone.Phone) *phone.Message {
	t.Helper()
	registrar.Reply(registrar.Await("REGISTER"), phone.Reply{Code: 401, Headers: []string{"WWW-Authenticate: " + ann.Challenge()}})
	again := registrar.Await("REGISTER")
	if err := ann.Check(again); err != nil {
		t.Errorf("the credentials are wrong: %v", err)
	}
	registrar.Reply(again, phone.Reply{Code: 200, Headers: []string{"Expires: 600"}})
	return again
}

func (s *server) account(registrar *phone.Phone) Account {
	return Account{
		Login: "ann", Password: "secret-of-ann", Domain: "example.com", OutboundProxy: registrar.Addr().String(), Register: true,
	}
}

// Calls of one account share a registration. It begins with the first call, and ends with the last.
func TestCallsShareRegistration(t *testing.T) {
	s := newServer(t, nil)
	registrar := s.phone()
	s.start(Request{CallID: "1", Callee: "bob", Audio: true, Account: s.account(registrar)})
	s.start(Request{CallID: "2", Callee: "eve", Audio: true, Account: s.account(registrar)})
	if i := s.Find(Filter{CallID: "1"}); i[0].Status != dialog.Pending {
		t.Errorf("before the registration the call is %+v", i)
	}
	if r := s.Stats().Registrations; r != (Registrations{Wanted: 1}) {
		t.Errorf("before the registration there are %+v", r)
	}
	r := register(t, registrar)
	first, second := registrar.Await("INVITE"), registrar.Await("INVITE")
	if r := s.Stats().Registrations; r != (Registrations{Wanted: 1, Up: 1}) {
		t.Errorf("there are %+v", r)
	}
	contact, _, _ := strings.Cut(r.Header("Contact"), ">")
	for _, invite := range []*phone.Message{first, second} {
		if !strings.HasPrefix(invite.Header("Contact"), contact+">") {
			t.Errorf("the call has the contact %s, want %s>", invite.Header("Contact"), contact)
		}
		registrar.Reply(invite, phone.Reply{Code: 486})
	}
	if gone := registrar.Await("REGISTER"); gone.Header("Expires") != "0" {
		t.Errorf("the last REGISTER is\n%s", gone.Raw)
	}
	if n := s.Stats(); n.Registered != 1 || n.Registrations != (Registrations{}) {
		t.Errorf("the figures are %+v", n)
	}
	if strings.Contains(s.log.String(), "secret-of-ann") {
		t.Error("the password is in the log")
	}
}

// A call whose account is refused ends with the code of the registrar, without an INVITE and without a second try.
func TestRegistrationRefused(t *testing.T) {
	s := newServer(t, nil)
	registrar := s.phone()
	s.start(Request{CallID: "1", Callee: "bob", Audio: true, Account: s.account(registrar)})
	for range 2 {
		registrar.Reply(registrar.Await("REGISTER"), phone.Reply{Code: 401, Headers: []string{"WWW-Authenticate: " + ann.Challenge()}})
	}
	i := s.wait("the end", func(i Info) bool { return i.Status.Final() })
	if i.Status != dialog.Failed || i.Reason != dialog.ReasonAuthFailed || i.Code != 401 {
		t.Errorf("the call is %+v", i)
	}
	if n := registrar.Count("REGISTER"); n != 2 || registrar.Count("INVITE") != 0 {
		t.Errorf("%d REGISTER came", n)
	}
	if s.Stats().RegisterFailed != 1 {
		t.Error("the failure is not counted")
	}
}

// The account of the server is registered as long as the server runs, and a call to it becomes a stream.
func TestServerAccount(t *testing.T) {
	registrar := phone.New(t, phone.Config{})
	s := newServer(t, func(c *Config) {
		c.Account = Server{Login: "ann", Domain: "example.com", Password: "secret-of-ann"}
		c.OutboundProxy, c.IncomingStream = registrar.Addr().String(), "sip-{user}-{caller}"
	})
	r := register(t, registrar)
	contact := strings.Trim(strings.Split(r.Header("Contact"), ";")[0], "<>")
	d := registrar.Calling("sip:ann@example.com", registrar.PeerOf(contact))
	d.Target = contact
	audio := phone.NewStream(t)
	answer := d.Request("INVITE", "", phone.Offer(audio, nil))
	if answer.Code != 200 {
		t.Fatalf("the call is answered by %d", answer.Code)
	}
	d.Confirm(answer, "")
	i := s.wait("established", func(i Info) bool { return i.Status == dialog.Established })
	if !i.Incoming || i.StreamName != "sip-ann-phone" || i.Caller != "phone@127.0.0.1" || i.Callee != "ann" || i.Video || !i.Audio {
		t.Errorf("the call is %+v", i)
	}
	if _, found := s.hub.Source("sip-ann-phone"); !found {
		t.Error("there is no stream")
	}
	d.HangUp()
	s.wait("the end", func(i Info) bool { return i.Status.Final() })
	if r := s.Stats().Registrations; r != (Registrations{Wanted: 1, Up: 1}) {
		t.Errorf("after the call there are %+v", r)
	}
	d = registrar.Calling("sip:ann@example.com", registrar.PeerOf(contact))
	d.Target = contact
	d.Confirm(d.Request("INVITE", "", phone.Offer(audio, nil)), "")
	testkit.Eventually(t, 5*time.Second, func() string {
		if s.Stats().Calls[dialog.Established] != 1 {
			return "the second call is not established"
		}
		return ""
	})
	stopped := make(chan struct{})
	go func() { defer close(stopped); s.stop() }()
	registrar.Reply(d.Await("BYE"), phone.Reply{Code: 200})
	gone := registrar.Await("REGISTER")
	if gone.Header("Expires") != "0" {
		t.Errorf("at the end came\n%s", gone.Raw)
	}
	registrar.Reply(gone, phone.Reply{Code: 200})
	select {
	case <-stopped:
	case <-time.After(5 * time.Second):
		t.Error("the server does not stop")
	}
}

// A registrar that cannot be found is looked for again, and the call that needs it fails.
func TestRegistrarNotFound(t *testing.T) {
	s := newServer(t, nil)
	a := Account{Login: "ann", Domain: "registrar.invalid", Register: true}
	s.start(Request{CallID: "1", Callee: "bob", Audio: true, Account: a})
	testkit.Eventually(t, 10*time.Second, func() string {
		if i := s.one(); i.Status != dialog.Failed || i.Reason != dialog.ReasonTransport {
			return i.Detail + string(i.Status)
		}
		return ""
	})
}

// The password of the server's account is used in the domain of the account only.
func TestServerAccountElsewhere(t *testing.T) {
	s := newServer(t, func(c *Config) { c.Account = Server{Login: "ann", Domain: "127.0.0.2", Password: "secret-of-ann"} })
	p := s.phone()
	s.start(Request{CallID: "c", Callee: p.URI("bob"), Audio: true})
	p.Reply(p.Await("INVITE"), phone.Reply{Code: 401, Headers: []string{"WWW-Authenticate: " + ann.Challenge()}})
	if i := s.wait("the end", func(i Info) bool { return i.Status.Final() }); i.Reason != dialog.ReasonAuthFailed {
		t.Errorf("the call is %+v", i)
	}
	if p.Count("INVITE") != 1 {
		t.Error("the password was used")
	}
}
