package rtmpserver

import (
	"context"
	"strings"

	"transponder/internal/access"
	"transponder/internal/hook"
)

// relay receives a stream that another server of the cluster sends. That server has let the publisher in, and asks the backend of the
// application. The name of the stream says which kinds of media it has.
func (c *session) relay(ctx context.Context, kinds string) error {
	info := *c.relayed
	info.HasVideo, info.HasAudio = strings.Contains(kinds, "v"), strings.Contains(kinds, "a")
	src, err := c.srv.parts.Hub.Publish(info)
	if err != nil {
		return c.refuse("NetStream.Publish.BadName", err.Error(), err)
	}
	c.admitted()
	c.srv.parts.Relays.Arrived(c.who.App, src)
	lease := c.srv.parts.Access.Hold(access.Whole(access.Setting))
	defer lease.Release()
	err = c.safely(func() error { return c.receive(ctx, src, lease, hook.Stream{}) })
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	src.Close(publishEnd(err))
	return err
}
