package sip

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode"

	"transponder/internal/sip/dialog"
	"transponder/internal/sip/line"
	"transponder/internal/stream"
)

// retryAfter is when a caller may try again if there is no room for the call, in seconds.
const retryAfter = "30"

// busyFor is when the peer may repeat a request within a call that has too much to do, in seconds (RFC 3261, 14.2, wants at most 10).
const busyFor = "5"

// welcome reports whether a source may talk to us at all. The line asks before it parses a datagram, and for each new connection.
func (c *Calls) welcome(source netip.AddrPort, _ string) bool {
	a := source.Addr().Unmap()
	return c.allowed(a) || c.peers.has(a)
}

// allowed reports whether the settings let an address call us.
func (c *Calls) allowed(a netip.Addr) bool {
	return slices.ContainsFunc(c.cfg.IncomingAllow, func(p netip.Prefix) bool { return p.Contains(a) })
}

// maxArrivals is how many INVITEs may wait for Run. More are told to come again.
const maxArrivals = 64

// arrival is an INVITE that may begin a call.
type arrival struct {
	request *dialog.Request
	origin  line.Origin
}

// incoming takes a request from outside. It does not block. Strangers get no answer: an answer would tell scanners that a SIP server is here.
func (c *Calls) incoming(r *dialog.Request, o line.Origin) {
	source := o.Source.Addr().Unmap()
	k := c.callOf(r)
	switch {
	case k != nil && (k.record.knows(source) || c.allowed(source)):
		if !k.post(func(now time.Time) { k.request(now, r, o) }) && r.Method != "ACK" {
			// Without an answer the line says 100 to an INVITE, and the peer would wait for ever.
			c.respond(r, 500, dialog.Field{Name: "Retry-After", Value: busyFor})
		}
	case k != nil:
		// The tags are right, but the address is not: somebody may have read the tags on the way.
		tell := k.log.Warn
		if k.forged.Swap(true) { // once a call: there may be many
			tell = k.log.Debug
		}
		tell("request within a call ignored: it comes from an address that has no part in the call", "method", r.Method)
		c.line.Ignore(r)
	case r.Key().LocalTag == "" && r.Method == "INVITE":
		select {
		case c.arrivals <- arrival{r, o}:
		default:
			c.noRoom(r, o)
		}
	case r.Method == "ACK":
	case !c.welcome(o.Source, o.Transport):
		c.line.Ignore(r)
	case r.Method == "OPTIONS" && r.Key().LocalTag == "":
		c.respond(r, 200) // some peers take a server for dead that does not answer
	default:
		c.respond(r, 481)
	}
}

// noRoom tells a caller to try again later. A stranger, whom the line has let in because of a call that is over, gets no answer.
func (c *Calls) noRoom(r *dialog.Request, o line.Origin) {
	if !c.welcome(o.Source, o.Transport) {
		c.line.Ignore(r)
		return
	}
	c.respond(r, 503, dialog.Field{Name: "Retry-After", Value: retryAfter})
}

// respond answers a request for which there is no dialog.
func (c *Calls) respond(r *dialog.Request, code int, fields ...dialog.Field) {
	fields = append(fields, dialog.Field{Name: "Server", Value: c.cfg.UserAgent})
	c.line.Reply(r, dialog.Respond(r, code, random(), fields...))
}

// callOf returns the call that a request belongs to, nil if there is none. A CANCEL has no tag of ours: it belongs to the call of the
// INVITE.
func (c *Calls) callOf(r *dialog.Request) *call {
	if r.Method != "CANCEL" {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.byKey[r.Key()]
	}
	invite := c.line.Cancelled(r)
	return c.which(func(k *call) bool { return k.invite != nil && k.invite == invite })
}

// which returns the call that match accepts, nil if there is none.
func (c *Calls) which(match func(*call) bool) *call {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, k := range c.byKey {
		if match(k) {
			return k
		}
	}
	return nil
}

// request takes a request of the peer that belongs to the call, on the goroutine of the call.
func (k *call) request(now time.Time, r *dialog.Request, o line.Origin) {
	if k.dialog != nil && k.dialog.Request(now, r) {
		k.hear(o)
		return
	}
	if r.Method != "ACK" {
		k.calls.respond(r, 481)
	}
}

// invited takes an INVITE that begins a call, on the goroutine of Run.
func (c *Calls) invited(ctx context.Context, a arrival) {
	r, source := a.request, a.origin.Source.Addr().Unmap()
	c.mu.Lock()
	g := c.contacts[userOf(r.URI)]
	c.mu.Unlock()
	if g != nil && !g.serves(source) && !c.allowed(source) {
		g = nil
	}
	switch {
	case g != nil || c.allowed(source):
	case c.peers.has(source):
		c.log.Info("incoming call refused: it is for no registration of ours", "peer", source)
		c.respond(r, 404)
		return
	default:
		c.line.Ignore(r)
		return
	}
	err := c.take(ctx, a, g)
	if err == nil {
		return
	}
	c.turnedAway(err)
	c.log.Info("incoming call refused", "peer", source, "err", err)
	switch {
	case errors.Is(err, errNoRoute):
		c.respond(r, 404)
	case errors.Is(err, errMerged):
		c.respond(r, 482)
	case errors.Is(err, stream.ErrNameInUse):
		c.respond(r, 486)
	case errors.Is(err, stream.ErrName):
		c.respond(r, 404)
	default:
		c.respond(r, 503, dialog.Field{Name: "Retry-After", Value: retryAfter})
	}
}

var (
	errNoRoute = errors.New("nobody takes calls to this address")
	errMerged  = errors.New("the same call came another way")
)

// take makes a call of an INVITE. g is the registration that is called, nil if the settings let the caller in.
func (c *Calls) take(ctx context.Context, a arrival, g *registration) error {
	r := a.request
	caller, callee := partyOf(r.Header.Get("From")), partyOf(r.Header.Get("To"))
	var p *Phone
	if g != nil {
		p = g.phone
	}
	wire, tag := r.Header.Get("Call-ID"), dialog.ParseAddress(r.Header.Get("From")).Param("tag")
	again := c.which(func(k *call) bool {
		return k.invite != nil && k.wireID == wire && dialog.ParseAddress(k.invite.Header.Get("From")).Param("tag") == tag
	})
	switch {
	case !c.cfg.Enabled, p == nil && c.cfg.IncomingStream == "":
		return errNoRoute
	case again != nil: // RFC 3261, 8.2.2.2
		return errMerged
	}
	k := c.newCall(c.incomingID(wire))
	k.wireID, k.invite, k.registration, k.phone = wire, r, g, p
	k.ways.heard = a.origin
	k.wants = wants{audio: true, video: c.cfg.Video, sendVideo: p != nil}
	if g != nil {
		k.account.Domain = g.account.Domain
	}
	k.record.info = Info{
		CallID: k.id, Incoming: true, Status: dialog.Pending, Caller: caller.beside(k.account.Domain), Callee: callee.user,
		Visible: caller.name, Audio: k.wants.audio, Video: k.wants.video, Started: time.Now(),
	}
	if p != nil {
		return c.startAtPage(ctx, k, p.page)
	}
	name := strings.NewReplacer("{user}", inName(callee.user), "{caller}", inName(caller.user)).Replace(c.cfg.IncomingStream)
	k.record.info.StreamName = name
	return c.start(ctx, k, Request{})
}

// inName returns what a phone says as part of a stream's name. The name becomes part of URLs and of pages, where a phone could add a
// parameter, or lead elsewhere by "../". Letters and digits stay, and what numbers and addresses are written with.
func inName(user string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("-_.+*#@~!$'()", r) {
			return r
		}
		return '_'
	}, user)
}

// incomingID returns the id of an incoming call: the Call-ID, if it can be one and is free.
func (c *Calls) incomingID(wire string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if unusableID(wire) == "" && isWord(wire) && c.byID(wire) == nil {
		return wire
	}
	return random() + random()
}

// receive takes the INVITE of an incoming call.
func (k *call) receive(children context.Context, now time.Time) {
	k.meet(k.ways.heard.Source.Addr())
	back := k.calls.line.Back(k.ways.heard)
	k.ways.first = back
	switch err := k.open(children, back); {
	case errors.Is(err, ErrPolicy):
		k.calls.respond(k.invite, 488)
		k.end(now, ending{dialog.ReasonPolicy, err.Error()})
		return
	case err != nil:
		k.calls.respond(k.invite, 503, dialog.Field{Name: "Retry-After", Value: retryAfter})
		k.end(now, ending{dialog.ReasonTransport, err.Error()})
		return
	}
	k.ways.release = k.calls.line.Keep(back, nil)
	k.dialog = dialog.Receive(now, k.dialogConfig(back), k.invite)
}
