package transponder

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"transponder/internal/destination"
	"transponder/internal/media"
	"transponder/internal/rtmp"
	"transponder/internal/stream"
)

// CheckStep is a step of a check. The list is closed.
type CheckStep string

// The steps, in their order. A redirect begins again with the first.
const (
	StepName      CheckStep = "name"      // the host is resolved
	StepPolicy    CheckStep = "policy"    // the rules of this server
	StepAddress   CheckStep = "address"   // TCP, once for each address of the host
	StepTLS       CheckStep = "tls"       // TLS, with the certificate
	StepHandshake CheckStep = "handshake" // of RTMP
	StepConnect   CheckStep = "connect"   // the application, and the login
	StepPublish   CheckStep = "publish"   // the name or key
	StepMedia     CheckStep = "media"     // two seconds of a test card
	StepStream    CheckStep = "stream"    // the stream, compared with the rules of the platform
)

// CheckSteps are all steps.
func CheckSteps() []CheckStep {
	return []CheckStep{StepName, StepPolicy, StepAddress, StepTLS, StepHandshake, StepConnect, StepPublish, StepMedia, StepStream}
}

// CheckResult is how a step went. The list is closed.
type CheckResult string

// The results.
const (
	CheckOK      CheckResult = "ok"
	CheckFailed  CheckResult = "failed"
	CheckSkipped CheckResult = "skipped"
)

// Time limits of a check. A healthy server answers each step within a round trip or two.
const (
	checkTimeout = 25 * time.Second // of all steps
	stepTimeout  = 5 * time.Second  // of one step
	loginTimeout = 10 * time.Second // of connect, which takes three connections if the server wants a login

	// CertificateSoon is how long before its end a certificate is worth a word. Authorities renew 30 days before.
	CertificateSoon = 14 * 24 * time.Hour
)

// CheckRequest is what to check. StreamName may be empty, unless Publish is set and an address does not end in the name to publish under.
type CheckRequest struct {
	Request

	Publish bool // publish two seconds of a test card. That may begin a broadcast, or end one that another encoder sends

	// Heard is called with each step as it comes, one call at a time; nil: nobody wants to know. backup is 0 for the address of the request, 1
	// for its first backup address. A check waits for Heard.
	Heard func(backup int, s Checking)
}

// Checked is what a check has found out about an address.
type Checked struct {
	Target   string // the address without secrets
	Platform string // destination.Preset.ID; "": not known
	Steps    []Checking
	Findings []Finding // what about the stream breaks the rules of the platform
	Hidden   bool      // the steps tell about a private network: see ForStrangers
	Backups  []Checked // the same about each backup address of the request
}

// Checking is one step.
type Checking struct {
	Step    CheckStep
	Result  CheckResult
	Took    time.Duration
	Address string // host:port as it is dialled; "": the step is about no address
	Reason  Reason // of a failure
	Detail  string // a sentence for people, without secrets
	Hidden  bool   // not for strangers: see Checked.ForStrangers
}

func failed(s Checking) bool { return s.Result == CheckFailed }

// OK reports whether no step has failed, at any address.
func (c Checked) OK() bool {
	return !slices.ContainsFunc(c.Steps, failed) && !slices.ContainsFunc(c.Backups, func(b Checked) bool { return !b.OK() })
}

// ForStrangers returns what callers may know who must not learn about this server's private networks. They learn whether the address works,
// as they would from a push, and not at which step it fails.
func (c Checked) ForStrangers() Checked {
	c.Backups = slices.Clone(c.Backups)
	for i, b := range c.Backups {
		c.Backups[i] = b.ForStrangers()
	}
	if !c.Hidden {
		return c
	}
	from := slices.IndexFunc(c.Steps, func(s Checking) bool { return s.Step == StepAddress })
	if from < 0 {
		return c
	}
	to := len(c.Steps)
	if c.Steps[to-1].Step == StepStream {
		to--
	}
	reached := Checking{Step: StepAddress, Result: CheckOK, Detail: "The server at this address was reached, and refused nothing."}
	if slices.ContainsFunc(c.Steps[from:to], failed) {
		reached.Result = CheckFailed
		reached.Reason, reached.Detail = forStrangers(ReasonUnreachable, "")
	}
	c.Steps = slices.Concat(c.Steps[:from], []Checking{reached}, c.Steps[to:])
	return c
}

// Check goes to the destination of a request step by step, as a push would, and says of each step how it went. Then it compares the stream, if
// somebody publishes it, with what is known of the platform. It does the same for each backup address, at the same time. It publishes nothing unless
// the request asks for it: some servers let the newest publisher of a key take the place of the one before. It fails with *RequestError if there is
// no address to go to.
func (r *Registry) Check(ctx context.Context, req CheckRequest) (Checked, error) {
	if req.URL == "" {
		return Checked{}, &RequestError{"rtmpUrl", "it is missing"}
	}
	if err := req.Options.Validate(); err != nil {
		return Checked{}, err
	}
	resolved, addresses, err := r.resolve(ctx, req.Request)
	if err != nil {
		return Checked{}, err
	}
	req.Request = resolved
	for _, a := range addresses {
		if req.Publish && req.StreamName == "" && !a.target.SecretName {
			return Checked{}, &RequestError{"streamName", "it is missing: the name to publish under is made of it"}
		}
	}
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	var telling sync.Mutex
	all, errs := make([]Checked, len(addresses)), make([]error, len(addresses))
	var wg sync.WaitGroup
	for i, a := range addresses {
		heard := func(s Checking) {
			if req.Heard != nil {
				telling.Lock()
				defer telling.Unlock()
				req.Heard(i, s)
			}
		}
		wg.Go(func() {
			errs[i] = r.panics.Run(r.log, "check panicked", func() error {
				all[i] = r.checkAddress(ctx, req, a.target, heard)
				return nil
			})
		})
	}
	wg.Wait()
	if err := causeOr(ctx, errors.Join(errs...)); err != nil {
		return Checked{}, err
	}
	checked := all[0]
	checked.Backups = all[1:]
	return checked, nil
}

// checkAddress checks one address of a request.
func (r *Registry) checkAddress(ctx context.Context, req CheckRequest, target pushTarget, heard func(Checking)) Checked {
	src, found := r.parts.Hub.Source(req.StreamName)
	if !found {
		src = r.parts.Hub.Absent(req.StreamName)
	}
	cfg := pushConfig{
		cfg: r.cfg, req: req.Request, target: target, src: src, parts: r.parts, panics: &r.panics, log: r.log.With("stream", req.StreamName, "target", target),
	}
	c := &check{dialer: newDialer(cfg, func() *stream.Source { return src }), req: req, busy: r.goesTo(target), heard: heard}
	c.goTo(ctx, target)
	platform := target.platform()
	c.compare(platform, src, found)
	c.checked.Target, c.checked.Platform = target.String(), platform.ID
	c.log.Info("destination checked", "ok", c.checked.OK())
	return c.checked
}

// goesTo reports whether a push of this server goes to a target now.
func (r *Registry) goesTo(t pushTarget) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.ContainsFunc(r.pushes, func(e *entry) bool {
		return !e.machine.now().State.final() && slices.ContainsFunc(e.addresses, func(a *address) bool { return a.target.key() == t.key() })
	})
}

// check is a check that runs. It belongs to one goroutine.
type check struct {
	*dialer
	req     CheckRequest
	busy    bool           // a push of this server goes there now
	heard   func(Checking) // gets each step
	checked Checked
}

// add adds a step.
func (c *check) add(s Checking) {
	s.Hidden = c.checked.Hidden && s.Step != StepStream
	c.checked.Steps = append(c.checked.Steps, s)
	c.heard(s)
}

// note adds a step that began at a time. err is why it failed; otherwise words say how it went.
func (c *check) note(step CheckStep, begun time.Time, at netip.AddrPort, err error, words string) {
	c.add(c.outcome(step, begun, at, err, words))
}

// outcome is note for a step that is not yet added.
func (c *check) outcome(step CheckStep, begun time.Time, at netip.AddrPort, err error, words string) Checking {
	s := Checking{Step: step, Result: CheckOK, Took: time.Since(begun), Detail: words}
	if at.IsValid() {
		s.Address = at.String()
	}
	if err != nil {
		s.Result = CheckFailed
		s.Reason, s.Detail = explain(err)
		if words != "" {
			s.Detail += " " + words
		}
		c.log.Info("check failed", "step", string(step), "peer", at, "err", printable(err))
	}
	return s
}

func (c *check) skip(step CheckStep, words string) {
	c.add(Checking{Step: step, Result: CheckSkipped, Detail: words})
}

// goTo takes the steps to a target, and from there to where servers send us on.
func (c *check) goTo(ctx context.Context, target pushTarget) {
	for hops := 0; ; hops++ {
		conn, ok := c.reach(ctx, target)
		if !ok {
			return
		}
		next, again := c.ask(ctx, conn, hops)
		if !again {
			return
		}
		target = next
	}
}

// reach goes from the name to the RTMP handshake.
func (c *check) reach(ctx context.Context, target pushTarget) (connection, bool) {
	addrs, ok := c.find(ctx, target)
	if !ok {
		return connection{}, false
	}
	conn, addr, ok := c.dialAll(ctx, addrs)
	if !ok {
		return connection{}, false
	}
	begun := time.Now()
	tlsCtx, cancel := context.WithTimeout(ctx, stepTimeout)
	secured, err := c.secure(tlsCtx, target, conn)
	cancel()
	if !target.TLS {
		c.skip(StepTLS, "The address begins with rtmp://, so there is no TLS: whoever sees the traffic can read the stream key.")
	} else if c.note(StepTLS, begun, addr, err, c.certificate(secured, err)); err != nil {
		return connection{}, false
	}
	begun = time.Now()
	at := connection{target: target, addr: addr, conn: secured, stage: atHandshake}
	at.client, at.out = c.client(target, secured, "")
	greetCtx, cancel := context.WithTimeout(ctx, stepTimeout)
	err = interruptible(greetCtx, secured, at.client.Handshake)
	cancel()
	c.note(StepHandshake, begun, addr, err, phrase(err == nil, "The server speaks RTMP."))
	if err != nil {
		secured.Close()
		return connection{}, false
	}
	return at, true
}

// phrase returns words if they are true.
func phrase(is bool, words string) string {
	if is {
		return words
	}
	return ""
}

// find resolves the host, and asks the rules of this server.
func (c *check) find(ctx context.Context, target pushTarget) ([]netip.AddrPort, bool) {
	begun := time.Now()
	port, err := target.port()
	if err != nil {
		c.note(StepName, begun, netip.AddrPort{}, err, "")
		return nil, false
	}
	addrs, err := c.cfg.resolve(ctx, target.Host)
	if _, literal := netip.ParseAddr(target.Host); literal == nil {
		c.skip(StepName, "The address has no name to resolve.")
	} else if c.note(StepName, begun, netip.AddrPort{}, err, phrase(err == nil, "The server's name was resolved.")); err != nil {
		return nil, false
	}
	begun = time.Now()
	if addrs, err = target.Policy.allowed(target.Host, port, addrs); err == nil && len(addrs) == 0 {
		err = errNoAddress
	}
	c.note(StepPolicy, begun, netip.AddrPort{}, err, phrase(err == nil, "This server may push there."))
	if err != nil {
		return nil, false
	}
	if slices.ContainsFunc(addrs, isInside) {
		c.checked.Hidden = true
	}
	all := c.order(port, addrs)
	if len(all) == 0 {
		c.note(StepAddress, begun, netip.AddrPort{}, errNoAddress, "The setting rtmp_publisher_ip names an address of the other family.")
	}
	return all, len(all) > 0
}

// dialAll connects to each address, and returns the connection to the first that accepts.
func (c *check) dialAll(ctx context.Context, addrs []netip.AddrPort) (first net.Conn, at netip.AddrPort, ok bool) {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	type tried struct {
		conn net.Conn
		err  error
		took time.Duration
	}
	all := make([]tried, len(addrs))
	begun := time.Now()
	var wg sync.WaitGroup
	for i, a := range addrs {
		wg.Go(func() {
			conn, err := c.dialTCP(ctx, a)
			all[i] = tried{conn, err, time.Since(begun)}
		})
	}
	wg.Wait()
	for i, t := range all {
		switch {
		case t.err != nil:
		case first == nil:
			first, at = t.conn, addrs[i]
		default:
			t.conn.Close()
		}
	}
	for i, t := range all {
		s := c.outcome(StepAddress, begun, addrs[i], t.err, phrase(t.err == nil, "The server accepts connections here."))
		s.Took = t.took
		if first != nil && failed(s) {
			s.Result, s.Detail = CheckSkipped, s.Detail+" A push passes this address over, since another one works."
		}
		c.add(s)
	}
	return first, at, first != nil
}

// certificate describes the TLS connection, or the certificate that was refused.
func (c *check) certificate(conn net.Conn, err error) string {
	var refused *tls.CertificateVerificationError
	switch secured, ok := conn.(*securedConn); {
	case err == nil && ok:
		state := secured.ConnectionState()
		words := tls.VersionName(state.Version) + "."
		if len(state.PeerCertificates) == 0 {
			return words
		}
		cert := state.PeerCertificates[0]
		words += fmt.Sprintf(" The certificate is for %s and ends on %s.", names(cert.DNSNames, cert.IPAddresses), cert.NotAfter.UTC().Format(time.DateOnly))
		if time.Until(cert.NotAfter) < CertificateSoon {
			words += " That is soon, so the owner of the server has to renew it."
		}
		if c.cfg.SkipTLSVerify {
			words += " It was not verified, as the settings want it."
		}
		return words
	case errors.As(err, &refused) && len(refused.UnverifiedCertificates) > 0:
		cert := refused.UnverifiedCertificates[0]
		return fmt.Sprintf("The certificate is for %s, from %s to %s.", names(cert.DNSNames, cert.IPAddresses),
			cert.NotBefore.UTC().Format(time.DateOnly), cert.NotAfter.UTC().Format(time.DateOnly))
	}
	if reason, _ := explain(err); reason == ReasonTimeout {
		return "A server without TLS stays silent, too: is rtmps:// right for this address?"
	}
	return ""
}

// maxNames is how many names of a certificate are shown: some certificates have hundreds.
const maxNames = 3

func names(dns []string, ips []net.IP) string {
	all := slices.Clone(dns)
	for _, ip := range ips {
		all = append(all, ip.String())
	}
	switch {
	case len(all) == 0:
		return "no name"
	case len(all) > maxNames:
		return strings.Join(all[:maxNames], ", ") + fmt.Sprintf(" and %d more names", len(all)-maxNames)
	}
	return strings.Join(all, ", ")
}

// ask goes on from the RTMP handshake. again is true if the server sends us on to next.
func (c *check) ask(ctx context.Context, at connection, hops int) (next pushTarget, again bool) {
	begun := time.Now()
	asking, cancel := context.WithTimeout(ctx, loginTimeout)
	at = c.connectAt(asking, at)
	cancel()
	var asked *rtmp.ReconnectError
	if errors.As(at.err, &asked) {
		next, err := redirected(at.target, at.addr, asked.TCURL)
		if err == nil && hops == maxHops {
			err = errHops
		}
		c.note(StepConnect, begun, at.addr, err, phrase(err == nil, "The server sends the push on to "+next.String()+"."))
		return next, err == nil
	}
	words := phrase(at.err == nil, "The server accepts the application in the address.")
	if reason, _ := explain(at.err); at.err != nil && reason == ReasonPeerClosed {
		words = "It was asked for the application in the address: some servers, such as nginx, hang up if they do not know it."
	}
	c.note(StepConnect, begun, at.addr, at.err, words)
	if at.err != nil {
		return pushTarget{}, false
	}
	defer at.conn.Close()
	switch {
	case c.busy:
		c.skip(StepPublish, "Not tried, because a push of this server goes to this address now: a second publisher could end it.")
	case !c.req.Publish:
		c.skip(StepPublish, "Not tried, so the name or key may be wrong. Publishing may begin a broadcast, or end one that another encoder sends with the same key.")
	default:
		c.publish(ctx, at)
	}
	return pushTarget{}, false
}

// publish asks to publish, sends a test card and says goodbye.
func (c *check) publish(ctx context.Context, at connection) {
	begun := time.Now()
	asking, cancel := context.WithTimeout(ctx, stepTimeout)
	err := interruptible(asking, at.conn, at.client.Publish)
	cancel()
	c.note(StepPublish, begun, at.addr, err, phrase(err == nil, "The server accepts the name or key."))
	if err != nil {
		return
	}
	begun = time.Now()
	if err = c.sendCard(ctx, at); errors.Is(err, errNoCard) {
		c.skip(StepMedia, "This server cannot make a test card, because it was built without codecs.")
		return
	}
	c.note(StepMedia, begun, at.addr, err, phrase(err == nil, fmt.Sprintf("The server took %.0f seconds of a test card.", cardFor.Seconds())))
}

// compare compares the stream with the rules of the platform.
func (c *check) compare(platform destination.Preset, src *stream.Source, found bool) {
	switch {
	case c.req.StreamName == "":
		c.skip(StepStream, "The request names no stream.")
		return
	case !found || !src.IsLive():
		c.skip(StepStream, "Nobody publishes the stream on this server now, so it cannot be compared with what the platform takes.")
		return
	}
	begun := time.Now()
	c.checked.Findings = compare(platform, c.shape(src))
	if n := len(c.checked.Findings); n > 0 {
		texts := make([]string, n)
		for i, f := range c.checked.Findings {
			texts[i] = f.Detail
		}
		s := c.outcome(StepStream, begun, netip.AddrPort{}, nil, strings.Join(texts, " "))
		s.Result = CheckFailed
		c.add(s)
		return
	}
	words := "Nothing is known of the rules of this server. The stream breaks none that hold everywhere."
	if platform.Name != "" {
		words = "The stream keeps the rules of " + platform.Name + "."
	}
	c.note(StepStream, begun, netip.AddrPort{}, nil, words)
}

// shape returns what a push of the request would send of a stream.
func (c *check) shape(src *stream.Source) shape {
	s := c.soundShape(src, c.req.Options)
	own := src.Video.Stats()
	s.video, s.fps, s.keyInterval, s.videoBPS = own.Track, own.FrameRate, own.KeyInterval, own.RateBPS
	if c.req.transcodes() || own.Track != nil && own.Track.Codec != media.H264 && !c.req.Options.passes(own.Track.Codec) {
		s.videoBPS, s.keyInterval, s.video = int64(c.req.Options.RateBPS), 0, nil // this server makes the pictures
	}
	return s
}
