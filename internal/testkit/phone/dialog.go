package phone

import (
	"cmp"
	"crypto/rand"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Dialog is the phone's side of a call: what its requests have in common. A test may change the fields. It is for one goroutine.
type Dialog struct {
	Phone  *Phone
	CallID string
	Local  string // From of our requests, with the tag
	Remote string // To of our requests
	Target string // the Request-URI
	Routes []string
	CSeq   int // of the last request
	Peer   netip.AddrPort

	invite int // CSeq of the last INVITE
}

// Answering makes the dialog of an INVITE that came, as the phone has it after a response with the usual tag.
func (p *Phone) Answering(invite *Message) *Dialog {
	to := invite.Header("To")
	if invite.Tag("To") == "" {
		to += ";tag=" + usualTag(invite)
	}
	d := &Dialog{
		Phone: p, CallID: invite.Header("Call-ID"), Local: to, Remote: invite.Header("From"),
		Target: uri(invite.Header("Contact")), Routes: invite.Headers("Record-Route"), CSeq: 100,
	}
	d.Peer = p.PeerOf(cmp.Or(routeOf(d.Routes), d.Target))
	return d
}

// Calling makes the dialog of a call that the phone makes to an address. Send sends the INVITE.
func (p *Phone) Calling(target string, peer netip.AddrPort) *Dialog {
	return &Dialog{
		Phone: p, CallID: rand.Text(), Local: fmt.Sprintf("<%s>;tag=%s", p.URI(p.cfg.User), rand.Text()[:10]),
		Remote: "<" + target + ">", Target: target, Peer: peer,
	}
}

// routeOf returns the URI of the first route, "" if there is none.
func routeOf(routes []string) string {
	if len(routes) == 0 {
		return ""
	}
	return uri(routes[0])
}

// PeerOf returns the address in a URI whose host is an address.
func (p *Phone) PeerOf(target string) netip.AddrPort {
	p.t.Helper()
	_, at, _ := strings.Cut(target, ":")
	if i := strings.LastIndexByte(at, '@'); i >= 0 {
		at = at[i+1:]
	}
	at, _, _ = strings.Cut(at, ";")
	if peer, err := netip.ParseAddrPort(at); err == nil {
		return peer
	}
	host, err := netip.ParseAddr(strings.Trim(at, "[]"))
	if err != nil {
		p.t.Fatalf("the URI %q has no address", target)
	}
	return netip.AddrPortFrom(host, 5060)
}

// Send sends a request in the dialog and returns the Via branch. An ACK has the number of the last INVITE. More headers are lines such as
// "Session-Expires: 90".
func (d *Dialog) Send(method, kind, body string, headers ...string) (branch string) {
	d.Phone.t.Helper()
	switch method {
	case "ACK", "CANCEL":
		return d.sendAs(method, d.invite, d.Phone.via(), kind, body, headers)
	}
	d.CSeq++
	if method == "INVITE" {
		d.invite = d.CSeq
	}
	return d.sendAs(method, d.CSeq, d.Phone.via(), kind, body, headers)
}

// Cancel cancels the INVITE that was sent with a branch.
func (d *Dialog) Cancel(branch string) {
	d.Phone.t.Helper()
	d.Phone.mu.Lock()
	sent := d.Phone.invites[branch]
	d.Phone.mu.Unlock()
	d.sendAs("CANCEL", d.invite, (&Message{Raw: sent.text}).Header("Via"), "", "", nil)
}

// Text writes the next request without sending it.
func (d *Dialog) Text(method, body string) string {
	d.CSeq++
	return string(d.text(method, d.CSeq, d.Phone.via(), "", body, nil))
}

func (d *Dialog) text(method string, number int, via, kind, body string, headers []string) []byte {
	lines := []string{
		method + " " + d.Target + " SIP/2.0", "Via: " + via, "From: " + d.Local, "To: " + d.Remote, "Call-ID: " + d.CallID,
		fmt.Sprintf("CSeq: %d %s", number, method), "Max-Forwards: 70", "Contact: " + d.Phone.contact(),
	}
	for _, r := range d.Routes {
		lines = append(lines, "Route: "+r)
	}
	lines = append(lines, headers...)
	if kind == "" && body != "" {
		kind = sdpType
	}
	return compose(lines, kind, body)
}

func (d *Dialog) sendAs(method string, number int, via, kind, body string, headers []string) (branch string) {
	d.Phone.t.Helper()
	b := d.text(method, number, via, kind, body, headers)
	w, err := d.Phone.reach(d.Peer)
	if err != nil {
		d.Phone.t.Errorf("%s: %v", method, err)
		return ""
	}
	branch = param(via, "branch")
	if method == "INVITE" {
		d.Phone.note(func() { d.Phone.invites[branch] = outgoing{w, string(b)} })
	}
	if err := w.send(b); err != nil {
		d.Phone.t.Errorf("%s: %v", method, err)
	}
	return branch
}

// Await waits for a message of this call. See Phone.Find for the pattern.
func (d *Dialog) Await(pattern string) *Message {
	d.Phone.t.Helper()
	return d.AwaitFor(pattern, patience)
}

// AwaitFor is Await with another limit.
func (d *Dialog) AwaitFor(pattern string, limit time.Duration) *Message {
	d.Phone.t.Helper()
	m, err := d.Phone.Find(pattern, d.CallID, limit)
	if err != nil {
		d.Phone.t.Fatalf("%s: %v; it received:\n%s", d.Phone.Addr(), err, d.Phone.Story())
	}
	return m
}

// Confirm takes what the rest of the call needs from a 2xx to the phone's INVITE, and acknowledges it. Body is the SDP of the ACK.
func (d *Dialog) Confirm(m *Message, body string) {
	d.Phone.t.Helper()
	d.Remote = m.Header("To")
	d.Target = uri(m.Header("Contact"))
	d.Routes = m.Headers("Record-Route")
	slices.Reverse(d.Routes)
	d.Peer = d.Phone.PeerOf(cmp.Or(routeOf(d.Routes), d.Target))
	d.Send("ACK", "", body)
}

// Request sends a request and waits for its final response.
func (d *Dialog) Request(method, kind, body string, headers ...string) *Message {
	d.Phone.t.Helper()
	branch := d.Send(method, kind, body, headers...)
	for {
		m := d.Await("xxx " + method)
		if m.Code >= 200 && param(m.Header("Via"), "branch") == branch {
			return m
		}
	}
}

// HangUp ends the call, and waits until the peer has answered.
func (d *Dialog) HangUp() {
	d.Phone.t.Helper()
	if m := d.Request("BYE", "", ""); m.Code != 200 {
		d.Phone.t.Errorf("BYE was answered with %d", m.Code)
	}
}
