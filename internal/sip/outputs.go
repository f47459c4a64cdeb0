package sip

import (
	"context"
	"time"

	"transponder/internal/sip/dialog"
	"transponder/internal/sip/sdp"
)

// carryOut does what the state machine of the call wants done.
func (k *call) carryOut(ctx context.Context, now time.Time) {
	if k.dialog == nil {
		return
	}
	for {
		outputs := k.dialog.Take()
		if len(outputs) == 0 {
			return
		}
		k.record.change(func(i *Info) { i.Code = k.dialog.Code() })
		for _, o := range outputs {
			k.output(ctx, now, o)
		}
	}
}

func (k *call) output(ctx context.Context, now time.Time, o dialog.Output) {
	switch o := o.(type) {
	case dialog.Send:
		k.send(ctx, o.Request)
	case dialog.Reply:
		k.calls.line.Reply(o.Request, o.Response)
	case dialog.StatusChanged:
		k.statusChanged(now, o)
	case dialog.Offered:
		k.offered(now, o.SDP)
	case dialog.Answered:
		k.answered(now, o)
	case dialog.ChangeRefused:
		k.changeRefused(o.Code)
	case dialog.KeyFrameWanted:
		if k.hears.source != nil {
			k.hears.source.RequestKeyFrame()
		}
	case dialog.Digit:
		k.pressed(o.Key)
	case dialog.TransferProgress:
		k.transferring(now, o.Code)
	}
}

func (k *call) statusChanged(now time.Time, s dialog.StatusChanged) {
	switch {
	case s.Status.Final():
		k.conclude(now, s)
		return
	case k.dialog.Status().Final():
		return // the final status comes next, and is all that counts
	}
	first := false
	k.record.change(func(i *Info) {
		i.Status = s.Status
		first = (s.Status == dialog.Established || s.Status == dialog.Hold) && i.Answered.IsZero()
		if first {
			i.Answered = now
		}
	})
	if first {
		k.media.Start()
		if limit := k.calls.cfg.MaxDuration; limit > 0 {
			k.longest = now.Add(limit)
		}
		k.log.Info("call answered")
	}
	k.phone.tell(func(ev PhoneEvents) { ev.Status(k.id, s.Status, "") })
}

// offered answers an offer of the peer with an answer that is made for this offer.
func (k *call) offered(now time.Time, offer []byte) {
	first := !k.answeredOnce()
	if first && k.phone != nil {
		k.ring(now, offer)
		return
	}
	if first {
		k.dialog.Ring()
	}
	k.accept(now, offer)
}

// answeredOnce reports whether offers and answers were exchanged before.
func (k *call) answeredOnce() bool { return k.session.active != nil }

// accept answers an offer; without an offer it makes one (RFC 3264, 4; some call managers always do that).
func (k *call) accept(now time.Time, offer []byte) {
	if len(offer) == 0 {
		k.dialog.Accept(now, k.session.offer())
		return
	}
	first := !k.answeredOnce()
	answer, a, err := k.session.answer(offer)
	switch {
	case err != nil && first:
		k.dialog.End(now, dialog.ReasonNoCodec, err.Error())
	case err != nil:
		k.log.Info("the phone's offer is refused, the call goes on as it was", "err", err)
		k.dialog.Reject(now)
	default:
		k.dialog.Accept(now, answer)
		k.agree(a, offer, false)
		if k.hold.changing { // our own offer waits: what it says is to follow this exchange
			k.dialog.Modify(now, k.session.again(), k.hold.wanted)
		}
	}
}

// answered takes the answer to an offer of ours.
func (k *call) answered(now time.Time, o dialog.Answered) {
	a, err := k.session.answered(o.SDP, o.Early)
	switch {
	case err != nil && o.Early:
		k.log.Debug("early answer not used", "err", err)
	case err != nil:
		k.dialog.End(now, dialog.ReasonNoCodec, err.Error())
	default:
		if k.hold.changing && !o.Early {
			k.hold.answered()
		}
		k.agree(a, o.SDP, o.Early)
	}
}

// agree makes media flow as both sides have agreed.
func (k *call) agree(a sdp.Agreement, theirs []byte, early bool) {
	k.media.Agree(a, k.ways.heard.Source.Addr().Unmap())
	if !k.public && (!early || k.calls.cfg.EarlyMedia || k.phone != nil) {
		k.public = true
		k.media.Publish(k.source)
	}
	holds := peerHolds(k.session.local, a)
	if !early {
		k.dialog.PeerHolds(holds)
	}
	k.record.change(func(i *Info) {
		i.SDP = sdp.Redact(string(theirs))
		i.AudioCodec, i.VideoCodec = codecOf(a.Audio), codecOf(a.Video)
		onHold := holds || k.hold.wanted // then the call has what it had before, unless the phone has refused that
		i.Audio = a.Audio != nil && (a.Audio.Direction.Receives() || onHold && i.Audio)
		i.Video = a.Video != nil && (a.Video.Direction.Receives() || onHold && i.Video)
	})
	if k.phone != nil {
		k.tellCodecs(a)
	}
}

func (k *call) changeRefused(code int) {
	k.hold.refused()
	k.session.refused()
	k.holdFailed(code)
}

// maxDigits is how many digits of the phone are kept for Info.
const maxDigits = 64

func (k *call) pressed(key byte) {
	k.log.Debug("digit from the phone")
	k.record.change(func(i *Info) {
		i.Digits += string(key)
		i.Digits = i.Digits[max(0, len(i.Digits)-maxDigits):]
	})
	k.phone.tell(func(ev PhoneEvents) { ev.Digits(k.id, string(key)) })
}
