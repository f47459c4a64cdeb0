package rtmpserver

import (
	"context"
	"errors"
	"strings"
	"sync"

	"transponder/internal/flv"
	"transponder/internal/load"
	"transponder/internal/rtmp"
	"transponder/internal/stream"
)

// errRing refuses a push of this server's that would keep the name for itself for ever: it is held for a publisher, and fed by its
// own output.
var errRing = errors.New("this server's own push would send this stream on to itself")

// publish takes a stream, under the name of a stream key, until the client ends it, the source is closed by somebody else, or ctx
// ends. It returns rtmp.ErrStreamClosed if the client may ask for another.
func (c *session) publish(ctx context.Context, key string) error {
	name := streamName(key)
	app, _, _ := strings.Cut(c.who.App, "?")
	push := ""
	if c.srv.origins != nil {
		var ring bool
		if push, ring = c.srv.origins.Origin(c.conn.Hello(), name); ring {
			return c.refuse("NetStream.Publish.BadName", errRing.Error(), errRing)
		}
	}
	src, err := c.srv.hub.Claim(ctx, stream.Info{
		Name:      name,
		ID:        newID(),
		SessionID: c.id,
		AppKey:    app,
		Provider:  "RTMP",
		Transport: "TCP",
		Push:      push,
		Publisher: stream.Publisher{Credential: secretQuery(c.who.App, key), Address: stream.AddressOf(c.net.RemoteAddr().String())},
		HasVideo:  true, // which of the two will come is not said in advance
		HasAudio:  true,
	})
	if errors.Is(err, load.ErrFull) {
		return c.refuse("NetStream.Failed", err.Error(), err)
	} else if err != nil {
		return c.refuse("NetStream.Publish.BadName", err.Error(), err)
	}
	c.srv.counters.publishers.Add(1)
	defer c.srv.counters.publishers.Add(-1)

	err = c.guard(func() error { return c.receive(ctx, src) })
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	src.Close(publishEnd(err))
	c.log.Info("rtmp publish ended", "stream", name, "err", src.Err())
	return err
}

// receive starts the stream and reads it, while another goroutine watches for the source to be closed from elsewhere.
func (c *session) receive(ctx context.Context, src *stream.Source) error {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	if err := c.conn.Start(); err != nil {
		return err
	}
	src.SetLive()
	c.log.Info("rtmp publish live", "stream", src.Info().Name)
	c.net.patience(c.srv.cfg.IdleTimeout)
	wg.Go(func() {
		select {
		case <-src.Done():
			_ = c.conn.EndPublish(endWords(src.Err())) // closed in any case
			_ = pause(ctx, lingerTime)
			c.net.Close()
		case <-ctx.Done():
		}
	})
	return c.readFrames(ctx, src)
}

// tell logs the first message of each kind that could not be used.
func (c *session) tell(src *stream.Source, kind uint8, err error) {
	told := &c.toldAudio
	if kind == flv.TypeVideo {
		told = &c.toldVideo
	}
	if !*told {
		*told = true
		c.log.Warn("rtmp publisher sends what cannot be used", "stream", src.Info().Name, "type", kind, "err", err)
	}
}

// endWords tells a publisher why the server ended its stream.
func endWords(cause error) string {
	if errors.Is(cause, stream.ErrReplaced) {
		return cause.Error()
	}
	return "the stream was ended by the server"
}

func (c *session) readFrames(ctx context.Context, src *stream.Source) error {
	in := newIngest(src)
	c.toldVideo, c.toldAudio = false, false
	defer func() { c.srv.counters.jumps.Add(in.clock.jumps) }()
	for {
		m, err := c.conn.ReadMedia()
		if err != nil {
			if errors.Is(err, rtmp.ErrProtocol) {
				c.log.Warn("rtmp publisher breaks the protocol", "stream", src.Info().Name, "err", err)
				_ = c.conn.EndPublish(err.Error()) // closed in any case
			}
			return err
		}
		if c.conn.Stray(m) {
			in.pass(m)
			continue
		}
		lead, err := in.take(m, src.Now())
		switch {
		case errors.Is(err, errBadFrame):
			c.srv.counters.badFrames.Add(1)
			c.tell(src, m.Type, err)
		case err != nil:
			_ = c.conn.EndPublish(err.Error()) // closed in any case
			return err
		}
		if lead > maxLead {
			if err := pause(ctx, lead-maxLead); err != nil {
				return err
			}
		}
	}
}
