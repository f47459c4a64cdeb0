package line

import (
	"fmt"
	"slices"
	"time"

	"transponder/internal/sip/dialog"
)

const (
	// nextAfter is how many T1 an address has for any response, if there is another address to try: 4 s.
	nextAfter = 8
	// ringTime is how long an INVITE of ours waits after a 1xx, and how long an INVITE of a peer waits for a final response of ours. The owner
	// ends both long before.
	ringTime = 30 * time.Minute
	// lateness is how many times 64 T1 we still take a 2xx to an INVITE after a final response or after our CANCEL. RFC 6026 says one. A phone
	// that was slow, or sits behind a slow proxy, must not stay off the hook.
	lateness = 2
)

// clientState is how far a request of ours is.
type clientState int

const (
	waiting    clientState = iota // for any response
	proceeding                    // a 1xx came
	accepted                      // a 2xx to an INVITE came: the owner gets repetitions of the 2xx, too, and acknowledges them (RFC 6026)
	completed                     // another final response came: nobody gets its repetitions
	abandoned                     // we gave up waiting: only a 2xx to an INVITE still matters, because a phone is off the hook
)

var clientMoves = map[clientState][]clientState{
	waiting:    {proceeding, accepted, completed, abandoned},
	proceeding: {accepted, completed, abandoned},
	completed:  {accepted}, // a proxy may pass on a 2xx that came too late for its own answer
	abandoned:  {accepted, completed},
}

// client is a transaction of a request of ours. The goroutine of the Line owns it.
type client struct {
	request *dialog.Request
	path    Path
	owner   Owner
	via     string

	state   clientState
	key     clientKey
	data    []byte
	started time.Time
	pause   time.Duration // before the next repetition
	made    bool          // a connection was made for it
	again   bool          // it was sent again because an old connection broke

	repeat, end timer
}

func (c *client) isInvite() bool { return c.request.Method == "INVITE" }

// isFrom reports whether a response comes the way that the request went. Over UDP another port or address may answer: the branch is secret
// enough. Over TCP the server may have to make a connection of its own. Over TLS only our connection is proved.
func (c *client) isFrom(o Origin) bool {
	switch {
	case o.Transport != c.path.Transport:
		return false
	case o.Transport == "udp":
		return true
	case o.Transport == "tcp":
		return o.Source.Addr() == c.path.Remote.Addr()
	}
	return o == c.path.route().origin()
}

func (c *client) to(s clientState) bool {
	if !slices.Contains(clientMoves[c.state], s) {
		return false
	}
	c.state = s
	return true
}

// start sends a request for the first time.
func (t *transactions) start(now time.Time, c *client) {
	v, err := parseVia(c.via)
	if err == nil {
		c.data, err = writeRequest(c.request, c.via)
	}
	if err != nil {
		t.counts.unsent.Add(1)
		c.owner.Unsent(c.request, err)
		return
	}
	c.key, c.started = clientKey{v.branch, c.request.Method}, now
	c.repeat.fire = func(now time.Time) { c.resend(now, t) }
	c.end.fire = func(now time.Time) { c.timeout(now, t) }
	t.clients[c.key] = c
	if c.isInvite() {
		t.invites[inviteKeyOf(c.request)] = c
	}
	t.count()
	t.gate.know(now, c.path.Remote.Addr())
	wait := t.timers.timeout()
	if len(c.path.more) > 0 {
		wait = nextAfter * t.timers.T1
	}
	t.schedule.set(&c.end, now.Add(wait))
	if c.path.Transport == "udp" {
		c.pause = t.timers.T1
		t.schedule.set(&c.repeat, now.Add(c.pause))
	}
	c.made, err = t.wire.carry(c.path.route(), c.data, true)
	if err != nil {
		t.counts.unsent.Add(1)
		c.fail(now, t, err)
	}
}

func (t *transactions) remove(c *client) {
	t.schedule.set(&c.repeat, time.Time{})
	t.schedule.set(&c.end, time.Time{})
	delete(t.clients, c.key)
	if key := inviteKeyOf(c.request); t.invites[key] == c {
		delete(t.invites, key)
	}
	t.count()
}

// resend repeats a request over UDP: timers A and E.
func (c *client) resend(now time.Time, t *transactions) {
	t.counts.repeated.Add(1)
	if _, err := t.wire.carry(c.path.route(), c.data, false); err != nil {
		t.counts.unsent.Add(1)
	}
	c.pause *= 2
	if !c.isInvite() {
		c.pause = min(c.pause, t.timers.T2)
	}
	if next := now.Add(c.pause); next.Before(c.started.Add(t.timers.timeout())) {
		t.schedule.set(&c.repeat, next)
	}
}

// timeout ends the wait for a response, or the time in which repetitions may come. The owner is not told: package dialog has timers of its own.
func (c *client) timeout(now time.Time, t *transactions) {
	switch {
	case c.state == waiting && len(c.path.more) > 0:
		c.tryNext(now, t)
	case c.isInvite() && c.to(abandoned):
		t.schedule.set(&c.repeat, time.Time{})
		t.schedule.set(&c.end, now.Add(t.timers.timeout()))
	default:
		t.remove(c)
	}
}

// receive takes a response to the request.
func (c *client) receive(now time.Time, t *transactions, m *message, from Origin) {
	r := m.response
	first := c.state == waiting || c.state == proceeding
	switch {
	case r.Code < 200:
		if !first {
			return
		}
		c.progress(now, t)
	case c.isInvite() && r.Code < 300:
		t.schedule.set(&c.repeat, time.Time{})
		if c.to(accepted) {
			t.schedule.set(&c.end, now.Add(lateness*t.timers.timeout()))
		}
	default:
		if c.isInvite() {
			c.acknowledge(t, m)
		}
		if c.to(completed) {
			c.finish(now, t)
		}
		if !first {
			return
		}
		if r.Code == 503 && len(c.path.more) > 0 {
			c.tryNext(now, t)
			return
		}
	}
	c.owner.Response(r, from)
}

// progress takes a 1xx.
func (c *client) progress(now time.Time, t *transactions) {
	c.to(proceeding)
	if c.isInvite() {
		t.schedule.set(&c.repeat, time.Time{})
		t.schedule.set(&c.end, now.Add(ringTime))
		return
	}
	c.pause = t.timers.T2
	t.schedule.set(&c.end, c.started.Add(t.timers.timeout()))
}

// finish waits for repetitions of the final response: timers D and K.
func (c *client) finish(now time.Time, t *transactions) {
	t.schedule.set(&c.repeat, time.Time{})
	switch {
	case c.isInvite():
		t.schedule.set(&c.end, now.Add(lateness*t.timers.timeout()))
	case c.path.Transport == "udp":
		t.schedule.set(&c.end, now.Add(t.timers.T4))
	default:
		t.remove(c)
	}
}

// acknowledge sends the ACK of a final response other than 2xx, for each repetition again.
func (c *client) acknowledge(t *transactions, m *message) {
	ack, err := writeACK(c.request, c.via, m.seq, m.header().Get("To"))
	if err == nil {
		_, err = t.wire.carry(c.path.route(), ack, true)
	}
	if err != nil {
		t.counts.unsent.Add(1)
	}
}

// lost takes the end of the connection that the request went over. If the connection was not made for this request, the peer may have closed it
// just before: the request is sent once more. After a 1xx the peer has the request, and may answer over another connection.
func (c *client) lost(now time.Time, t *transactions, err error) {
	if c.state != waiting {
		return
	}
	if c.made || c.again {
		c.fail(now, t, err)
		return
	}
	c.again = true
	if c.made, err = t.wire.carry(c.path.route(), c.data, true); err != nil {
		t.counts.unsent.Add(1)
		c.fail(now, t, err)
	}
}

// fail takes a request that did not leave.
func (c *client) fail(now time.Time, t *transactions, err error) {
	t.remove(c)
	if len(c.path.more) > 0 {
		t.startNext(now, c)
		return
	}
	c.owner.Unsent(c.request, fmt.Errorf("send %s to %s over %s: %w", c.request.Method, c.path.Remote, c.path.Transport, err))
}

// tryNext gives up an address that was silent, or answered 503. A late 2xx of an INVITE is still taken.
func (c *client) tryNext(now time.Time, t *transactions) {
	switch {
	case !c.isInvite():
		t.remove(c)
	case c.to(abandoned):
		t.schedule.set(&c.repeat, time.Time{})
		t.schedule.set(&c.end, now.Add(t.timers.timeout()))
	}
	t.startNext(now, c)
}

// startNext sends the request of c to the next address, as a transaction of its own (RFC 3263, 4.3).
func (t *transactions) startNext(now time.Time, c *client) {
	path := c.path.next()
	c.path.more = nil
	t.start(now, &client{request: c.request, path: path, owner: c.owner, via: t.newVia(path)})
}
