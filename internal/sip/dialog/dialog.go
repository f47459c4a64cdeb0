package dialog

import (
	"slices"
	"strconv"
)

// dialog is where the requests to one peer go, and how they are numbered (RFC 3261, 12). An outgoing call has one for each phone that rings.
type dialog struct {
	tag           string // of the peer; "" before an answer
	local, remote string // From and To of our requests
	target        string // the Contact of the peer
	routes        []string

	seq     uint32 // of our last request
	peerSeq int64  // of the last request of the peer; -1 before the first
	rseq    uint32 // of the last reliable 1xx (RFC 3262)
	answer  []byte // SDP of the last reliable 1xx: the 2xx may leave it out
	ack     *Request
}

// dialogFrom returns the dialog that a response to an INVITE of d opens.
func (d *dialog) dialogFrom(r *Response) *dialog {
	next := *d
	next.tag, next.remote = r.Header.tag("To"), r.Header.Get("To")
	next.routeBy(r)
	return &next
}

// routeBy takes the Contact and the proxies on the way from a response: those that want to stay on the way are in Record-Route, the nearest to
// the peer first.
func (d *dialog) routeBy(r *Response) {
	d.refreshTarget(r.Header)
	d.routes = r.Header.List("Record-Route")
	slices.Reverse(d.routes)
}

func (d *dialog) refreshTarget(h Header) {
	if contacts := h.List("Contact"); len(contacts) > 0 {
		if uri := ParseAddress(contacts[0]).URI; uri != "" && uri != "*" {
			d.target = uri
		}
	}
}

// request returns a request with the number seq.
func (d *dialog) request(method string, seq uint32, callID string) *Request {
	uri, routes := d.target, d.routes
	if len(routes) > 0 {
		if first := ParseAddress(routes[0]).URI; !isLoose(first) {
			// A strict router takes its own address from the Request-URI (RFC 3261, 12.2.1.1).
			uri, routes = first, append(slices.Clone(routes[1:]), "<"+d.target+">")
		}
	}
	r := &Request{Method: method, URI: uri}
	for _, route := range routes {
		r.Header.add("Route", route)
	}
	r.Header.add("From", d.local)
	r.Header.add("To", d.remote)
	r.Header.add("Call-ID", callID)
	r.Header.add("CSeq", cseqValue(seq, method))
	return r
}

func cseqValue(seq uint32, method string) string {
	return strconv.FormatUint(uint64(seq), 10) + " " + method
}
