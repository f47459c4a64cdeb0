package dialog

import (
	"slices"
	"strconv"
	"strings"
)

// Field is one field of a header. Name is the long form.
type Field struct{ Name, Value string }

// Header holds the fields of a message in their order, without Via, Max-Forwards and Content-Length.
type Header []Field

// Get returns the value of the first field of that name, "" if there is none.
func (h Header) Get(name string) string {
	for _, f := range h {
		if strings.EqualFold(f.Name, name) {
			return strings.TrimSpace(f.Value)
		}
	}
	return ""
}

// Fields returns the values of all fields of that name.
func (h Header) Fields(name string) []string {
	var values []string
	for _, f := range h {
		if strings.EqualFold(f.Name, name) {
			values = append(values, f.Value)
		}
	}
	return values
}

// List returns the entries of all fields of that name, whose values are lists with commas.
func (h Header) List(name string) []string {
	var entries []string
	for _, value := range h.Fields(name) {
		for _, entry := range split(value, ',') {
			if entry != "" {
				entries = append(entries, entry)
			}
		}
	}
	return entries
}

func (h Header) lists(name, token string) bool {
	return slices.ContainsFunc(h.List(name), func(entry string) bool { return strings.EqualFold(entry, token) })
}

// number returns the number at the beginning of a field, 0 if there is none: Min-SE and Retry-After may have parameters and comments.
func (h Header) number(name string) uint32 { return leadingNumber(h.Get(name)) }

func leadingNumber(s string) uint32 {
	end := strings.IndexFunc(s, func(r rune) bool { return r < '0' || r > '9' })
	if end < 0 {
		end = len(s)
	}
	n, err := strconv.ParseUint(s[:end], 10, 32)
	if err != nil {
		return 0
	}
	return uint32(n)
}

func (h *Header) add(name, value string) { *h = append(*h, Field{name, value}) }

// set replaces all fields of that name.
func (h *Header) set(name, value string) {
	h.remove(name)
	h.add(name, value)
}

func (h *Header) remove(name string) {
	*h = slices.DeleteFunc(*h, func(f Field) bool { return strings.EqualFold(f.Name, name) })
}

// cseq returns the two parts of CSeq.
func (h Header) cseq() (number uint32, method string) {
	value := h.Get("CSeq")
	_, method, _ = strings.Cut(value, " ")
	return leadingNumber(value), strings.TrimSpace(method)
}

func (h Header) tag(name string) string { return ParseAddress(h.Get(name)).Param("tag") }

// Request is a SIP request.
type Request struct {
	Method string
	URI    string
	Header Header
	Body   []byte

	// Transaction is for the user of the package, who has to find the transaction when a Reply comes. It is not read here.
	Transaction any
}

// Key returns the key of the call that a request from outside belongs to. A request that starts a call has no LocalTag.
func (r *Request) Key() Key { return Key{r.Header.Get("Call-ID"), r.Header.tag("To")} }

func (r *Request) clone() *Request {
	c := *r
	c.Header = slices.Clone(r.Header)
	return &c
}

// Response is a SIP response.
type Response struct {
	Code   int
	Phrase string
	Header Header
	Body   []byte

	// Seen is where the peer saw our request come from: "host:port" of received and rport in the topmost Via, "" if they are missing.
	Seen string

	// unanswered says that the peer sent nothing: the request timed out (408) or could not be sent (503).
	unanswered bool
}

// Key returns the key of the call whose request is answered.
func (r *Response) Key() Key { return Key{r.Header.Get("Call-ID"), r.Header.tag("From")} }

// Key finds a Call or a Registration: two of one Call-ID differ in our tag. The tag of the peer is compared by Call.Request.
type Key struct{ CallID, LocalTag string }

// respond returns a response with the fields that every response repeats.
func respond(r *Request, code int, localTag string) *Response {
	response := &Response{Code: code, Phrase: phrases[code]}
	for _, name := range []string{"Call-ID", "From", "To", "CSeq"} {
		response.Header.add(name, r.Header.Get(name))
	}
	if r.Header.tag("To") == "" {
		response.Header.set("To", r.Header.Get("To")+";tag="+localTag)
	}
	return response
}

// Respond returns the response to a request that belongs to no call. localTag is any random tag.
func Respond(r *Request, code int, localTag string, fields ...Field) *Response {
	response := respond(r, code, localTag)
	if code == 200 && r.Method == "OPTIONS" {
		response.Header.add("Allow", allow)
		response.Header.add("Accept", "application/sdp")
	}
	response.Header = append(response.Header, fields...)
	return response
}

var phrases = map[int]string{
	180: "Ringing", 200: "OK", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed", 415: "Unsupported Media Type",
	400: "Bad Request", 420: "Bad Extension", 422: "Session Interval Too Small", 480: "Temporarily Unavailable", 481: "Call Does Not Exist",
	482: "Loop Detected", 486: "Busy Here", 487: "Request Terminated", 488: "Not Acceptable Here", 489: "Bad Event", 491: "Request Pending",
	500: "Server Internal Error", 503: "Service Unavailable", 603: "Decline",
}
