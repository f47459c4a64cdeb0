package wcs

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"transponder/internal/sip"
	"transponder/internal/sip/dialog"
)

func TestRegistration(t *testing.T) {
	w := newWorld(t, testConfig())
	line := w.withSIP(t)
	b := dial(t, w.serve(t))
	b.raw(`{"message":"connection","data":[{"mediaProviders":["WebRTC"],"keepAlive":true,"sipLogin":"3000","sipAuthenticationName":"auth",` +
		`"sipPassword":"s3cret","sipDomain":"sip.example","sipOutboundProxy":"proxy.example","sipPort":"5062","custom":{"a":1}}]}`)
	d := b.want("getUserData")
	if d["sipLogin"] != "3000" || d["sipDomain"] != "sip.example" || d["sipPort"] != "5062" {
		t.Errorf("getUserData = %v, want the account", d)
	}
	if _, told := d["sipPassword"]; told || strings.Contains(fmt.Sprint(d), "s3cret") {
		t.Errorf("getUserData = %v, which has the password", d)
	}
	p := <-line.opened
	want := sip.Account{Login: "3000", AuthName: "auth", Password: "s3cret", Domain: "sip.example", OutboundProxy: "proxy.example", Port: 5062, Register: true}
	if p.account != want {
		t.Errorf("account = %+v", p.account)
	}
	all := w.srv.Connections()
	if len(all) != 1 || all[0].SIPLogin != "3000" || p.who.SessionID != all[0].SessionID || p.who.AppKey != "defaultApp" {
		t.Errorf("connections = %+v, caller %+v", all, p.who)
	}
	if raw, err := json.Marshal(all); err != nil || strings.Contains(string(raw), "s3cret") {
		t.Errorf("connections = %s, %v", raw, err)
	}
	p.events.Registered()
	b.want("registered")
	p.events.RegisterFailed("403 Forbidden")
	if d := b.want("fail"); d["apiMethod"] != "register" || d["status"] != "FAILED" || d["info"] != "403 Forbidden" {
		t.Errorf("fail = %v", d)
	}
	_ = b.conn.Close(1000, "")
	p.want(t, "close")
}

func TestAccount(t *testing.T) {
	long := strings.Repeat("x", 256)
	tests := []struct {
		name, members string
		want          string // the account, or the error
	}{
		{"everything left out", ``, `{"3000" "" "" 0 true}`},
		{"not registered", `,"sipRegisterRequired":false`, `{"3000" "" "" 0 false}`},
		{"not registered, in words", `,"sipRegisterRequired":"false"`, `{"3000" "" "" 0 false}`},
		{"registered", `,"sipRegisterRequired":null`, `{"3000" "" "" 0 true}`},
		{"proxy by its other name", `,"sipProxy":"p:5070;transport=tcp","sipDomain":"d"`, `{"3000" "d" "p:5070;transport=tcp" 0 true}`},
		{"both names", `,"sipProxy":"p","sipOutboundProxy":"o"`, `{"3000" "" "o" 0 true}`},
		{"port", `,"sipPort":5070`, `{"3000" "" "" 5070 true}`},
		{"no port", `,"sipPort":""`, `{"3000" "" "" 0 true}`},
		{"bad port", `,"sipPort":"65536"`, `sipPort is no port number`},
		{"half a port", `,"sipPort":5060.5`, `sipPort is no port number`},
		{"long domain", `,"sipDomain":"` + long + `"`, `sipDomain is longer than 255 bytes`},
		{"two lines", `,"sipPassword":"a\r\nb"`, `sipPassword contains control characters`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			acc, err := takeAccount(json.RawMessage(`{"sipLogin":"3000"`+tt.members+`}`), nil)
			got := fmt.Sprintf("{%q %q %q %d %v}", acc.Login, acc.Domain, acc.OutboundProxy, acc.Port, acc.Register)
			if err != nil {
				got = strings.ReplaceAll(err.Error(), ": ", " ")
			}
			if got != tt.want {
				t.Errorf("account = %s, want %s", got, tt.want)
			}
		})
	}
}

// An account that cannot be used leaves a session that publishes and plays, and whose calls fail.
func TestRefusedAccount(t *testing.T) {
	tests := []struct {
		name, members string
		refuse        error
		method, info  string
	}{
		{"SIP is off", "", sip.ErrOff, "connection", noSIP},
		{"forbidden", "", sip.ErrPolicy, "register", sip.ErrPolicy.Error()},
		{"bad port", `,"sipPort":"-1"`, nil, "register", (&sip.RequestError{Field: "sipPort", Reason: "is no port number"}).Error()},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, testConfig())
			line := w.withSIP(t)
			line.refuse = tt.refuse
			b := dial(t, w.serve(t))
			b.hello(`,"sipLogin":"3000"` + tt.members)
			if d := b.want("fail"); d["apiMethod"] != tt.method || d["info"] != tt.info {
				t.Errorf("fail = %v, want %s %q", d, tt.method, tt.info)
			}
			b.raw(callFrame("c", "3001", ""))
			b.wantCall("finish", "c", "FAILED")
			b.publishLive(w, "id1", "one")
		})
	}
}

// A page of the click-to-call application has no say in the account and the callee.
func TestClickToCall(t *testing.T) {
	cfg := testConfig()
	cfg.ClickToCall = ClickToCall{Account: sip.Account{Login: "shop", Password: "hidden", Domain: "sip.example"}, Callee: "100"}
	w := newWorld(t, cfg)
	line := w.withSIP(t)
	url := w.serve(t)
	for _, members := range []string{
		`"appKey":"clickToCallApp"`, `"appKey":"clickToCallApp"` + sipAccount, `"appKey":"clickToCallApp","sipPort":"bad","sipLogin":"x"`, `"appKey":"defaultApp"`,
	} {
		b := dial(t, url)
		b.raw(`{"message":"connection","data":[{"mediaProviders":["WebRTC"],` + members + `}]}`)
		if d := b.want("getUserData"); strings.Contains(fmt.Sprint(d), "hidden") || strings.Contains(fmt.Sprint(d), "shop") {
			t.Errorf("getUserData = %v", d)
		}
		p := <-line.opened
		if p.account != cfg.ClickToCall.Account {
			t.Errorf("account = %v", p.account)
		}
		b.raw(callFrame("c", "0900123", ""))
		b.wantCall("notifyTryingResponse", "c", "TRYING")
		p.want(t, "call c 100")
		p.events.MediaReady("c", nil, true)
		b.wantSDP("c", "answer to")
		p.want(t, "connect c")
		p.events.Status("c", dialog.Established, "")
		b.wantCall("talk", "c", "ESTABLISHED")
		b.raw(about("transfer", "c", `,"target":"0900123"`))
		if d := b.want("fail"); d["info"] != sip.ErrPolicy.Error() {
			t.Errorf("fail = %v", d)
		}
		b.wantCall("talk", "c", "ESTABLISHED")
		b.raw(about("hangup", "c", ""))
		b.wantCall("finish", "c", "FINISH")
	}
	b, p := phoneIn(t, url, line) // another application
	b.raw(callFrame("c", "3001", ""))
	b.wantCall("notifyTryingResponse", "c", "TRYING")
	p.want(t, "call c 3001")
}

// FuzzAccount checks that no account that is accepted has more than single lines, and that the password is not echoed.
func FuzzAccount(f *testing.F) {
	f.Add([]byte(`{"sipLogin":"3000","sipPassword":"secret","sipPort":"5060","sipRegisterRequired":false}`))
	f.Add([]byte(`{"sipLogin":3000,"sipDomain":"a\r\nb","sipPort":-1,"sipproxy":"x"}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var echo map[string]json.RawMessage
		if json.Unmarshal(raw, &echo) != nil || echo == nil {
			return
		}
		acc, err := takeAccount(raw, echo)
		for name := range echo {
			if strings.EqualFold(name, "sipPassword") {
				t.Errorf("%s is echoed", name)
			}
		}
		if err != nil {
			return
		}
		for _, w := range []string{acc.Login, acc.AuthName, acc.Password, acc.Domain, acc.OutboundProxy} {
			if strings.ContainsAny(w, "\r\n\x00") || len(w) > maxWord {
				t.Errorf("%q was accepted", w)
			}
		}
		if acc.Port < 0 || acc.Port > 65535 {
			t.Errorf("port %d was accepted", acc.Port)
		}
	})
}
