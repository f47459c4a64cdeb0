package line

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/emiago/sipgo/sip"

	"transponder/internal/sip/dialog"
)

// invite is a request with every field that a request must have.
const invite = "INVITE sip:bob@example.com;user=phone SIP/2.0\r\n" +
	"Via: SIP/2.0/UDP 192.0.2.1:5062;branch=z9hG4bKabc;rport\r\n" +
	"Max-Forwards: 70\r\n" +
	"From: \"A, B\" <sip:a@example.com>;tag=1\r\n" +
	"To: <sip:bob@example.com>\r\n" +
	"Call-ID: c1@example.com\r\n" +
	"CSeq: 7 INVITE\r\n" +
	"Content-Length: 4\r\n\r\nv=0\n"

// with returns the invite with a line replaced: by nothing, if the new line is empty.
func with(line, by string) string {
	name, _, _ := strings.Cut(line, ":")
	head, body, _ := strings.Cut(invite, "\r\n\r\n")
	all := strings.Split(head, "\r\n")
	i := slices.IndexFunc(all, func(s string) bool { return strings.HasPrefix(s, name) })
	all[i] = by
	if by == "" {
		all = slices.Delete(all, i, i+1)
	}
	return strings.Join(all, "\r\n") + "\r\n\r\n" + body
}

// The messages are of the kinds that RFC 4475 describes: odd but valid ones are read, broken ones are refused.
func TestParse(t *testing.T) {
	tests := []struct {
		name, data string
		check      func(*message) bool
	}{
		{"plain", invite, func(m *message) bool {
			return m.request.Method == "INVITE" && m.request.URI == "sip:bob@example.com;user=phone" && string(m.request.Body) == "v=0\n" &&
				m.seq == 7 && m.top.branch == "z9hG4bKabc" && m.top.wantsPort && m.top.port == 5062
		}},
		{"compact names", strings.NewReplacer("Via:", "v :", "From:", "f:", "To:", "t:", "Call-ID:", "i:", "Content-Length:", "l:").Replace(invite),
			func(m *message) bool {
				return m.request.Header.Get("Call-ID") == "c1@example.com" && len(m.request.Body) == 4
			}},
		{"names in any case", strings.NewReplacer("CSeq:", "cSEQ:", "Via:", "VIA:").Replace(invite), func(m *message) bool { return m.seq == 7 }},
		{"folded lines", with("From", "From: \"A, B\"\r\n  <sip:a@example.com>\r\n\t;tag=1"),
			func(m *message) bool { return dialog.ParseAddress(m.request.Header.Get("From")).Param("tag") == "1" }},
		{"blanks in Via", with("Via", "Via: SIP / 2.0 / UDP  192.0.2.1 : 5062 ;  branch = z9hG4bKabc"),
			func(m *message) bool {
				return m.top.transport == "udp" && m.top.port == 5062 && m.top.branch == "z9hG4bKabc"
			}},
		{"three Vias in two fields", with("Via", "Via: SIP/2.0/TCP [2001:db8::1];branch=z9hG4bK1, SIP/2.0/UDP b\r\nv: SIP/2.0/TLS c:1"),
			func(m *message) bool {
				return len(m.vias) == 3 && m.top.host == "2001:db8::1" && m.vias[2] == "SIP/2.0/TLS c:1"
			}},
		{"unknown and repeated fields", with("Max-Forwards", "X-Odd: %00 a;b=\"c\\\"d\"\r\nRecord-Route: <sip:a;lr>\r\nX-Odd:\r\nRecord-Route: <sip:b;lr>"),
			func(m *message) bool {
				h := m.request.Header
				return slices.Equal(h.Fields("X-Odd"), []string{`%00 a;b="c\"d"`, ""}) && slices.Equal(h.List("Record-Route"), []string{"<sip:a;lr>", "<sip:b;lr>"})
			}},
		{"no Content-Length", with("Content-Length", ""), func(m *message) bool { return string(m.request.Body) == "v=0\n" }},
		{"line ends before", "\r\n\r\n" + invite, func(m *message) bool { return m.seq == 7 }},
		{"bytes after", invite + "garbage", func(m *message) bool { return string(m.request.Body) == "v=0\n" }},
		{"another scheme", with("INVITE", "INVITE tel:+4930123 SIP/2.0"), func(m *message) bool { return m.request.URI == "tel:+4930123" }},
		{"an escaped URI", with("INVITE", "INVITE sip:sip%3Auser%40example.com@company.com;other-param=summit SIP/2.0"),
			func(m *message) bool {
				return m.request.URI == "sip:sip%3Auser%40example.com@company.com;other-param=summit"
			}},
		{"a response", strings.Replace(invite, "INVITE sip:bob@example.com;user=phone SIP/2.0", "SIP/2.0 183 Ça sonne", 1),
			func(m *message) bool {
				return m.response.Code == 183 && m.response.Phrase == "Ça sonne" && m.method == "INVITE"
			}},
		{"a response without a phrase", strings.Replace(invite, "INVITE sip:bob@example.com;user=phone SIP/2.0", "SIP/2.0 200 ", 1),
			func(m *message) bool { return m.response.Code == 200 }},
		{"rport and received", "SIP/2.0 200 OK\r\n" + strings.SplitN(with("Via", "Via: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKa;rport=4711;received=192.0.2.9"), "\r\n", 2)[1],
			func(m *message) bool { return m.response.Seen == "192.0.2.9:4711" }},
		{"rport without received", "SIP/2.0 200 OK\r\n" + strings.SplitN(with("Via", "Via: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKa;rport=4711"), "\r\n", 2)[1],
			func(m *message) bool { return m.response.Seen == "10.0.0.1:4711" }},
		{"neither", "SIP/2.0 200 OK\r\n" + strings.SplitN(invite, "\r\n", 2)[1], func(m *message) bool { return m.response.Seen == "" }},

		{"empty", "", nil},
		{"no SIP", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", nil},
		{"cut within the fields", invite[:60], nil},
		{"cut within the body", invite[:len(invite)-1], nil},
		{"wrong version", with("INVITE", "INVITE sip:bob@example.com SIP/7.0"), nil},
		{"blank in the URI", with("INVITE", "INVITE sip:bob@example.com; lr SIP/2.0"), nil},
		{"two blanks", with("INVITE", "INVITE  sip:bob@example.com SIP/2.0"), nil},
		{"angle brackets", with("INVITE", "INVITE <sip:bob@example.com> SIP/2.0"), nil},
		{"code out of range", strings.Replace(invite, "INVITE sip:bob@example.com;user=phone SIP/2.0", "SIP/2.0 4294967301 better not", 1), nil},
		{"negative length", with("Content-Length", "Content-Length: -999"), nil},
		{"length too long", with("Content-Length", "Content-Length: 9999"), nil},
		{"two lengths", with("Content-Length", "Content-Length: 4\r\nl: 3"), nil},
		{"no Via", with("Via", ""), nil},
		{"malformed Via", with("Via", "Via: SIP/2.0/UDP"), nil},
		{"no Call-ID", with("Call-ID", ""), nil},
		{"two From", with("From", "From: <sip:a@b>;tag=1\r\nf: <sip:c@d>;tag=2"), nil},
		{"no To", with("To", ""), nil},
		{"empty To", with("To", "To:"), nil},
		{"CSeq of another method", with("CSeq", "CSeq: 7 BYE"), nil},
		{"CSeq too large", with("CSeq", "CSeq: 36893488147419103232 INVITE"), nil},
		{"CSeq without a number", with("CSeq", "CSeq: INVITE"), nil},
		{"a field without a colon", with("Max-Forwards", "Max-Forwards 70"), nil},
		{"a field name with a blank", with("Max-Forwards", "Max Forwards: 70"), nil},
		{"a line feed within a field", with("From", "From: <sip:a@example.com>;tag=1\nRoute: <sip:evil>"), nil},
		{"a carriage return within a field", with("From", "From: <sip:a@example.com>;tag=1\rx"), nil},
		{"a zero within a field", with("From", "From: <sip:a@example.com>;tag=1\x00"), nil},
	}
	for _, test := range tests {
		m, err := parse([]byte(test.data))
		switch {
		case test.check == nil && err == nil:
			t.Errorf("%s: no error", test.name)
		case test.check == nil && strings.Contains(err.Error(), "example"):
			t.Errorf("%s: the error quotes the message: %v", test.name, err)
		case test.check != nil && err != nil:
			t.Errorf("%s: %v", test.name, err)
		case test.check != nil && !test.check(m):
			t.Errorf("%s: got %+v", test.name, m)
		}
	}
}

func TestParseLimits(t *testing.T) {
	for _, test := range []struct {
		name, line string
		n          int
		want       error
	}{
		{"120 fields", "X: 1\r\n", 120 - 7, nil},
		{"200 fields", "X: 1\r\n", 200, errTooMany},
		{"64 Vias", "Via: SIP/2.0/UDP a, SIP/2.0/UDP b, SIP/2.0/UDP c\r\n", 21, nil},
		{"67 Vias", "Via: SIP/2.0/UDP a, SIP/2.0/UDP b, SIP/2.0/UDP c\r\n", 22, errTooMany},
	} {
		data := strings.Replace(invite, "From:", strings.Repeat(test.line, test.n)+"From:", 1)
		if _, err := parse([]byte(data)); !errors.Is(err, test.want) {
			t.Errorf("%s: got %v, want %v", test.name, err, test.want)
		}
	}
}

// A request that we write is read by another parser as it was meant.
func TestWriteRequest(t *testing.T) {
	r := &dialog.Request{Method: "INVITE", URI: "sip:bob@example.com;user=phone", Body: []byte("v=0\n"), Header: dialog.Header{
		{Name: "From", Value: `"A, B" <sip:a@example.com>;tag=1`}, {Name: "To", Value: "<sip:bob@example.com>"},
		{Name: "Call-ID", Value: "c1"}, {Name: "CSeq", Value: "7 INVITE"}, {Name: "Content-Type", Value: "application/sdp"},
	}}
	data, err := writeRequest(r, "SIP/2.0/UDP 192.0.2.1:5062;rport;branch=z9hG4bKabc")
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := sip.ParseMessage(data)
	if err != nil {
		t.Fatalf("%v in %s", err, data)
	}
	got := parsed.(*sip.Request)
	branch, _ := got.Via().Params.Get("branch")
	if got.Recipient.String() != r.URI || got.MaxForwards().Val() != 70 || branch != "z9hG4bKabc" || string(got.Body()) != "v=0\n" ||
		got.From().DisplayName != "A, B" || got.CSeq().SeqNo != 7 || got.ContentType().Value() != "application/sdp" {
		t.Errorf("got %v", got)
	}
}

func TestIllegal(t *testing.T) {
	good := dialog.Request{Method: "BYE", URI: "sip:a@b", Header: dialog.Header{{Name: "X", Value: "1"}}}
	tests := map[string]func(*dialog.Request){
		"line break in a field": func(r *dialog.Request) { r.Header = dialog.Header{{Name: "X", Value: "1\r\nRoute: <sip:evil>"}} },
		"line feed in a field":  func(r *dialog.Request) { r.Header = dialog.Header{{Name: "X", Value: "1\n2"}} },
		"zero in a field":       func(r *dialog.Request) { r.Header = dialog.Header{{Name: "X", Value: "1\x002"}} },
		"colon in a name":       func(r *dialog.Request) { r.Header = dialog.Header{{Name: "X: 1\r\nY", Value: "2"}} },
		"no name":               func(r *dialog.Request) { r.Header = dialog.Header{{Name: "", Value: "2"}} },
		"blank in the method":   func(r *dialog.Request) { r.Method = "BYE sip:evil" },
		"blank in the URI":      func(r *dialog.Request) { r.URI = "sip:a@b SIP/2.0" },
		"line break in the URI": func(r *dialog.Request) { r.URI = "sip:a@b\r\nX:1" },
		"no URI":                func(r *dialog.Request) { r.URI = "" },
	}
	if _, err := writeRequest(&good, "v"); err != nil {
		t.Fatal(err)
	}
	for name, change := range tests {
		r := good
		change(&r)
		if data, err := writeRequest(&r, "v"); !errors.Is(err, errIllegal) {
			t.Errorf("%s: got %q, %v", name, data, err)
		}
	}
	for name, p := range map[string]*dialog.Response{
		"line break in the phrase": {Code: 200, Phrase: "OK\r\nX: 1"},
		"code":                     {Code: 42},
	} {
		if data, err := writeResponse(p, nil); !errors.Is(err, errIllegal) {
			t.Errorf("%s: got %q, %v", name, data, err)
		}
	}
}

// FuzzParse holds that no message panics, and that one which was read can be written and read again with the same content.
func FuzzParse(f *testing.F) {
	f.Add([]byte(invite))
	f.Add([]byte(with("Via", "v: SIP / 2.0 / UDP [::1] : 5062 ; branch=\"a;b\", SIP/2.0/TLS b;received=1")))
	f.Add([]byte("SIP/2.0 200 OK\r\n" + strings.SplitN(invite, "\r\n", 2)[1]))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := parse(data)
		if err != nil {
			return
		}
		var again []byte
		if m.request != nil {
			again, err = writeRequest(m.request, m.vias[0])
		} else {
			again, err = writeResponse(m.response, m.vias)
		}
		if err != nil {
			return // what we would not write ourselves
		}
		m2, err := parse(again)
		if err != nil {
			t.Fatalf("%v in %q", err, again)
		}
		if !slices.EqualFunc(m.header(), m2.header(), func(a, b dialog.Field) bool { return longName(a.Name) == longName(b.Name) && a.Value == b.Value }) {
			t.Errorf("fields %q became %q", m.header(), m2.header())
		}
		if m.request != nil && (m.request.URI != m2.request.URI || string(m.request.Body) != string(m2.request.Body)) {
			t.Errorf("%q became %q", data, again)
		}
		if m.response != nil && m.response.Code != m2.response.Code {
			t.Errorf("%q became %q", data, again)
		}
	})
}
