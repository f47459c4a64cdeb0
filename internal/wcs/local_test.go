package wcs

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
)

func localConfig() Config {
	cfg := testConfig()
	cfg.LocalCalls = true
	return cfg
}

// localPage connects a browser whose account is at this server.
func localPage(t *testing.T, url, login string) *browser {
	t.Helper()
	b := dial(t, url)
	b.hello(`,"sipLogin":"` + login + `","sipPassword":"any"`)
	b.want("registered")
	return b
}

// Two pages call each other without a SIP server.
func TestLocalCall(t *testing.T) {
	w := newWorld(t, localConfig())
	media := w.withMedia()
	url := w.serve(t)
	ann, bob := localPage(t, url, "3000"), localPage(t, url, "3001")
	ann.raw(callFrame("c", "3001", ""))
	ann.wantCall("notifyTryingResponse", "c", "TRYING")
	ann.wantCall("ring", "c", "RING")
	if name, _ := bob.next(); name != "setRemoteSDP" {
		t.Fatalf("the callee was told %s first, want setRemoteSDP", name)
	}
	d := bob.want("notifyIncomingCall")
	in, _ := d["callId"].(string)
	if in == "" || in == "c" || d["caller"] != "3000" || d["callee"] != "3001" || d["visibleName"] != "Ann" || d["hasVideo"] != true {
		t.Errorf("notifyIncomingCall = %v", d)
	}
	bob.wantCall("ring", in, "RING")
	bobs := <-media.made
	bob.raw(answerFrame(in, "v=0", ""))
	ann.wantSDP("c", "answer to")
	ann.wantCall("talk", "c", "ESTABLISHED")
	bob.wantCall("talk", in, "ESTABLISHED")
	anns := <-media.made
	if anns.playing() != bobs.src || bobs.playing() != anns.src {
		t.Error("the pages do not hear each other")
	}
	if all := w.srv.Connections(); all[0].Calls != 1 || all[1].Calls != 1 {
		t.Errorf("connections = %+v", all)
	}
	ann.raw(about("hold", "c", ""))
	ann.wantCall("hold", "c", "HOLD")
	bob.wantCall("hold", in, "HOLD")
	if anns.playing() != nil || bobs.playing() != nil {
		t.Error("the pages hear each other while one holds")
	}
	ann.raw(about("unhold", "c", ""))
	ann.wantCall("talk", "c", "ESTABLISHED")
	bob.wantCall("talk", in, "ESTABLISHED")
	bob.raw(about("sendDtmf", in, `,"dtmf":7`))
	if d := ann.want("notifyDtmf"); d["dtmf"] != "7" || d["callId"] != "c" {
		t.Errorf("notifyDtmf = %v", d)
	}
	_ = bob.conn.Close(websocket.StatusNormalClosure, "")
	ann.wantCall("finish", "c", "FINISH")
	ann.raw(callFrame("c2", "3001", ""))
	ann.wantCall("notifyTryingResponse", "c2", "TRYING")
	ann.wantCall("finish", "c2", "FAILED")
}

// The official suite waits for this: a call that nobody answers is FINISH after the ring time.
func TestLocalCallUnanswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, localConfig())
		w.withMedia()
		dial, done := w.inBubble(t)
		defer done()
		ann, bob := dial(), dial()
		for login, b := range map[string]*browser{"3000": ann, "3001": bob} {
			b.hello(`,"sipLogin":"` + login + `"`)
			b.want("registered")
		}
		ann.raw(callFrame("c", "3001", ""))
		ann.wantCall("notifyTryingResponse", "c", "TRYING")
		ann.wantCall("ring", "c", "RING")
		bob.until("ring")
		start := time.Now()
		ann.patience = time.Minute
		ann.wantCall("finish", "c", "FINISH")
		if waited := time.Since(start); waited != 40*time.Second {
			t.Errorf("it rang for %v, want 40s", waited)
		}
		bob.until("finish")
	})
}

// The settings of local calls count for accounts of this server only.
func TestWhichExchange(t *testing.T) {
	tests := []struct {
		name, domain, host string
		known              string
		here               bool
	}{
		{"no domain", "", "192.0.2.1:8080", "", true},
		{"the host of the address", "192.0.2.1", "192.0.2.1:8080", "", true},
		{"a name", "WCS.example", "wcs.example", "", true},
		{"with a port", "wcs.example:5060", "wcs.example:8443", "", true},
		{"IPv6", "2001:db8::1", "[2001:db8::1]:8080", "", true},
		{"a name that the server knows", "wcs.example", "localhost:8080", "wcs.example", true},
		{"another server", "sip.example", "wcs.example:8080", "wcs.example", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := &Server{parts: Parts{IsHere: func(host string) bool { return host == tt.known }}}
			if got := s.isHere(tt.domain, tt.host); got != tt.here {
				t.Errorf("isHere = %v, want %v", got, tt.here)
			}
		})
	}
}

func TestLocalCallsBesideSIP(t *testing.T) {
	w := newWorld(t, localConfig())
	line := w.withSIP(t)
	url := w.serve(t)
	localPage(t, url, "3000")
	b, p := phoneIn(t, url, line)
	if p.account.Domain != "sip.example" {
		t.Errorf("account = %v", p.account)
	}
	b.talk(p, "c")

	off := newWorld(t, localConfig())
	b = dial(t, off.serve(t))
	b.hello(sipAccount)
	if d := b.want("fail"); d["apiMethod"] != "connection" || d["info"] != noSIP {
		t.Errorf("fail = %v", d)
	}
}
