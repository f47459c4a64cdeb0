package sip

import "testing"

// The scheme of a callee does not lead around a pattern such as sip:49*.
func TestDialName(t *testing.T) {
	for callee, want := range map[string]string{
		"4930": "sip:4930", "sip:4930": "sip:4930", "SIPS:4930@example.org": "sip:4930@example.org", "": "sip:",
		"sip:sip:4930": "sip:sip:4930",
	} {
		if got := DialName(callee); got != want {
			t.Errorf("DialName(%q) = %q, want %q", callee, got, want)
		}
	}
}

func TestObject(t *testing.T) {
	for _, c := range []struct {
		info Info
		want string
	}{
		{Info{StreamName: "cam", Callee: "4930"}, "cam"},
		{Info{Callee: "sip:4930@example.org", Caller: "me"}, "sip:4930@example.org"},
		{Info{Incoming: true, Callee: "me", Caller: "4930"}, "sip:4930"},
	} {
		if got := c.info.Object(); got != c.want {
			t.Errorf("Object of %+v = %q, want %q", c.info, got, c.want)
		}
	}
}
