//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"transponder/internal/testkit"
	"transponder/internal/testkit/phone"
)

// Session timers and registrations in their real time (RFC 4028). Only a run of full size has the minute and a half that this takes.
func TestSIPRefresh(t *testing.T) {
	t.Parallel()
	if !soak() {
		t.Skip("takes a minute and a half; the state machines have tests in virtual time")
	}
	s := startSIP(t, "sip_session_expires=90")
	k := startKamailio(t)
	registrar := "127.0.0.1:" + k.port
	together(t, map[string]func(*testing.T){
		"by re-INVITE, with a login": func(t *testing.T) {
			k := prepare(t, s, nil)
			plan := k.plan()
			plan.Headers = []string{"Supported: timer"} // and no Allow
			k.answer(plan)
			begun := time.Now()
			k.play(phone.Reports{Every: time.Second})
			refresh, err := k.phone.Find("INVITE", k.call.CallID, time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			if after := time.Since(begun); after < 40*time.Second || after > 50*time.Second {
				t.Errorf("the refresh came after %v, want 45 s", after)
			}
			login := phone.Login{Realm: "r", Nonce: "n", User: "alice", Password: sipPassword, QOP: true}
			k.phone.Reply(refresh, challenge(407, login))
			second := k.call.Await("INVITE")
			if err := login.Check(second); err != nil {
				t.Error(err)
			}
			k.phone.Reply(second, phone.Reply{Code: 200, SDP: k.describe(1, k.audio, k.video, "sendrecv"), Headers: []string{"Session-Expires: 90;refresher=uac"}})
			k.call.Await("ACK")
			k.awaitPictures(25)
			k.await("ESTABLISHED")
		},
		"by UPDATE": func(t *testing.T) {
			k := prepare(t, s, nil)
			plan := k.plan()
			plan.Headers = []string{"Allow: INVITE, ACK, BYE, CANCEL, UPDATE", "Supported: timer", "Session-Expires: 90;refresher=uac"}
			k.answer(plan)
			k.play(phone.Reports{Every: time.Second})
			update, err := k.phone.Find("UPDATE", k.call.CallID, time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			k.phone.Reply(update, phone.Reply{Code: 200, Headers: []string{"Session-Expires: 90;refresher=uac"}})
			k.awaitPictures(25)
			k.await("ESTABLISHED")
		},
		"the phone does not refresh": func(t *testing.T) {
			k := prepare(t, s, nil)
			plan := k.plan()
			plan.Headers = []string{"Require: timer", "Session-Expires: 90;refresher=uas"}
			k.answer(plan)
			k.play(phone.Reports{Every: time.Second})
			begun := time.Now()
			bye, err := k.phone.Find("BYE", k.call.CallID, 2*time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			if after := time.Since(begun); after < 58*time.Second || after > 91*time.Second {
				t.Errorf("the call ended after %v, want 60 s to 90 s", after)
			}
			k.phone.Reply(bye, phone.Reply{Code: 200})
			if end := k.await("FAILED"); end.Reason != "session_expired" {
				t.Errorf("the call ended with %+v", end)
			}
		},
		"registration at kamailio": func(t *testing.T) {
			startBaresip(t, baresipConfig{domain: registrar, account: ";auth_pass=1234;regint=40"})
			k.awaitRegistered("bob", 1)
			c := s.dial(t, "bob", map[string]any{
				"sipLogin": "erin", "sipDomain": registrar, "sipPassword": "1234", "sipOutboundProxy": registrar, "sipRegisterRequired": true,
			})
			c.await("ESTABLISHED")
			begun := time.Now()
			// It grants 60 s of the 600 s that were asked for.
			testkit.Eventually(t, 50*time.Second, func() string {
				if n := strings.Count(k.log.String(), "REGISTERED sip:erin@"); n < 2 {
					return fmt.Sprintf("erin has registered %d times, want a refresh", n)
				}
				return ""
			})
			if after := time.Since(begun); after < 20*time.Second || after > 45*time.Second {
				t.Errorf("the refresh came after %v, want about 30 s", after)
			}
			c.await("ESTABLISHED")
		},
	})
}
