package rtmpserver

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"transponder/internal/access"
	"transponder/internal/flv"
	"transponder/internal/hook"
	"transponder/internal/load"
	"transponder/internal/rtmp"
	"transponder/internal/stream"
	"transponder/internal/trace"
)

// errRing refuses a connection from a push of this server to itself that would form a ring: the push would hold the name for its own
// output for ever.
var errRing = errors.New("this server's own push would send this stream on to itself")

// leastWait is the shortest pause of the reading goroutine. Shorter pauses add up until they reach it.
const leastWait = 5 * time.Millisecond

// publish receives a stream until the client ends the stream, another part closes the source, the client loses his rights, or ctx ends. It
// returns rtmp.ErrStreamClosed if the client may ask for another stream.
func (c *session) publish(ctx context.Context, r request) (err error) {
	steps := c.srv.parts.Tracer.Steps(ctx, "publish", "answer")
	defer func() { steps.End(err) }()
	steps.Set("transponder.door", "rtmp")
	steps.Set("transponder.session", c.id)
	defer func(log *slog.Logger) { c.log = log }(c.log)
	c.log = steps.Log(c.log)
	who, err := c.admit(ctx, access.Publish, r)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		return c.turnAway(rtmp.Publish, err)
	}
	leave, err := c.srv.parts.Access.Take(who.who, access.Publish)
	if err != nil {
		return c.turnAway(rtmp.Publish, err)
	}
	defer leave()
	id := stream.NewID()
	told, src, err := c.begin(ctx, &who, id, r, steps)
	var refused *claimError
	switch {
	case errors.As(err, &refused):
		err = refused.Unwrap()
		c.tell(told, hook.StatusFailed, err, nil)
		code := "NetStream.Publish.BadName"
		if errors.Is(err, load.ErrFull) {
			code = "NetStream.Failed"
		}
		return c.refuse(code, err.Error(), err)
	case err != nil:
		return c.turnAway(rtmp.Publish, err)
	}
	c.admitted()
	lease := c.srv.parts.Access.Hold(who.who)
	defer lease.Release()
	c.srv.counters.publishers.Add(1)
	defer c.srv.counters.publishers.Add(-1)

	err = c.safely(func() error { return c.receive(ctx, src, lease, told) })
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	src.Close(publishEnd(err))
	if cause := src.Err(); !errors.Is(cause, errPublisherClosed) {
		c.tellEnd(told, cause) // another part has ended the stream, or we did
	} else {
		c.tellEnd(told, err)
	}
	c.log.Info("rtmp publish ended", "stream", who.name, "err", src.Err())
	return err
}

// claimError means that the backend of the application has granted a stream whose name cannot be taken.
type claimError struct{ err error }

func (e *claimError) Error() string { return e.err.Error() }
func (e *claimError) Unwrap() error { return e.err }

// begin asks the backend of the application, and takes the name. While the backend is asked nobody else is asked about the name.
func (c *session) begin(ctx context.Context, who *client, id string, r request, steps *trace.Steps) (told hook.Stream, src *stream.Source, err error) {
	free, err := c.reserve(who.name)
	if err != nil {
		return told, nil, err
	}
	defer func() { free() }()
	name := who.name
	if told, err = c.ask(ctx, access.Publish, who, id, r.key); err != nil {
		return told, nil, err
	}
	if who.name != name {
		free()
		if free, err = c.reserve(who.name); err != nil {
			return told, nil, &claimError{err}
		}
	}
	steps.Set("transponder.stream", who.name)
	if src, err = c.claim(ctx, *who, id, r, steps); err != nil {
		return told, nil, &claimError{err}
	}
	return told, src, nil
}

// reserve keeps others from publishing under a name while a backend is asked. free frees the name; it is not nil.
func (c *session) reserve(name string) (free func(), err error) {
	if !c.hooks.HasBackend() {
		return func() {}, nil
	}
	free, err = c.srv.parts.Asked.Reserve(name)
	if err != nil {
		return func() {}, err
	}
	return free, nil
}

// claim takes the name for the stream.
func (c *session) claim(ctx context.Context, who client, id string, r request, steps *trace.Steps) (*stream.Source, error) {
	push, ring := c.srv.parts.Origins.Origin(c.conn.Trail(), who.name)
	if ring {
		return nil, errRing
	}
	return c.srv.parts.Hub.Claim(ctx, stream.Info{
		Name:      who.name,
		ID:        id,
		SessionID: c.id,
		AppKey:    c.appKey(r.app),
		Provider:  "RTMP",
		Transport: "TCP",
		Push:      push,
		Trail:     c.conn.Trail(),
		Steps:     steps,
		Publisher: stream.Publisher{
			Credential: r.secret, Address: c.peer, Identity: who.who.Identity(), Replace: who.who.MayTakeOver(who.name),
			MaxRateBPS: int64(who.who.Limits.BitrateKbps) * 1000,
		},
		HasVideo: true, // the publisher does not say in advance which of the two it sends
		HasAudio: true,
	})
}

// receive starts the stream and reads it. Another goroutine ends the connection if another part closes the source, if the lease is over, or if
// the backend demands it.
func (c *session) receive(ctx context.Context, src *stream.Source, lease *access.Lease, told hook.Stream) error {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	if err := c.conn.Start(); err != nil {
		return err
	}
	src.SetLive()
	c.log.Info("rtmp publish live", "stream", src.Info().Name, "principal", lease.Principal())
	c.net.patience(c.srv.cfg.IdleTimeout)
	ended := make(chan error, 1)
	end := func(err error) {
		select {
		case ended <- err:
		default: // it ends already
		}
	}
	c.tell(told, hook.StatusPublishing, nil, end)
	stop := c.keepAlive(told, hook.StatusPublishing, end)
	defer stop()
	c.pushed(ctx, lease.Principal(), told, src)
	wg.Go(func() {
		select {
		case <-lease.Done():
			src.Close(lease.Err())
			c.net.hurry()
		case err := <-ended:
			src.Close(err)
		case <-src.Done():
		case <-ctx.Done():
			return
		}
		_ = c.safely(func() error { return c.conn.EndPublish(endWords(src.Err())) }) // on an error, too, the connection is closed next
		_ = waitFor(ctx, lingerTime)
		c.net.Close()
	})
	return c.readFrames(ctx, src)
}

// complain logs the first audio message and the first video message that could not be used.
func (c *session) complain(src *stream.Source, kind uint8, err error) {
	told := &c.toldAudio
	if kind == flv.TypeVideo {
		told = &c.toldVideo
	}
	if !*told {
		*told = true
		c.log.Warn("rtmp publisher sends what cannot be used", "stream", src.Info().Name, "type", kind, "err", err)
	}
}

// endWords returns what a publisher is told when the server ends its stream.
func endWords(cause error) string {
	var refused *hook.Refused
	if errors.As(cause, &refused) {
		return refused.Info
	}
	for _, known := range []error{stream.ErrReplaced, stream.ErrRate, access.ErrExpired, access.ErrRevoked} {
		if errors.Is(cause, known) {
			return cause.Error()
		}
	}
	return "the stream was ended by the server"
}

// received is a message. stray means that it belongs to another stream than the one that the server granted.
type received struct {
	rtmp.Message
	stray bool
}

// read reads the next message of the publisher.
func (c *session) read() (received, error) {
	m, err := c.conn.ReadMedia()
	return received{m, err == nil && c.conn.Stray(m)}, err
}

// readAhead starts a goroutine that reads ahead. stop ends it, and closes the connection if the publisher has not ended by then. ended is
// called when another part has ended the stream, after the publisher was told.
func (c *session) readAhead(ctx context.Context, src *stream.Source, ended func()) (a *ahead, stop func()) {
	a = newAhead(c.read)
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := c.safely(func() error { a.run(ctx); return nil }); err != nil {
			a.end(err)
		}
		if a.over() {
			src.SetEnding()
		}
	})
	wg.Go(func() {
		select {
		case <-src.Done():
			_ = waitFor(ctx, lingerTime)
			ended()
		case <-ctx.Done():
		}
	})
	return a, func() {
		c.net.early.Store(false)
		cancel()
		if !a.over() {
			c.net.Close() // the only way out of a blocked read
		}
		wg.Wait()
	}
}

func (c *session) readFrames(ctx context.Context, src *stream.Source) error {
	in := newIngest(src)
	c.toldVideo, c.toldAudio = false, false
	defer func() { c.srv.counters.jumps.Add(in.clock.jumps) }()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	next := func(context.Context) (received, error) { return c.read() }
	var early *ahead
	for {
		m, err := next(ctx)
		if err != nil {
			if errors.Is(err, rtmp.ErrProtocol) {
				c.log.Warn("rtmp publisher breaks the protocol", "stream", src.Info().Name, "err", err)
				_ = c.conn.EndPublish(err.Error()) // on an error, too, the connection is closed next
			}
			// A file that was sent faster than it plays is played to its end.
			if paused := waitFor(ctx, in.clock.rest(src.Now())); paused != nil {
				return paused
			}
			return err
		}
		if m.stray {
			in.pass(m.Message)
			continue
		}
		wait, err := in.take(m.Message, src.Now())
		switch {
		case errors.Is(err, errBadFrame):
			c.srv.counters.badFrames.Add(1)
			c.complain(src, m.Type, err)
		case err != nil:
			_ = c.conn.EndPublish(err.Error()) // on an error, too, the connection is closed next
			return err
		}
		c.net.early.Store(in.clock.fast())
		if wait < leastWait {
			continue
		}
		if in.clock.held && early == nil {
			var stop func()
			early, stop = c.readAhead(ctx, src, cancel)
			defer stop()
			next = early.next
		}
		if err := waitFor(ctx, wait); err != nil {
			return err
		}
	}
}
