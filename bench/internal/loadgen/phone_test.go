package loadgen

import (
	"net"
	"strings"
	"testing"
)

const invite = "INVITE sip:bench000@127.0.0.1:5070 SIP/2.0\r\n" +
	"Via: SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bK1;rport\r\n" +
	"From: \"bench\" <sip:bench@bench.invalid>;tag=a1\r\n" +
	"To: <sip:bench000@127.0.0.1:5070>\r\n" +
	"Call-ID: bench000\r\n" +
	"CSeq: 7 INVITE\r\n" +
	"Contact: <sip:t@127.0.0.1:5060;transport=udp>\r\n" +
	"Content-Length: 9\r\n\r\n" +
	"v=0\r\ns=-\r\n"

// TestPhoneMessages: a response repeats what RFC 3261, 8.2.6.2 says, and adds a tag once.
func TestPhoneMessages(t *testing.T) {
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	f := &phone{signal: c, tag: "x1"}
	m := parseSIP(invite)
	if m.method != "INVITE" || m.body != "v=0\r\ns=-\r\n" || m.first("call-id") != "bench000" || m.first("none") != "" {
		t.Errorf("read %+v", m)
	}
	got := f.response(m, "body")
	for _, want := range []string{
		"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bK1;rport\r\n", "From: \"bench\" <sip:bench@bench.invalid>;tag=a1\r\n",
		"To: <sip:bench000@127.0.0.1:5070>;tag=x1\r\n", "Call-ID: bench000\r\n", "CSeq: 7 INVITE\r\n", "Content-Length: 4\r\n\r\nbody",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in %q", want, got)
		}
	}
	if again := f.tagged("<sip:a@b>;tag=x1"); again != "<sip:a@b>;tag=x1" {
		t.Errorf("tagged twice: %q", again)
	}
	if m := parseSIP("SIP/2.0 200 OK\r\nCSeq: 1 BYE\r\n\r\n"); m.method != "" {
		t.Errorf("a response has the method %q", m.method)
	}
}
