package dialog

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"time"
)

const (
	// A registration that failed for a while is tried again after firstRetry, then after twice the time, up to maxRetry.
	firstRetry = 5 * time.Second
	maxRetry   = 60 * time.Second
	// defaultExpires is for a registrar that does not say how long it keeps a contact (RFC 3261, 10.3).
	defaultExpires = time.Hour
	// refreshEarly is how long before the end a long registration is refreshed.
	refreshEarly = 30 * time.Second
	// leastRefresh and mostRetryAfter keep a strange registrar from making us send without a pause, or never again.
	leastRefresh   = time.Second
	mostRetryAfter = time.Hour
	// refreshSpread is how long Refresh waits at most. When a registrar starts again, all connections to it break at once.
	refreshSpread = 2 * time.Second
	// unregisterTime is how long the end of the server waits for the registrar.
	unregisterTime = 2 * time.Second
)

// RegistrationConfig says what is registered where.
type RegistrationConfig struct {
	Registrar string // URI of the domain, without a user
	Address   string // <sip:user@domain>: From and To
	Contact   string // the URI at which we are reached. Its user is random, so that only calls to this registration have it
	Routes    []string
	CallID    string
	LocalTag  string
	UserAgent string
	Expires   time.Duration // asked for
	// RewriteContact replaces host and port of Contact by those under which the registrar sees us, if there is a NAT between.
	RewriteContact bool
	Credentials    Credentials // nil: there is no password
}

// registrationState is how far a registration is.
type registrationState int

const (
	unregistered registrationState = iota // the registrar has not agreed yet, or fails
	registered
	removing // REGISTER with Expires 0 is sent
	over     // nothing more happens
)

// Registration keeps one contact at a registrar (RFC 3261, 10). Like Call, it has no clock.
type Registration struct {
	cfg RegistrationConfig

	state     registrationState
	dialog    *dialog // it never gets a tag of the peer: it only numbers the requests
	contact   string
	stale     string        // a contact that the next REGISTER removes; "" if there is none
	expires   time.Duration // asked for in the next REGISTER
	raised    bool          // one 423 was obeyed
	rewritten bool          // the contact was rewritten since the last refresh

	pending *transaction
	next    time.Time     // the next REGISTER; zero: none
	retry   time.Duration // the last pause after a failure
	sent    time.Time     // when the last REGISTER was sent
	gap     time.Duration // how long after it Refresh sends another one at the earliest
	out     []Output
}

// Register starts a registration.
func Register(now time.Time, cfg RegistrationConfig) *Registration {
	g := &Registration{cfg: cfg, contact: cfg.Contact, expires: cfg.Expires}
	g.dialog = &dialog{
		local: cfg.Address + ";tag=" + cfg.LocalTag, remote: cfg.Address,
		target: cfg.Registrar, routes: cfg.Routes,
	}
	g.send(now)
	return g
}

// Key returns what responses are found by.
func (g *Registration) Key() Key { return Key{g.cfg.CallID, g.cfg.LocalTag} }

// Contact returns the URI at which the registrar knows us.
func (g *Registration) Contact() string { return g.contact }

// Registered reports whether the registrar keeps our contact.
func (g *Registration) Registered() bool { return g.state == registered }

// Over reports whether nothing more happens: after the end of Unregister, or after a refusal for good.
func (g *Registration) Over() bool { return g.state == over }

// Take returns what is to be done since the last Take, in order.
func (g *Registration) Take() []Output {
	out := g.out
	g.out = nil
	return out
}

// Deadline returns when Tick has to be called, the zero time if there is nothing to wait for.
func (g *Registration) Deadline() time.Time {
	if g.pending != nil {
		return g.pending.deadline
	}
	return g.next
}

// Tick does what is due.
func (g *Registration) Tick(now time.Time) {
	if at := g.Deadline(); at.IsZero() || now.Before(at) {
		return
	}
	if g.pending != nil {
		g.done(now, g.pending.unanswered(408, "no answer from the registrar"))
		return
	}
	g.rewritten = false
	g.send(now)
}

// Refresh sends a REGISTER soon, because the connection to the registrar has broken: calls that the registrar sends over this connection do not
// arrive. If connections break again and again, the pauses double up to maxRetry (RFC 5626, 4.5). A REGISTER on its way, or one after a
// failure, makes a connection itself.
func (g *Registration) Refresh(now time.Time) {
	if g.state != registered || g.pending != nil {
		return
	}
	gap := g.gap
	if now.Sub(g.sent) > maxRetry {
		gap = 0 // the connection was good
	}
	at := g.sent.Add(gap)
	if at.Before(now) {
		at = now
	}
	if at = at.Add(rand.N(refreshSpread)); at.Before(g.next) {
		g.next = at
		g.gap = min(max(2*gap, firstRetry), maxRetry)
	}
}

// Unregister removes the contact. The registration is over when the registrar answers, 2 s later at the latest.
func (g *Registration) Unregister(now time.Time) {
	switch {
	case g.state >= removing:
		return
	case g.state == unregistered && g.pending == nil:
		g.state, g.next = over, time.Time{}
		return
	}
	g.state, g.expires = removing, 0
	g.send(now)
	g.pending.deadline = now.Add(unregisterTime)
}

// send sends a REGISTER in the place of one that may be pending.
func (g *Registration) send(now time.Time) {
	g.next, g.sent = time.Time{}, now
	g.dialog.seq++
	r := g.dialog.request("REGISTER", g.dialog.seq, g.cfg.CallID)
	r.Header.add("Contact", "<"+g.contact+">;expires="+seconds(g.expires))
	if g.stale != "" {
		r.Header.add("Contact", "<"+g.stale+">;expires=0")
	}
	r.Header.add("Expires", seconds(g.expires))
	r.Header.add("Allow", allow)
	r.Header.add("User-Agent", g.cfg.UserAgent)
	g.pending = &transaction{request: r, dialog: g.dialog, deadline: now.Add(transactionTimeout)}
	g.out = append(g.out, Send{r})
}

// Unsent says that a request could not be sent.
func (g *Registration) Unsent(now time.Time, r *Request, err error) {
	if g.pending != nil && g.pending.request == r {
		g.done(now, g.pending.unanswered(503, err.Error()))
	}
}

// Response takes a response. One that nobody waits for is ignored.
func (g *Registration) Response(now time.Time, r *Response) {
	if g.pending == nil || !g.pending.matches(r) || r.Code < 200 {
		return
	}
	again := g.pending.authorize(r, g.cfg.Credentials)
	if again == nil {
		g.done(now, r)
		return
	}
	g.dialog.seq++
	again.Header.set("CSeq", cseqValue(g.dialog.seq, "REGISTER"))
	g.pending.request = again
	if g.state != removing {
		g.pending.deadline = now.Add(transactionTimeout)
	}
	g.out = append(g.out, Send{again})
}

func (g *Registration) done(now time.Time, r *Response) {
	g.pending = nil
	switch {
	case g.state == removing:
		g.state = over
	case r.Code/100 == 2:
		g.succeed(now, r)
	case r.Code == 423 && !g.raised && time.Duration(r.Header.number("Min-Expires"))*time.Second > g.expires:
		g.raised = true
		g.expires = time.Duration(r.Header.number("Min-Expires")) * time.Second
		g.send(now)
	default:
		g.fail(now, r)
	}
}

func (g *Registration) succeed(now time.Time, r *Response) {
	granted := g.granted(r.Header)
	g.retry, g.stale = 0, ""
	if g.state != registered {
		g.state = registered
		g.out = append(g.out, Registered{granted})
	}
	if g.rewrite(r.Seen) {
		g.send(now)
		return
	}
	g.next = now.Add(max(granted/2, granted-refreshEarly, leastRefresh))
}

// granted returns how long the registrar keeps our contact. The parameter of our own Contact counts before the field Expires, which is for
// all. Our contact is known by its random user: some registrars change the parameters of the URI.
func (g *Registration) granted(h Header) time.Duration {
	value := h.Get("Expires")
	for _, contact := range h.List("Contact") {
		a := ParseAddress(contact)
		if own := a.Param("expires"); own != "" && userOf(a.URI) == userOf(g.contact) {
			value = own
		}
	}
	if granted := leadingNumber(value); granted > 0 {
		return time.Duration(granted) * time.Second
	}
	return defaultExpires
}

func userOf(uri string) string {
	user, _, _ := strings.Cut(uri, "@")
	return user
}

// rewrite takes the address under which the registrar saw us. It reports whether the contact has changed. It changes once between two
// refreshes, because some NATs give each request another port.
func (g *Registration) rewrite(seen string) bool {
	host, port, err := net.SplitHostPort(seen)
	if err != nil || !g.cfg.RewriteContact || g.rewritten {
		return false
	}
	contact := replaceHost(g.contact, net.JoinHostPort(host, port))
	if contact == g.contact {
		return false
	}
	g.stale, g.contact, g.rewritten = g.contact, contact, true
	return true
}

// replaceHost puts another host and port into a SIP URI, and leaves user and parameters.
func replaceHost(uri, hostPort string) string {
	from := strings.IndexByte(uri, ':') + 1
	if at := strings.IndexByte(uri, '@'); at >= 0 {
		from = at + 1
	}
	end := len(uri)
	if i := strings.IndexAny(uri[from:], ";?"); i >= 0 {
		end = from + i
	}
	return uri[:from] + hostPort + uri[end:]
}

// fail ends the registration if the registrar refuses it, and tries again later if the registrar has trouble.
func (g *Registration) fail(now time.Time, r *Response) {
	g.state = unregistered
	failed := RegistrationFailed{Code: r.Code, Info: fmt.Sprintf("%d %s", r.Code, r.Phrase)}
	if r.Code == 408 || r.Code == 480 || r.Code >= 500 && r.Code < 600 {
		g.retry = min(max(2*g.retry, firstRetry), maxRetry)
		failed.Retry = max(g.retry, min(mostRetryAfter, time.Duration(r.Header.number("Retry-After"))*time.Second))
		g.next = now.Add(failed.Retry)
	} else {
		g.state = over
	}
	if r.unanswered {
		failed.Code, failed.Info = 0, r.Phrase
	}
	g.out = append(g.out, failed)
}
