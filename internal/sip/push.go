package sip

import (
	"cmp"
	"context"
	"errors"
	"time"

	"transponder/internal/transponder"
)

// pushOf returns the push that a request asks for.
func pushOf(info Info, r Request, callee address) transponder.Request {
	return transponder.Request{
		By: r.By, Via: transponder.ViaCall, StreamName: info.StreamName, URL: r.RTMPURL, TargetName: pushedName(r, callee),
		Options: transponder.Options{Picture: r.Picture},
	}
}

// ownMember gives an error of the push the name that the member has in a request for a call.
func ownMember(err error) error {
	var bad *transponder.RequestError
	if errors.As(err, &bad) && bad.Field == "options.picture" {
		return &RequestError{"picture", bad.Reason}
	}
	return err
}

// title returns what people call the other side of a call.
func title(i Info, callee address) string {
	if i.Incoming {
		return cmp.Or(i.Visible, i.Caller)
	}
	return cmp.Or(callee.user, callee.host)
}

// pushedName returns the name under which a call is pushed.
func pushedName(r Request, callee address) string {
	return cmp.Or(r.RTMPStream, r.ToStream, callee.user, callee.host)
}

// pushLimit is how long the end of a push may take that belongs to a call which does not begin.
const pushLimit = 5 * time.Second

func (c *Calls) endPush(ctx context.Context, id string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), pushLimit)
	defer cancel()
	if err := c.parts.Pushes.Terminate(ctx, id); err != nil {
		c.log.Warn("push of a call that did not begin goes on", "push", id, "err", err)
	}
}

// pushStatus returns the state of a push in the words of the API.
func (c *Calls) pushStatus(id string) string {
	pushes := c.parts.Pushes.Find(transponder.Filter{ID: id})
	if len(pushes) == 0 {
		return "STOPPED"
	}
	switch pushes[0].State {
	case transponder.Live, transponder.Degraded, transponder.Holding:
		return "PUBLISHING"
	case transponder.Failed:
		return "FAILED"
	case transponder.Draining, transponder.Ended:
		return "STOPPED"
	default:
		return "PENDING"
	}
}
