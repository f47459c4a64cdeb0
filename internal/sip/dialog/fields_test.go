package dialog

import (
	"strings"
	"testing"
)

// The scripts of the other tests look at methods and codes. These look into the messages.
func TestFields(t *testing.T) {
	const ringing = `
		0s | > dial                                  | INVITE 1, TRYING
		0s | < 180 a                                 | RING
	`
	tests := []struct {
		name, script, message string // of our requests the method, "reply" for our last response
		want                  Header // an empty value: the field is missing
	}{
		{"INVITE", ringing, "INVITE", Header{
			{"Route", "<sip:proxy.example.org;lr>"}, {"From", `"Us" <sip:us@example.org>;tag=us`}, {"To", "<sip:bob@example.org>"},
			{"Call-ID", "call"}, {"CSeq", "1 INVITE"}, {"Contact", "<sip:us@192.0.2.1:5060>"}, {"User-Agent", "test"}, {"Allow", allow},
			{"Supported", "timer"}, {"Session-Expires", "1800"}, {"Min-SE", "90"}, {"Accept", "application/sdp"}, {"Content-Type", "application/sdp"},
		}},
		{"INVITE after 422", ringing + `
			1s | < 422 a [Min-SE: 3600]              | INVITE 2`, "INVITE",
			Header{{"Session-Expires", "3600"}, {"Min-SE", "3600"}, {"CSeq", "2 INVITE"}, {"To", "<sip:bob@example.org>"}}},
		{"INVITE after 421", ringing + `
			1s | < 421 a [Require: 100rel]           | INVITE 2`, "INVITE", Header{{"Supported", "timer, 100rel"}}},
		{"PRACK", ringing + `
			1s | < 183 a [Require: 100rel] [RSeq: 7] | PRACK 2, SESSION_PROGRESS`, "PRACK", Header{{"RAck", "7 1 INVITE"}}},
		{"CANCEL", ringing + `
			1s | > end cancelled                     | FINISH(cancelled), CANCEL 1`, "CANCEL", Header{
			{"Route", "<sip:proxy.example.org;lr>"}, {"To", "<sip:bob@example.org>"}, {"CSeq", "1 CANCEL"}, {"Contact", ""},
			{"Content-Type", ""}, {"Reason", `Q.850;cause=16;text="Cancelled"`},
		}},
		{"ACK", ringing + `
			1s | < 407 a                             | INVITE 2 Proxy-Authorization
			1s | < 200 a sdp=S [Record-Route: <sip:r2;lr>, <sip:r1;lr>] | ACK 2, answer S, ESTABLISHED`, "ACK", Header{
			{"Route", "<sip:r1;lr>"}, {"To", "<sip:bob@example.org>;tag=a"}, {"Contact", ""},
			{"Proxy-Authorization", "Digest answer=1, method=INVITE, uri=sip:bob@example.org"},
		}},
		{"BYE", talking + `
			1s | > end media_timeout                 | FAILED(media_timeout), BYE 2`, "BYE", Header{{"Reason", `SIP;cause=408;text="No media"`}}},
		{"refresh", `
			0s | > dial                              | INVITE 1, TRYING
			0s | < 200 a sdp=S [Session-Expires: 90] [Allow: UPDATE] | ACK 1, answer S, ESTABLISHED
			46s |                                    | 45s:UPDATE 2`, "UPDATE",
			Header{{"Session-Expires", "90;refresher=uac"}, {"Contact", "<sip:us@192.0.2.1:5060>"}, {"Content-Type", ""}}},
		{"hold while the peer refreshes", `
			0s | > dial                              | INVITE 1, TRYING
			0s | < 200 a sdp=S [Session-Expires: 90;refresher=uas] | ACK 1, answer S, ESTABLISHED
			1s | > hold H                            | INVITE 2 H`, "INVITE", Header{{"Session-Expires", "90;refresher=uas"}}},
		{"transfer", talking + `
			1s | > transfer sip:eve@example.org      | REFER 2`, "REFER", Header{{"Refer-To", "<sip:eve@example.org>"}}},
		{"200", `
			0s | < INVITE 1 sdp=O [Record-Route: <sip:r1;lr>] [Session-Expires: 90] [Supported: timer] | offered O
			0s | > accept S                          | INVITE=200 S`, "reply", Header{
			{"Record-Route", "<sip:r1;lr>"}, {"To", "<sip:us@example.org>;tag=us"}, {"From", "<sip:bob@example.org>;tag=a"}, {"CSeq", "1 INVITE"},
			{"Contact", "<sip:us@192.0.2.1:5060>"}, {"Session-Expires", "90;refresher=uac"}, {"Require", "timer"}, {"Content-Type", "application/sdp"},
		}},
		{"200 to a caller that knows timers and asks for none", `
			0s | < INVITE 1 sdp=O [Min-SE: 3600] [Supported: timer] | offered O
			0s | > accept S                          | INVITE=200 S`, "reply", Header{{"Session-Expires", "3600;refresher=uas"}, {"Require", ""}}},
		{"200 to a caller without timers", `
			0s | < INVITE 1 sdp=O                    | offered O
			0s | > accept S                          | INVITE=200 S`, "reply", Header{{"Session-Expires", ""}}},
		{"422", `
			0s | < INVITE 1 sdp=O [Session-Expires: 89] | INVITE=422, FAILED(rejected)`, "reply", Header{{"Min-SE", "90"}}},
		{"420", `
			0s | < INVITE 1 sdp=O [Require: a, timer, b] | INVITE=420, FAILED(rejected)`, "reply", Header{{"Unsupported", "a, b"}}},
		{"415", `
			0s | < INVITE 1 text=O                   | INVITE=415, FAILED(rejected)`, "reply", Header{{"Accept", "application/sdp"}}},
		{"405", talking + `
			1s | < SUBSCRIBE 1                       | SUBSCRIBE=405`, "reply", Header{{"Allow", allow}, {"To", "<sip:us@example.org>;tag=us"}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			a := newActor(t)
			a.play(test.script)
			var h Header
			if test.message == "reply" {
				h = a.replies[len(a.replies)-1].Header
			} else {
				h = a.sent[test.message].Header
			}
			for _, want := range test.want {
				if got := h.Get(want.Name); got != want.Value {
					t.Errorf("%s = %q, want %q", want.Name, got, want.Value)
				}
			}
		})
	}
}

// A BYE goes to the phone that answered, not to the address that was called.
func TestTarget(t *testing.T) {
	a := newActor(t)
	a.play(talking + `
		1s | < 200 b sdp=S cseq=1   | ACK 1 to b, BYE 2 to b`)
	if got, want := a.sent["BYE"].URI, "sip:b@198.51.100.7"; got != want {
		t.Errorf("BYE to the second phone goes to %s, want %s", got, want)
	}
	a.play(`
		2s | < INVITE 1 sdp=T [Contact: <sip:elsewhere@198.51.100.8>] | offered T
		2s | > accept U             | INVITE=200 U
		2s | < ACK 1                |
		3s | > end hung_up          | FINISH(hung_up), BYE 2`)
	if got, want := a.sent["BYE"].URI, "sip:elsewhere@198.51.100.8"; got != want {
		t.Errorf("BYE goes to %s, want the Contact of the re-INVITE, %s", got, want)
	}
	if a.call.Status() != Finish || a.call.Code() != 200 || a.call.Key() != (Key{"call", "us"}) {
		t.Errorf("status %s, code %d, key %v", a.call.Status(), a.call.Code(), a.call.Key())
	}
}

// Numbers are personal data: the words about a redirection do not name its target.
func TestRedirectionKeepsNumberSecret(t *testing.T) {
	_, _, info := judge(&Response{Code: 302, Phrase: "Moved", Header: Header{{"Contact", "<sip:900@premium.example>"}}})
	if strings.Contains(info, "900") {
		t.Errorf("info = %q, want no number in it", info)
	}
}
