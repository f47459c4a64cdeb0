package phone

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/emiago/sipgo/sip"
)

// Message is a SIP message that reached the phone.
type Message struct {
	Method string // of a request
	URI    string // of a request
	Code   int    // of a response; 0: it is a request
	Body   string
	Raw    string
	At     time.Time
	From   string // the address that sent it

	way way // back to the sender
}

// parse reads a message. The parser of sipgo judges whether it is one.
func parse(b []byte) (*Message, error) {
	parsed, err := sip.ParseMessage(b)
	if err != nil {
		return nil, fmt.Errorf("%w in %q", err, b)
	}
	m := &Message{Raw: string(b), Body: string(parsed.Body())}
	switch p := parsed.(type) {
	case *sip.Request:
		m.Method, m.URI = string(p.Method), strings.Fields(m.Raw)[1]
	case *sip.Response:
		m.Code = p.StatusCode
	}
	for _, name := range []string{"Via", "From", "To", "Call-ID", "CSeq"} { // RFC 3261, 8.1.1
		if m.Header(name) == "" {
			return nil, fmt.Errorf("no %s in %q", name, b)
		}
	}
	return m, nil
}

// short are the short names of headers (RFC 3261, 7.3.3).
var short = map[string]string{
	"v": "via", "f": "from", "t": "to", "i": "call-id", "m": "contact", "c": "content-type", "l": "content-length", "k": "supported",
	"x": "session-expires", "r": "refer-to", "o": "event",
}

// Headers returns the values of all headers of a name, as they were written. Several values in one header are not taken apart.
func (m *Message) Headers(name string) (values []string) {
	head, _, _ := strings.Cut(m.Raw, "\r\n\r\n")
	head = regexp.MustCompile(`\r\n[ \t]+`).ReplaceAllString(head, " ") // folded lines
	for i, line := range strings.Split(head, "\r\n") {
		key, value, ok := strings.Cut(line, ":")
		key = strings.ToLower(strings.TrimSpace(key))
		if long := short[key]; long != "" {
			key = long
		}
		if i > 0 && ok && key == strings.ToLower(name) {
			values = append(values, strings.TrimSpace(value))
		}
	}
	return values
}

// Header returns the first value of a name, "" if there is none.
func (m *Message) Header(name string) string {
	for _, value := range m.Headers(name) {
		return value
	}
	return ""
}

// CSeq returns the number and the method of CSeq.
func (m *Message) CSeq() (number int, method string) {
	fmt.Sscan(m.Header("CSeq"), &number, &method)
	return number, method
}

// Tag returns the tag of From or To, "" if there is none.
func (m *Message) Tag(name string) string { return param(m.Header(name), "tag") }

// param returns a parameter that follows an address, "" if it is absent.
func param(value, name string) string {
	if i := strings.LastIndexByte(value, '>'); i >= 0 {
		value = value[i+1:]
	}
	for part := range strings.SplitSeq(value, ";") {
		if key, v, _ := strings.Cut(part, "="); strings.TrimSpace(key) == name {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// uri returns the URI of a header with an address, such as Contact.
func uri(value string) string {
	if _, rest, ok := strings.Cut(value, "<"); ok {
		inside, _, _ := strings.Cut(rest, ">")
		return inside
	}
	bare, _, _ := strings.Cut(value, ";")
	return strings.TrimSpace(bare)
}

// String names the message as Await does: "INVITE", or "200 INVITE" for a response.
func (m *Message) String() string {
	if m.Code == 0 {
		return m.Method
	}
	_, method := m.CSeq()
	return strconv.Itoa(m.Code) + " " + method
}

// is says whether the message is what a pattern names: "INVITE", "200 INVITE", or "18x INVITE" where x is any digit.
func (m *Message) is(pattern string) bool {
	name := m.String()
	if len(name) != len(pattern) {
		return false
	}
	for i := range pattern {
		if pattern[i] != name[i] && (pattern[i] != 'x' || m.Code == 0) {
			return false
		}
	}
	return true
}

// transaction returns what a repeated request has in common with the first (RFC 3261, 17.2.3).
func (m *Message) transaction() string { return m.Method + " " + param(m.Header("Via"), "branch") }
