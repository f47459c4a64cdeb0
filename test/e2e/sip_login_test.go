//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"transponder/internal/testkit"
	"transponder/internal/testkit/phone"
)

// Logins and registrations, at scripted phones and at a real registrar.
func TestSIPLogins(t *testing.T) {
	t.Parallel()
	s := startSIP(t, "sip_register_expires=600")
	k := startKamailio(t)
	registrar := "127.0.0.1:" + k.port
	together(t, map[string]func(*testing.T){
		"challenges":          func(t *testing.T) { judgeChallenges(t, s) },
		"challenge of BYE":    func(t *testing.T) { judgeByeChallenge(t, s) },
		"wrong password":      func(t *testing.T) { judgeWrongPassword(t, s) },
		"short registration":  func(t *testing.T) { judgeRegistration(t, s) },
		"refused to register": func(t *testing.T) { judgeRegistrationRefused(t, s) },
		"through kamailio": func(t *testing.T) {
			startBaresip(t, baresipConfig{domain: registrar, account: ";auth_pass=1234;regint=40"})
			k.awaitRegistered("bob", 1)
			c := s.dial(t, "bob", map[string]any{
				"sipLogin": "carol", "sipDomain": registrar, "sipPassword": "1234", "sipOutboundProxy": registrar, "sipRegisterRequired": true,
			})
			receiver := c.push()
			found := c.await("ESTABLISHED")
			if !found.HasVideo || !strings.EqualFold(found.VideoCodec, "h264") {
				t.Errorf("the call is %+v, want H.264", found)
			}
			receiver.Wait(t, "pictures", func() bool { return pictureCount(receiver) > 50 })
			judgeTone(t, receiver.Tags())
			k.awaitRegistered("carol", 1)
			c.do("/call/terminate", nil)
			c.await("FINISH")
			testkit.Eventually(t, 10*time.Second, func() string {
				if strings.Count(k.log.String(), "REGISTERED sip:carol@") < 2 {
					return "carol is still registered"
				}
				return ""
			})
		},
		"wrong password at kamailio": func(t *testing.T) {
			c := s.dial(t, "bob", map[string]any{
				"sipLogin": "dave", "sipDomain": registrar, "sipPassword": "4321", "sipOutboundProxy": registrar, "sipRegisterRequired": "true",
			})
			if end := c.await("FAILED"); end.Reason != "auth_failed" {
				t.Errorf("the call ended with %+v", end)
			}
		},
	})
}

func judgeChallenges(t *testing.T, s *server) {
	scenes := map[string]func(*testing.T){}
	for _, sha := range []bool{false, true} {
		for _, qop := range []bool{false, true} {
			for _, code := range []int{401, 407} {
				scenes[fmt.Sprint(code, sha, qop)] = func(t *testing.T) {
					p := phone.New(t, phone.Config{})
					c := s.dial(t, p.URI(someone()), nil)
					login := phone.Login{Realm: "r", Nonce: "old", User: "alice", Password: sipPassword, SHA256: sha, QOP: qop}
					first := p.Await("INVITE")
					p.Reply(first, challenge(code, login))
					second := p.Await("INVITE")
					if err := login.Check(second); err != nil {
						t.Error(err)
					}
					one, _ := first.CSeq()
					if two, _ := second.CSeq(); two != one+1 || second.Tag("From") != first.Tag("From") || second.Header("Call-ID") != first.Header("Call-ID") {
						t.Errorf("the second INVITE is\n%s\nafter\n%s", second.Raw, first.Raw)
					}
					login.Nonce, login.Stale = "new", true
					p.Reply(second, challenge(code, login))
					third := p.Await("INVITE")
					if err := login.Check(third); err != nil {
						t.Error(err)
					}
					a := phone.NewStream(t)
					call := p.Accept(third, phone.Plan{Audio: a})
					call.Await("ACK")
					c.await("ESTABLISHED")
				}
			}
		}
	}
	together(t, scenes)
}

func challenge(code int, login phone.Login) phone.Reply {
	name := "WWW-Authenticate: "
	if code == 407 {
		name = "Proxy-Authenticate: "
	}
	return phone.Reply{Code: code, Headers: []string{name + login.Challenge()}}
}

func judgeByeChallenge(t *testing.T, s *server) {
	k := talking(t, s, nil)
	login := phone.Login{Realm: "r", Nonce: "n", User: "alice", Password: sipPassword, QOP: true}
	k.do("/call/terminate", nil)
	k.phone.Reply(k.call.Await("BYE"), challenge(407, login))
	bye := k.call.Await("BYE")
	if err := login.Check(bye); err != nil {
		t.Error(err)
	}
	k.phone.Reply(bye, phone.Reply{Code: 200})
	k.scene.await("FINISH")
}

func judgeWrongPassword(t *testing.T, s *server) {
	p := phone.New(t, phone.Config{})
	c := s.dial(t, p.URI(someone()), nil)
	login := phone.Login{Realm: "r", Nonce: "n", User: "alice", Password: "another"}
	p.Reply(p.Await("INVITE"), challenge(401, login))
	second := p.Await("INVITE")
	if login.Check(second) == nil {
		t.Error("the password fits, which the test does not want")
	}
	p.Reply(second, challenge(401, login))
	p.Await("ACK")
	if end := c.await("FAILED"); end.Reason != "auth_failed" || end.SIPStatus != 401 {
		t.Errorf("the call ended with %+v", end)
	}
	if n := p.Count("INVITE"); n != 2 { // accounts are locked after several failures
		t.Errorf("%d INVITEs, want 2", n)
	}
}

// judgeRegistration has a registrar that first finds the expiry too short, then grants four seconds instead of what was asked for.
func judgeRegistration(t *testing.T, s *server) {
	p := phone.New(t, phone.Config{})
	c := s.dial(t, p.URI(someone()), map[string]any{"sipRegisterRequired": "true", "sipOutboundProxy": p.Addr().String()})
	first := p.Await("REGISTER")
	p.Reply(first, phone.Reply{Code: 423, Headers: []string{"Min-Expires: 900"}})
	second := p.Await("REGISTER")
	if first.Header("Expires") != "600" || second.Header("Expires") != "900" {
		t.Errorf("asked for %q and %q seconds, want 600 and 900", first.Header("Expires"), second.Header("Expires"))
	}
	if n := p.Count("INVITE"); n != 0 {
		t.Error("the INVITE came before the registration")
	}
	contact, _, _ := strings.Cut(second.Header("Contact"), ">")
	contact += ">"
	p.Reply(second, phone.Reply{Code: 200, Contact: contact + ";expires=4", Headers: []string{"Contact: <sip:other@192.0.2.9>;expires=1", "Expires: 600"}})
	granted := time.Now()
	invite := p.Await("INVITE")
	call := p.Accept(invite, phone.Plan{Audio: phone.NewStream(t)})
	call.Await("ACK")
	c.await("ESTABLISHED")
	third := p.Await("REGISTER")
	if after := time.Since(granted); after < time.Second || after > 4*time.Second {
		t.Errorf("refreshed after %v, want it within the 4 s that were granted", after)
	}
	two, _ := second.CSeq()
	if three, _ := third.CSeq(); three != two+1 || third.Header("Call-ID") != second.Header("Call-ID") {
		t.Errorf("the refresh is\n%s\nafter\n%s", third.Raw, second.Raw)
	}
	p.Reply(third, phone.Reply{Code: 200, Contact: contact + ";expires=600"})
	c.do("/call/terminate", nil)
	p.Reply(call.Await("BYE"), phone.Reply{Code: 200})
	last := p.Await("REGISTER")
	if last.Header("Expires") != "0" && !strings.Contains(last.Header("Contact"), "expires=0") {
		t.Errorf("the registration is not removed:\n%s", last.Raw)
	}
	p.Reply(last, phone.Reply{Code: 200})
}

func judgeRegistrationRefused(t *testing.T, s *server) {
	p := phone.New(t, phone.Config{})
	c := s.dial(t, p.URI(someone()), map[string]any{"sipRegisterRequired": "true", "sipOutboundProxy": p.Addr().String()})
	p.Reply(p.Await("REGISTER"), phone.Reply{Code: 403})
	c.await("FAILED")
	if n := p.Count("INVITE"); n != 0 {
		t.Errorf("%d INVITEs without a registration", n)
	}
	if code, _ := s.ask(t, "/stream/find", map[string]string{"name": c.id}); code != http.StatusNotFound {
		t.Errorf("the stream of the failed call is still there: %d", code)
	}
}
