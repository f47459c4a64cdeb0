package wcs

import (
	"context"

	"transponder/internal/media"
	"transponder/internal/panics"
	"transponder/internal/rtc"
	"transponder/internal/stream"
)

// answerPage answers the offer of the page, when the other side has said what it speaks.
func (c *call) answerPage(ctx context.Context, codecs []media.Codec, video bool) {
	if c.incoming || c.media != nil {
		return // the phone asked twice
	}
	limit, cancel := context.WithTimeout(ctx, c.s.srv.cfg.AnswerTimeout)
	defer cancel()
	offer := rtc.Offer{SDP: string(c.request.SDP)}
	c.request.SDP = "" // too big to keep
	d, err := c.s.srv.parts.Duplexes.Answer(limit, offer, rtc.Terms{Kinds: kinds(video), Prefer: codecs}, c.streamInfo())
	if err == nil {
		c.start(ctx, d)
		c.sendSDP()
		err = c.phone.Connect(c.id, d)
	}
	c.failIf(ctx, err)
}

// ring offers media to the page of an incoming call, and tells it of the call. The order is the one that the SDK needs.
func (c *call) ring(ctx context.Context) {
	limit, cancel := context.WithTimeout(ctx, c.s.srv.cfg.AnswerTimeout)
	defer cancel()
	d, err := c.s.srv.parts.Duplexes.Offer(limit, rtc.Terms{Kinds: kinds(c.from.Video), Prefer: c.from.Codecs}, c.streamInfo())
	if err == nil {
		c.start(ctx, d)
		c.announce()
	}
	c.failIf(ctx, err)
}

// announce tells the page of an incoming call.
func (c *call) announce() {
	c.announced = c.s.socket() // before the messages: a socket that comes meanwhile rather gets them twice than not at all
	c.sendSDP()
	c.known = c.s.send("notifyIncomingCall", callInfo{
		CallID:        c.id,
		Incoming:      true,
		Caller:        c.from.Caller,
		Callee:        c.from.Callee,
		VisibleName:   c.from.VisibleName,
		HasAudio:      c.from.Audio,
		HasVideo:      c.from.Video,
		MediaProvider: webRTC,
	}) || c.known
	if c.state == callNew {
		c.move(callRing)
		return
	}
	c.sendState()
}

// answered takes the answer of the page to an incoming call.
func (c *call) answered(ctx context.Context, req callRequest) {
	if !c.incoming || !c.state.allows(callAnswered) { // an outgoing call cannot be answered by its page
		c.s.ignore("answer to a call that does not ring", "call", short(c.id))
		return
	}
	c.move(callAnswered)
	err := c.media.Accept(string(req.SDP))
	if err == nil {
		err = c.phone.Answer(c.id, c.media, req.SIPSDP)
	}
	c.failIf(ctx, err)
}

// start runs the media.
func (c *call) start(ctx context.Context, d Duplex) {
	c.media = d
	life, cancel := context.WithCancel(ctx)
	c.endMedia = cancel
	c.mediaWork.Go(func() {
		err := panics.Err // unless it is replaced below
		c.s.safely(func() { err = d.Run(life) })
		c.mediaEnded <- err
	})
}

func (c *call) streamInfo() stream.Info {
	return stream.Info{
		Name:      "call " + short(c.id),
		ID:        c.id,
		SessionID: c.s.id,
		AppKey:    c.s.appKey(),
		Provider:  webRTC,
		Transport: "UDP",
		Publisher: stream.Publisher{Address: c.s.address(), Identity: c.s.principal.Identity()},
	}
}

func kinds(video bool) []media.Kind {
	if video {
		return []media.Kind{media.Audio, media.Video}
	}
	return []media.Kind{media.Audio}
}

// sendSDP sends the page our side of the media. The third element says whether the page is the one that offers.
func (c *call) sendSDP() { c.missed = !c.s.send("setRemoteSDP", c.id, c.media.SDP(), !c.incoming) }
