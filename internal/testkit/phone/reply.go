package phone

import (
	"cmp"
	"fmt"
	"strings"
)

// Reply is a response to send.
type Reply struct {
	Code    int
	Tag     string   // of To, if the request has none; "": the phone's usual one
	SDP     string   // the body, if Type is ""
	Type    string   // of another body
	Headers []string // more of them, such as "Require: 100rel"
	Contact string   // "": the phone's
}

// Reply answers a request. Repetitions of the request get the same response.
func (p *Phone) Reply(r *Message, a Reply) {
	p.t.Helper()
	if err := p.TryReply(r, a); err != nil {
		p.t.Errorf("reply %d to %s: %v", a.Code, r, err)
	}
}

// TryReply is Reply for goroutines that are not the test's.
func (p *Phone) TryReply(r *Message, a Reply) error { return p.ReplyRaw(r, []byte(p.Text(r, a))) }

// ReplyRaw sends any bytes as the response to a request, and repeats them when the request comes again.
func (p *Phone) ReplyRaw(r *Message, b []byte) error {
	p.note(func() { p.answers[r.transaction()] = b })
	return r.way.send(b)
}

// Text writes a response without sending it.
func (p *Phone) Text(r *Message, a Reply) string {
	lines := []string{fmt.Sprintf("SIP/2.0 %d %s", a.Code, phrase(a.Code))}
	for _, name := range []string{"Via", "Record-Route"} {
		for _, value := range r.Headers(name) {
			lines = append(lines, name+": "+value)
		}
	}
	to := r.Header("To")
	if r.Tag("To") == "" && a.Code > 100 {
		to += ";tag=" + cmp.Or(a.Tag, usualTag(r))
	}
	lines = append(lines,
		"From: "+r.Header("From"), "To: "+to, "Call-ID: "+r.Header("Call-ID"), "CSeq: "+r.Header("CSeq"),
		"Contact: "+cmp.Or(a.Contact, p.contact()), "User-Agent: scripted phone")
	lines = append(lines, a.Headers...)
	kind := a.Type
	if kind == "" && a.SDP != "" {
		kind = sdpType
	}
	return string(compose(lines, kind, a.SDP))
}

// usualTag is the tag of a phone that does not fork: the same in all responses of one call.
func usualTag(r *Message) string { return "phone-" + r.Tag("From") }

const sdpType = "application/sdp"

// compose makes a message of its lines and body.
func compose(lines []string, kind, body string) []byte {
	if kind != "" {
		lines = append(lines, "Content-Type: "+kind)
	}
	lines = append(lines, fmt.Sprintf("Content-Length: %d", len(body)))
	return []byte(strings.Join(lines, "\r\n") + "\r\n\r\n" + body)
}

func phrase(code int) string {
	known := map[int]string{
		100: "Trying", 180: "Ringing", 183: "Session Progress", 200: "OK", 302: "Moved Temporarily", 401: "Unauthorized",
		407: "Proxy Authentication Required", 422: "Session Interval Too Small", 481: "Call/Transaction Does Not Exist",
		486: "Busy Here", 487: "Request Terminated", 488: "Not Acceptable Here", 491: "Request Pending",
	}
	return cmp.Or(known[code], "Scripted")
}
