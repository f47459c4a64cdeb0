package line

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"transponder/internal/sip/dialog"
)

// errIllegal means that a message has characters that would change its meaning, such as a line break in a field.
var errIllegal = errors.New("illegal characters in a SIP message")

// writeRequest returns the bytes of a request.
func writeRequest(r *dialog.Request, via string) ([]byte, error) {
	if !isToken(r.Method) || r.URI == "" || strings.ContainsAny(r.URI, " <>\"") || strings.ContainsFunc(r.URI, isControl) {
		return nil, fmt.Errorf("request line of %s: %w", r.Method, errIllegal)
	}
	b := make([]byte, 0, 1024+len(r.Body))
	b = append(b, r.Method+" "+r.URI+" SIP/2.0\r\n"...)
	b = append(b, "Via: "+via+"\r\nMax-Forwards: 70\r\n"...)
	return writeRest(b, r.Header, r.Body)
}

// writeResponse returns the bytes of a response. vias are the entries of Via in the request (RFC 3261, 8.2.6.2).
func writeResponse(p *dialog.Response, vias []string) ([]byte, error) {
	if p.Code < 100 || p.Code > 699 || strings.ContainsFunc(p.Phrase, isControl) {
		return nil, fmt.Errorf("status line %d: %w", p.Code, errIllegal)
	}
	b := make([]byte, 0, 1024+len(p.Body))
	b = append(b, "SIP/2.0 "+strconv.Itoa(p.Code)+" "+p.Phrase+"\r\n"...)
	for _, via := range vias {
		b = append(b, "Via: "+via+"\r\n"...)
	}
	return writeRest(b, p.Header, p.Body)
}

func writeRest(b []byte, header dialog.Header, body []byte) ([]byte, error) {
	for _, f := range header {
		if !isToken(f.Name) || !isLegal(f.Value) {
			return nil, fmt.Errorf("field %q: %w", f.Name, errIllegal)
		}
		b = append(b, f.Name+": "+f.Value+"\r\n"...)
	}
	b = append(b, "Content-Length: "+strconv.Itoa(len(body))+"\r\n\r\n"...)
	return append(b, body...), nil
}

// writeACK returns the ACK of a final response other than 2xx. It has the Via of the INVITE (RFC 3261, 17.1.1.3).
func writeACK(invite *dialog.Request, via string, seq uint32, to string) ([]byte, error) {
	ack := &dialog.Request{Method: "ACK", URI: invite.URI}
	for _, route := range invite.Header.Fields("Route") {
		ack.Header = append(ack.Header, dialog.Field{Name: "Route", Value: route})
	}
	ack.Header = append(ack.Header,
		dialog.Field{Name: "From", Value: invite.Header.Get("From")},
		dialog.Field{Name: "To", Value: to},
		dialog.Field{Name: "Call-ID", Value: invite.Header.Get("Call-ID")},
		dialog.Field{Name: "CSeq", Value: strconv.FormatUint(uint64(seq), 10) + " ACK"},
	)
	return writeRequest(ack, via)
}
