package sip

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"transponder/internal/load"
	"transponder/internal/sip/dialog"
	"transponder/internal/sip/line"
	"transponder/internal/stream"
	"transponder/internal/transponder"
)

// maxCallID is the longest id of a call that is also used as Call-ID of the messages.
const maxCallID = 128

// Start reserves the id, the stream and the push address of a call, starts the push if the request asks for one, and begins the call. It does
// not wait for the phone: Find tells how the call goes. If Start fails, nothing is left behind.
//
// It fails with ErrOff, *RequestError, ErrPolicy, ErrTooMany, ErrCallID, ErrPushed or ErrStopping, or as Hub.Publish and Pushes.Start do.
func (c *Calls) Start(ctx context.Context, r Request) error {
	k, err := c.plan(r)
	if err != nil {
		c.turnedAway(err)
		return err
	}
	if err := c.start(ctx, k, r); err != nil {
		c.turnedAway(err)
		return err
	}
	return nil
}

// plan checks a request, and makes the call that it asks for.
func (c *Calls) plan(r Request) (*call, error) {
	if !c.cfg.Enabled {
		return nil, ErrOff
	}
	if problem := unusableID(r.CallID); problem != "" {
		return nil, &RequestError{"callId", problem}
	}
	w := wants{audio: r.Audio, video: r.Video && c.cfg.Video, pushed: r.RTMPURL != ""}
	if !w.audio && !w.video {
		return nil, &RequestError{"hasAudio, hasVideo", "a call needs sound or pictures"}
	}
	if r.RTMPURL == "" && (r.RTMPStream != "" || r.Picture != "") {
		return nil, &RequestError{"rtmpUrl", "it is missing, and rtmpStream and picture belong to the push to it"}
	}
	account := c.cfg.complete(r.Account)
	account.public = !mayReachInside(r.By)
	way, err := c.plannedRoute(account, r.Callee, r.VisibleName)
	if err != nil {
		return nil, err
	}
	k := c.newCall(r.CallID)
	k.route, k.wants, k.account = way, w, account
	if r.RTMPURL != "" {
		k.pair = r.RTMPURL + "\x00" + pushedName(r, way.callee)
	}
	k.record.info = Info{
		CallID: r.CallID, Status: dialog.Pending, Caller: account.Login, Callee: r.Callee, Visible: r.VisibleName,
		StreamName: r.PublishedName(), RTMPURL: r.RTMPURL, RTMPStream: r.RTMPStream, AppKey: r.AppKey, Custom: r.Custom, Owner: r.Owner,
		Audio: w.audio, Video: w.video, Started: time.Now(),
	}
	return k, nil
}

// plannedRoute says where a call goes, if the settings allow the callee.
func (c *Calls) plannedRoute(a Account, callee, visibleName string) (route, error) {
	way, err := routeTo(a, callee, visibleName)
	if err != nil {
		return way, err
	}
	way.public = a.public
	if c.cfg.SRTP == SRTPRequired && way.transport != "tls" && !c.cfg.SRTPWithoutTLS {
		return way, &RequestError{"sipTransport", "the settings demand SRTP, whose keys go over TLS only"}
	}
	if err := c.policy.callee(way.callee); err != nil {
		c.log.Warn("call refused", "err", err)
		return way, err
	}
	if ip, err := netip.ParseAddr(hostOf(way.hop)); err == nil { // a name is judged when its addresses are known
		err := c.policy.host(ip.String(), netip.AddrPortFrom(ip, hopPort(way)))
		if err == nil {
			err = c.inside(way, ip)
		}
		if err != nil {
			c.log.Warn("call refused", "err", err)
			return way, err
		}
	}
	return way, nil
}

// hopPort returns the port of the server that gets the first request, or the usual port if the URI names none.
func hopPort(way route) uint16 {
	if _, port, problem := splitHostPort(strings.TrimPrefix(strings.TrimPrefix(way.hop, "sips:"), "sip:")); problem == "" && port != 0 {
		return uint16(port)
	}
	if way.transport == "tls" {
		return 5061
	}
	return 5060
}

// newCall makes a call. reserve finds out whether the id is free.
func (c *Calls) newCall(id string) *call {
	wire := id
	if !isWord(id) {
		wire = random() + random()
	}
	k := &call{
		calls: c, id: id, wireID: wire, tag: random(), log: c.log.With("call", id),
		inbox: make(chan func(time.Time), inboxSize), prepared: make(chan prepared, 1), ends: make(chan ending, 1),
		kill: func(error) {}, done: make(chan struct{}), quiet: make(chan struct{}), gone: make(chan struct{}),
	}
	k.ways = ways{known: map[string]line.Path{}, peers: &c.peers}
	k.record.peers = map[netip.Addr]struct{}{}
	return k
}

// start reserves what k needs, in an order that is undone backwards if a step fails.
func (c *Calls) start(ctx context.Context, k *call, r Request) (err error) {
	var undo []func()
	defer func() {
		for i := len(undo) - 1; err != nil && i >= 0; i-- {
			undo[i]()
		}
	}()
	if err := c.reserve(k); err != nil {
		return err
	}
	undo = append(undo, func() { c.unreserve(k) })
	info := k.record.info
	steps := c.parts.Tracer.Steps(ctx, "call", "answer")
	steps.Set("transponder.door", "sip")
	steps.Set("transponder.stream", info.StreamName)
	steps.Set("transponder.session", info.CallID)
	defer func() {
		if err != nil {
			steps.End(err)
		}
	}()
	k.log = steps.Log(k.log)
	if k.source, err = c.parts.Hub.Publish(stream.Info{
		Name: info.StreamName, Title: title(info, k.route.callee), ID: info.CallID, SessionID: info.CallID, AppKey: info.AppKey,
		Provider: "SIP", Transport: "UDP", Publisher: stream.Publisher{Identity: info.Owner},
		HasVideo: k.wants.video, HasAudio: k.wants.audio, AskKeyFrame: k.record.askKeyFrame, Steps: steps,
	}); errors.Is(err, stream.ErrIDInUse) {
		return fmt.Errorf("%w: a stream has it", ErrCallID)
	} else if err != nil {
		return err
	}
	undo = append(undo, func() { k.source.Close(err) })
	if r.RTMPURL != "" {
		push, err := c.parts.Pushes.Start(ctx, pushOf(info, r, k.route.callee))
		if err != nil {
			return ownMember(err)
		}
		k.push = push.ID
		undo = append(undo, func() { c.endPush(ctx, push.ID) })
	}
	if r.By != nil && c.parts.Hold != nil {
		k.lease = c.parts.Hold(r.By)
		undo = append(undo, k.lease.Release)
	}
	return c.enter(ctx, k)
}

// reserve keeps the id and the address of a call, and a place among MaxCalls.
func (c *Calls) reserve(k *call) error {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.stopping, k.phone != nil && k.phone.closed:
		return ErrStopping
	case c.byID(k.id) != nil:
		return ErrCallID
	case k.pair != "" && c.pushed[k.pair] != nil:
		return ErrPushed
	case len(c.live) >= c.cfg.MaxCalls:
		return fmt.Errorf("%w: sip_max_calls allows %d at a time", ErrTooMany, c.cfg.MaxCalls)
	case k.invite == nil && !c.rate.take(now, k.route.callee.identity()):
		return fmt.Errorf("%w: sip_startup_rate allows %d a minute, and %d of them may go to one callee", ErrTooMany, c.cfg.CallsPerMinute, perCallee)
	}
	c.live = append(c.live, k)
	if k.pair != "" {
		c.pushed[k.pair] = k
	}
	return nil
}

// unreserve gives back what reserve kept, and wakes everybody who waits for the call.
func (c *Calls) unreserve(k *call) {
	c.mu.Lock()
	c.remove(k)
	c.mu.Unlock()
	close(k.done)
	close(k.quiet)
	close(k.gone)
}

// enter starts the goroutine of a call that has everything, unless the server is stopping.
func (c *Calls) enter(ctx context.Context, k *call) error {
	if err := c.begin(context.WithoutCancel(ctx), k); err != nil {
		return err
	}
	if k.invite != nil {
		c.totals.in.Add(1)
	} else {
		c.totals.out.Add(1)
	}
	i := k.record.snapshot()
	k.log.Info("call started", "incoming", i.Incoming, "domain", cmp.Or(k.account.Domain, k.route.callee.host), "stream", i.StreamName)
	k.log.Debug("call started", "caller", i.Caller, "callee", i.Callee)
	return nil
}

func (c *Calls) begin(ctx context.Context, k *call) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopping {
		return ErrStopping
	}
	if k.account.Register && k.registration == nil {
		k.registration, k.joined = c.join(ctx, k.account), true
	}
	switch {
	case c.isElsewhere(k):
	case k.registration != nil:
		k.credentials = k.registration.credentials
		if k.invite != nil {
			k.credentials = line.Confined(k.credentials)
		}
	default:
		k.credentials = credentialsOf(k.account)
	}
	ctx, k.kill = context.WithCancelCause(ctx)
	c.byKey[dialog.Key{CallID: k.wireID, LocalTag: k.tag}] = k
	k.entered = true
	c.wg.Go(func() { k.run(ctx) })
	return nil
}

// isElsewhere reports whether a call of the server's own account leaves the domain of the account. Such a call gets no credentials: a client
// could let a server of its own ask for them, and then try passwords on the answer at leisure.
func (c *Calls) isElsewhere(k *call) bool {
	return k.account.Login == c.cfg.Account.Login && k.account.Domain == c.cfg.Account.Domain && k.route.proxy == "" &&
		!strings.EqualFold(k.route.callee.host, k.route.from.host)
}

// credentialsOf returns what answers the challenges to an account, nil without a password.
func credentialsOf(a Account) dialog.Credentials {
	if a.Password == "" {
		return nil
	}
	return line.Credentials(cmp.Or(a.AuthName, a.Login), a.Password)
}

// unusableID says why an id cannot be the id of a call, "" if it can.
func unusableID(id string) string {
	switch {
	case id == "":
		return "it is missing"
	case len(id) > maxText-len("sip-") || !plain(id):
		return "it is too long, or holds a control character"
	}
	return ""
}

// isWord reports whether an id can stand in the field Call-ID (RFC 3261, 25.1: word).
func isWord(id string) bool {
	return len(id) <= maxCallID && strings.Trim(id, alphanumeric+"-.!%*_+`'~()<>:\\\"/[]?{}@") == ""
}

// turnedAway counts a request that became no call.
func (c *Calls) turnedAway(err error) {
	var bad *RequestError
	cause := "other"
	switch {
	case errors.As(err, &bad):
		cause = "request"
	case errors.Is(err, ErrPolicy):
		cause = "policy"
	case errors.Is(err, ErrTooMany), errors.Is(err, load.ErrFull):
		cause = "too_many"
	case errors.Is(err, ErrCallID), errors.Is(err, ErrPushed), errors.Is(err, stream.ErrNameInUse), errors.Is(err, transponder.ErrDuplicate):
		cause = "duplicate"
	}
	c.totals.turned(cause)
}
