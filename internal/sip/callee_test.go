package sip

import (
	"strings"
	"testing"
)

func TestParseCallee(t *testing.T) {
	tests := []struct {
		callee, domain, want string // want is the URI; "": the callee is refused
	}{
		{"bob", "example.com", "sip:bob@example.com"},
		{"+49 30", "example.com", ""},
		{"+4930", "example.com", "sip:+4930@example.com"},
		{"bob", "", ""},
		{"bob@pbx", "example.com", "sip:bob@pbx"},
		{"bob@192.0.2.1:5070", "", "sip:bob@192.0.2.1:5070"},
		{"sip:bob@192.0.2.1:5070;transport=TCP", "", "sip:bob@192.0.2.1:5070;transport=tcp"},
		{"SIPS:bob@example.com", "", "sips:bob@example.com"},
		{"sip:192.0.2.1", "", "sip:192.0.2.1"},
		{"sip:bob@[2001:db8::1]:5070", "", "sip:bob@[2001:db8::1]:5070"},
		{"sip:bob@[2001:db8::1]", "", "sip:bob@[2001:db8::1]"},
		{"sip:+4930@example.com;user=phone", "", "sip:+4930@example.com;user=phone"},
		{"sip:b%20b@example.com", "", "sip:b%20b@example.com"},
		{"", "example.com", ""},
		{"@example.com", "", ""},
		{"bob@", "", ""},
		{"sip:bob@example.com?Replaces=x", "", ""},
		{"sip:bob@example.com;maddr=192.0.2.1", "", ""},
		{"sip:bob@example.com;method=REGISTER", "", ""},
		{"sip:bob@example.com;transport=ws", "", ""},
		{"sip:bob:secret@example.com", "", ""},
		{"sip:bob@example.com:0", "", ""},
		{"sip:bob@example.com:70000", "", ""},
		{"sip:bob@exa mple.com", "", ""},
		{"sip:bob@fe80::1%eth0", "", ""},
		{"bob>;tag=1", "example.com", ""},
		{"bob\r\nVia: x", "example.com", ""},
		{"b%2", "example.com", ""},
		{"b%zz", "example.com", ""},
		{"b%0d%0aX", "example.com", ""},
		{"b%00", "example.com", ""},
		{"b%c2%85", "example.com", ""},
		{"bob@example.com;transport=udp;transport=tcp", "", ""},
		{"tel:+4930", "example.com", ""},
		{"bób", "example.com", ""},
		{strings.Repeat("b", 256), "example.com", ""},
	}
	for _, tt := range tests {
		a, problem := parseCallee(tt.callee, tt.domain)
		if got := a.uri(); problem == "" && got != tt.want || (problem == "") != (tt.want != "") {
			t.Errorf("%q at %q: %s, %q, want %q", tt.callee, tt.domain, got, problem, tt.want)
		}
	}
}

// A callee that is accepted makes a URI of printable characters that is read as the same callee.
func FuzzParseCallee(f *testing.F) {
	for _, seed := range []string{"bob", "sip:bob@192.0.2.1:5070;transport=tcp", "sips:[2001:db8::1]:1", "a%20@b;user=phone", "sip:a@b?c"} {
		f.Add(seed, "example.com")
	}
	f.Fuzz(func(t *testing.T, callee, domain string) {
		var d address
		if problem := d.setHost(domain); problem != "" || len(domain) > 64 { // what was read is read again, so that it must stay short
			return
		}
		a, problem := parseCallee(callee, domain)
		if problem != "" {
			return
		}
		uri := a.uri()
		if strings.ContainsFunc(uri, func(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune("<>\"?", r) }) {
			t.Errorf("%q becomes %q", callee, uri)
		}
		if again, problem := parseCallee(uri, ""); problem != "" || again != a {
			t.Errorf("%q becomes %q, which is read as %+v, %q; want %+v", callee, uri, again, problem, a)
		}
	})
}

func TestPartyOf(t *testing.T) {
	tests := []struct {
		value, domain string
		name, shown   string
	}{
		{`"Ann \"A\" B" <sip:ann@example.com>;tag=1`, "example.com", `Ann "A" B`, "ann"},
		{`Ann <sip:ann@example.org:5070;transport=tcp>`, "example.com", "Ann", "ann@example.org"},
		{`sip:ann@example.org;tag=1`, "example.org", "", "ann"},
		{`<sip:192.0.2.1>`, "", "", "192.0.2.1"},
		{`<sip:ann:secret@[2001:db8::1]:5060>`, "x", "", "ann@2001:db8::1"},
		{"\"a\x00b\xff\" <sip:c\x01d@e>", "", "ab", "cd"},
		{"", "", "", ""},
	}
	for _, tt := range tests {
		p := partyOf(tt.value)
		if p.name != tt.name || p.beside(tt.domain) != tt.shown {
			t.Errorf("%q is %q, %q, want %q, %q", tt.value, p.name, p.beside(tt.domain), tt.name, tt.shown)
		}
	}
}

func FuzzPartyOf(f *testing.F) {
	f.Add(`"Ann" <sip:ann@example.com>;tag=1`)
	f.Fuzz(func(t *testing.T, value string) {
		p := partyOf(value)
		for _, text := range []string{p.user, p.host, p.name} {
			if len(text) > 400 || strings.ToValidUTF8(text, "") != text || strings.ContainsAny(text, "\r\n\x00") {
				t.Errorf("%q shows %q", value, text)
			}
		}
	})
}
