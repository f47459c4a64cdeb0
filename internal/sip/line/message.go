package line

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/emiago/sipgo/sip"

	"transponder/internal/sip/dialog"
)

const (
	// maxDatagram is the longest datagram that is read. An INVITE with sound and video has up to 2 kB.
	maxDatagram = 16 << 10
	// maxMessage is the longest message over TCP and TLS.
	maxMessage = 64 << 10
	// maxFields and maxVias bound what a message costs.
	maxFields = 128
	maxVias   = 64
)

var (
	errMalformed = errors.New("malformed message")
	errTooMany   = errors.New("too many fields")
)

// message is a message from the network: a request or a response.
type message struct {
	request  *dialog.Request
	response *dialog.Response

	vias   []string // topmost first
	top    via      // the topmost
	seq    uint32   // the number in CSeq
	method string   // the method in CSeq
}

func (m *message) header() dialog.Header {
	if m.request != nil {
		return m.request.Header
	}
	return m.response.Header
}

// parser splits a message into lines and fields. It knows no field by name, so the values stay as they are on the wire: sipgo's own types for
// addresses and parameters do not always print what they have read.
var parser = sip.NewParser(sip.WithHeadersParsers(map[string]sip.HeaderParser{}))

// parse reads one message. data holds the whole message and nothing after it, but a datagram may be longer than its message.
func parse(data []byte) (*message, error) {
	data = bytes.TrimLeft(data, "\r\n")
	if bytes.Count(data, []byte("\r\n")) > maxFields && countFields(data) > maxFields {
		return nil, errTooMany
	}
	parsed, n, err := parser.ParseHeaders(data, false)
	if err != nil {
		return nil, fmt.Errorf("%w: fields", errMalformed) // the parser's error quotes the message
	}
	line, _, _ := strings.Cut(string(data[:n]), "\r\n")
	m := &message{}
	var fields []sip.Header
	switch parsed := parsed.(type) {
	case *sip.Request:
		fields = parsed.Headers()
		m.request, err = parseRequestLine(line)
	case *sip.Response:
		fields = parsed.Headers()
		m.response, err = parseStatusLine(line)
	}
	if err != nil {
		return nil, err
	}
	header, length, err := m.sort(fields)
	if err != nil {
		return nil, err
	}
	body := data[n:]
	if length >= 0 && length < len(body) {
		body = body[:length] // RFC 3261, 18.3
	}
	if length > len(body) {
		return nil, fmt.Errorf("%w: the body is cut off", errMalformed)
	}
	if len(body) > 0 {
		body = bytes.Clone(body)
	} else {
		body = nil
	}
	if m.request != nil {
		m.request.Header, m.request.Body = header, body
	} else {
		m.response.Header, m.response.Body, m.response.Seen = header, body, m.top.seen()
	}
	return m, m.check()
}

// countFields returns the number of lines before the body.
func countFields(data []byte) int {
	head, _, _ := bytes.Cut(data, []byte("\r\n\r\n"))
	return bytes.Count(head, []byte("\r\n"))
}

// parseRequestLine reads the line that the parser accepted. The parser's URI is not used: it changes what it does not understand.
func parseRequestLine(line string) (*dialog.Request, error) {
	parts := strings.Split(line, " ")
	if len(parts) != 3 || parts[2] != "SIP/2.0" || !isToken(parts[0]) || strings.ContainsFunc(parts[1], isControl) {
		return nil, fmt.Errorf("%w: request line", errMalformed)
	}
	return &dialog.Request{Method: parts[0], URI: parts[1]}, nil
}

func parseStatusLine(line string) (*dialog.Response, error) {
	version, rest, _ := strings.Cut(line, " ")
	number, phrase, _ := strings.Cut(rest, " ")
	code, err := strconv.Atoi(number)
	if err != nil || version != "SIP/2.0" || code < 100 || code > 699 || strings.ContainsFunc(phrase, isControl) {
		return nil, fmt.Errorf("%w: status line", errMalformed)
	}
	return &dialog.Response{Code: code, Phrase: phrase}, nil
}

// sort takes Via, Max-Forwards and Content-Length out of the fields, and returns the rest under long names. length is -1 if there is no
// Content-Length.
func (m *message) sort(fields []sip.Header) (header dialog.Header, length int, err error) {
	length = -1
	for _, f := range fields {
		name, value := longName(f.Name()), f.Value()
		if !isToken(name) || !isLegal(value) {
			return nil, 0, fmt.Errorf("%w: field %q", errMalformed, name)
		}
		switch strings.ToLower(name) {
		case "via":
			m.vias = append(m.vias, dialog.Header{{Name: name, Value: value}}.List(name)...)
		case "max-forwards":
		case "content-length":
			n, err := strconv.ParseUint(value, 10, 24)
			if err != nil || length >= 0 && length != int(n) {
				return nil, 0, fmt.Errorf("%w: Content-Length", errMalformed)
			}
			length = int(n)
		default:
			header = append(header, dialog.Field{Name: name, Value: value})
		}
	}
	if len(m.vias) == 0 {
		return nil, 0, fmt.Errorf("%w: no Via", errMalformed)
	}
	if len(m.vias) > maxVias {
		return nil, 0, errTooMany
	}
	m.top, err = parseVia(m.vias[0])
	return header, length, err
}

// check refuses messages without the fields that every message has, once each (RFC 3261, 8.1.1).
func (m *message) check() error {
	h := m.header()
	for _, name := range []string{"Call-ID", "From", "To", "CSeq"} {
		if len(h.Fields(name)) != 1 || h.Get(name) == "" {
			return fmt.Errorf("%w: there must be one %s", errMalformed, name)
		}
	}
	fields := strings.Fields(h.Get("CSeq"))
	if len(fields) != 2 {
		return fmt.Errorf("%w: CSeq", errMalformed)
	}
	n, err := strconv.ParseUint(fields[0], 10, 31)
	if err != nil || m.request != nil && fields[1] != m.request.Method {
		return fmt.Errorf("%w: CSeq", errMalformed)
	}
	m.seq, m.method = uint32(n), fields[1]
	return nil
}

// longNames are the names of the fields with a compact form (RFC 3261, 7.3.3; IANA, SIP Header Fields).
var longNames = map[string]string{
	"a": "Accept-Contact", "b": "Referred-By", "c": "Content-Type", "d": "Request-Disposition", "e": "Content-Encoding", "f": "From",
	"i": "Call-ID", "j": "Reject-Contact", "k": "Supported", "l": "Content-Length", "m": "Contact", "o": "Event", "r": "Refer-To",
	"s": "Subject", "t": "To", "u": "Allow-Events", "v": "Via", "x": "Session-Expires", "y": "Identity",
}

func longName(name string) string {
	if long, ok := longNames[strings.ToLower(name)]; ok {
		return long
	}
	return name
}

// isToken reports whether s can be a method or the name of a field (RFC 3261, 25.1).
func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && !strings.ContainsRune("-.!%*_+`'~", rune(c)) {
			return false
		}
	}
	return s != ""
}

// isLegal reports whether s can be the value of a field: it must not end the field, or the message.
func isLegal(s string) bool { return !strings.ContainsAny(s, "\r\n\x00") }
