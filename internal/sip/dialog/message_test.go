package dialog

import (
	"slices"
	"strings"
	"testing"
)

func TestParseAddress(t *testing.T) {
	tests := []struct{ value, uri, tag string }{
		{`<sip:a@b>;tag=1`, "sip:a@b", "1"},
		{`sip:a@b;tag=1`, "sip:a@b", "1"},
		{`"A <b>; \"c\"" <sip:a@b;lr;x=1>;q=1;TAG=2`, "sip:a@b;lr;x=1", "2"},
		{`Bob <sip:a@b?x=,>`, "sip:a@b?x=,", ""},
		{`<sip:a@b`, "sip:a@b", ""},
		{`"never closed`, `"never closed`, ""},
		{``, "", ""},
		{`;tag=`, "", ""},
	}
	for _, test := range tests {
		got := ParseAddress(test.value)
		if got.URI != test.uri || got.Param("tag") != test.tag {
			t.Errorf("%s: %q, tag %q, want %q, tag %q", test.value, got.URI, got.Param("tag"), test.uri, test.tag)
		}
	}
}

func FuzzAddress(f *testing.F) {
	for _, value := range []string{`"A, b" <sip:a@b;lr>;tag=1, <sip:c>`, `<sip:a;b=<`, `\`, `"\`} {
		f.Add(value)
	}
	f.Fuzz(func(t *testing.T, value string) {
		h := Header{{"Record-Route", value}, {"Contact", value}, {"CSeq", value}}
		for _, entry := range h.List("Record-Route") {
			if uri := ParseAddress(entry).URI; !strings.Contains(value, uri) {
				t.Errorf("%q is not in %q", uri, value)
			}
		}
		h.cseq()
		isLoose(value)
		isStale(value)
		replaceHost(value, "192.0.2.1:5060")
		parseDigit(value)
		fragmentCode([]byte(value))
	})
}

func TestRoutes(t *testing.T) {
	response := &Response{Header: Header{
		{"Record-Route", "<sip:p3;lr>, <sip:p2;lr>"}, {"Record-Route", "<sip:p1;lr>"},
		{"Contact", `"B" <sip:bob@phone>;expires=3`}, {"To", "<sip:b>;tag=a"},
	}}
	d := (&dialog{target: "sip:b"}).dialogFrom(response)
	ack := d.request("ACK", 1, "call")
	if got, want := ack.Header.Fields("Route"), []string{"<sip:p1;lr>", "<sip:p2;lr>", "<sip:p3;lr>"}; !slices.Equal(got, want) {
		t.Errorf("Route = %q, want %q", got, want)
	}
	if ack.URI != "sip:bob@phone" {
		t.Errorf("URI = %q, want the Contact", ack.URI)
	}

	d.routes = []string{"<sip:strict>", "<sip:p2;lr>"}
	bye := d.request("BYE", 2, "call")
	if got, want := bye.Header.Fields("Route"), []string{"<sip:p2;lr>", "<sip:bob@phone>"}; bye.URI != "sip:strict" || !slices.Equal(got, want) {
		t.Errorf("strict route: URI %q, Route %q, want sip:strict, %q", bye.URI, got, want)
	}
}

func TestJudge(t *testing.T) {
	tests := []struct {
		code   int
		status Status
		reason Reason
	}{
		{302, Failed, ReasonPolicy},
		{401, Failed, ReasonAuthFailed},
		{403, Failed, ReasonRejected},
		{404, Failed, ReasonNotFound},
		{407, Failed, ReasonAuthFailed},
		{408, Finish, ReasonNoAnswer},
		{480, Finish, ReasonNoAnswer},
		{486, Busy, ReasonBusy},
		{487, Failed, ReasonRejected},
		{488, Failed, ReasonNoCodec},
		{500, Failed, ReasonRejected},
		{503, Failed, ReasonTransport},
		{600, Busy, ReasonBusy},
		{603, Busy, ReasonRejected},
		{604, Failed, ReasonNotFound},
		{606, Failed, ReasonNoCodec},
	}
	for _, test := range tests {
		status, reason, _ := judge(&Response{Code: test.code})
		if status != test.status || reason != test.reason {
			t.Errorf("%d: %s, %s, want %s, %s", test.code, status, reason, test.status, test.reason)
		}
	}

	_, _, info := judge(&Response{Code: 488, Phrase: "No", Header: Header{{"Warning", `304 p "Media type not available"`}}})
	if !strings.Contains(info, "Media type not available") {
		t.Errorf("info of 488 = %q, want the warning in it", info)
	}
	_, _, info = judge(&Response{Code: 503, Phrase: "No", Header: Header{{"Retry-After", "120 (maintenance)"}}})
	if !strings.Contains(info, "120 s") {
		t.Errorf("info of 503 = %q, want the pause in it", info)
	}
}
