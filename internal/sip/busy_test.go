package sip

import (
	"log/slog"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"transponder/internal/sip/dialog"
	"transponder/internal/sip/line"
)

// inside returns a request of the phone within an answered call.
func inside(invite *dialog.Request, method string) *dialog.Request {
	h := dialog.Header{
		{Name: "From", Value: invite.Header.Get("To") + ";tag=phone"}, {Name: "To", Value: invite.Header.Get("From")},
		{Name: "Call-ID", Value: invite.Header.Get("Call-ID")}, {Name: "CSeq", Value: "7 " + method},
	}
	return &dialog.Request{Method: method, URI: "sip:us@192.0.2.9", Header: h}
}

// A call that has too much to do refuses requests. If it said nothing, the line would say 100, and the phone would wait for ever.
func TestBusyCall(t *testing.T) {
	inLab(t, nil, func(l lab) {
		l.answered("c")
		k, err := l.find("c")
		if err != nil {
			t.Fatal(err)
		}
		busy := make(chan struct{})
		k.post(func(time.Time) { <-busy })
		synctest.Wait()
		for k.post(func(time.Time) {}) {
		}
		l.incoming(inside(l.line.last("INVITE"), "ACK"), line.Origin{Transport: "udp", Source: peer})
		if n := len(l.line.replies); n != 0 {
			t.Errorf("an ACK has %d answers", n)
		}
		l.incoming(inside(l.line.last("INVITE"), "INVITE"), line.Origin{Transport: "udp", Source: peer})
		if n := len(l.line.replies); n != 1 || l.line.replies[0].Code != 500 || l.line.replies[0].Header.Get("Retry-After") == "" {
			t.Errorf("the answers are %+v", l.line.replies)
		}
		close(busy)
		synctest.Wait()
		l.incoming(inside(l.line.last("INVITE"), "OPTIONS"), line.Origin{Transport: "udp", Source: peer})
		synctest.Wait()
		if n := len(l.line.replies); n != 2 || l.line.replies[1].Code != 200 {
			t.Errorf("later, the answers are %+v", l.line.replies)
		}
	})
}

// More INVITEs than can wait are refused. A stranger gets no byte then, either.
func TestTooManyInvites(t *testing.T) {
	for _, tt := range []struct {
		source  string
		answers int
	}{{"192.0.2.7:5060", 2}, {"198.51.100.1:5060", 0}} {
		cfg := DefaultConfig()
		cfg.IncomingAllow = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
		c, err := New(cfg, Parts{}, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		replies := &fakeLine{}
		c.line = replies
		for range maxArrivals + 2 {
			r := &dialog.Request{Method: "INVITE", URI: "sip:a@b", Header: dialog.Header{
				{Name: "From", Value: "<sip:a@b>;tag=1"}, {Name: "To", Value: "<sip:c@d>"}, {Name: "Call-ID", Value: "x"}, {Name: "CSeq", Value: "1 INVITE"},
			}}
			c.incoming(r, line.Origin{Transport: "udp", Source: netip.MustParseAddrPort(tt.source)})
		}
		if n := len(replies.replies); n != tt.answers {
			t.Errorf("%s got %d answers, want %d", tt.source, n, tt.answers)
		}
	}
}

// What a phone says of itself does not lead out of the name of the stream.
func TestNameOfIncomingStream(t *testing.T) {
	for user, want := range map[string]string{
		"yard": "yard", "+49-30": "+49-30", "tür.1": "tür.1", "": "", "../../etc": ".._.._etc", "a?key=b&c": "a_key_b_c", "%2e%2f": "_2e_2f",
		`"><script>`: "___script_", "a;x/b:c": "a_x_b_c", "{user}": "_user_",
	} {
		if got := inName(user); got != want {
			t.Errorf("%q becomes %q, want %q", user, got, want)
		}
	}
}

// Each incoming call gets a name of its own. A misspelt part would give all calls the same name.
func TestPatternOfIncomingStreams(t *testing.T) {
	for pattern, want := range map[string]bool{
		"": true, "{user}": true, "a-{user}-{caller}": true, "door": false, "{usr}": false, "{user}-{callee}": false, "{user": false, "{{user}": false,
	} {
		cfg := DefaultConfig()
		cfg.IncomingStream = pattern
		if err := cfg.Validate(); (err == nil) != want {
			t.Errorf("%q: %v", pattern, err)
		}
	}
}
