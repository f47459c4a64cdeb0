package sip

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"transponder/internal/media"
	"transponder/internal/sip/dialog"
	"transponder/internal/sip/sdp"
)

// ring lets an incoming call ring at its page. A call that could not be answered is refused at once.
func (k *call) ring(now time.Time, offer []byte) {
	in := IncomingCall{CallID: k.id, Audio: k.wants.audio, Video: k.wants.video}
	if len(offer) > 0 {
		trial := k.session
		_, a, err := trial.answer(offer)
		if err != nil {
			k.dialog.End(now, dialog.ReasonNoCodec, err.Error())
			return
		}
		in.Audio, in.Video, in.Codecs = a.Audio != nil, a.Video != nil, browserCodecs(a)
		k.record.change(func(i *Info) { i.Audio, i.Video, i.SDP = in.Audio, in.Video, sdp.Redact(string(offer)) })
	}
	i := k.record.snapshot()
	in.Caller, in.Callee, in.VisibleName = i.Caller, i.Callee, i.Visible
	k.page.offer, k.page.rings = offer, true
	k.phone.tell(func(ev PhoneEvents) { ev.Incoming(in) })
	k.dialog.Ring()
}

// Answer answers an incoming call with the media of the page. lines are "a=" and "b=" lines for the SDP of the answer. It fails with ErrState if
// the call does not ring.
func (p *Phone) Answer(id string, m Media, lines []string) error {
	more, err := moreLines(lines)
	if err != nil {
		return err
	}
	k, err := p.find(id)
	if err != nil {
		return err
	}
	return k.do(func(now time.Time) error {
		if !k.page.rings {
			return fmt.Errorf("%w: it does not ring", ErrState)
		}
		k.page.rings, k.page.media, k.session.lines = false, m, more
		k.accept(now, k.page.offer)
		if k.dialog.Status().Final() {
			return nil // a Status says why
		}
		return k.connect()
	})
}

// Connect joins the media of the page to an outgoing call, after MediaReady.
func (p *Phone) Connect(id string, m Media) error {
	k, err := p.find(id)
	if err != nil {
		return err
	}
	return k.do(func(time.Time) error {
		if !k.page.told || k.page.media != nil {
			return fmt.Errorf("%w: its media is not ready, or is connected", ErrState)
		}
		k.page.media = m
		return k.connect()
	})
}

// connect makes both sides hear each other.
func (k *call) connect() error {
	if err := k.play(k.page.media.Source(), ""); err != nil {
		return err
	}
	return k.page.media.Play(k.source)
}

// tellCodecs asks for the media of the page, once the phone has said which codecs it takes.
func (k *call) tellCodecs(a sdp.Agreement) {
	if k.page.told || k.invite != nil {
		return
	}
	k.page.told = true
	k.phone.tell(func(ev PhoneEvents) { ev.MediaReady(k.id, browserCodecs(a), a.Video != nil) })
}

// browserCodecs returns the codecs that both the phone and every browser have (RFC 7874, RFC 7742). For each kind, the codec that we send to the
// phone comes first.
func browserCodecs(a sdp.Agreement) []media.Codec {
	var codecs []media.Codec
	for _, flow := range []*sdp.Flow{a.Audio, a.Video} {
		if flow == nil {
			continue
		}
		numbers := slices.Sorted(maps.Keys(flow.Receive))
		agreed := []media.Codec{flow.Send.Codec.Media()}
		for _, n := range numbers {
			agreed = append(agreed, flow.Receive[n].Media())
		}
		for _, c := range agreed {
			if slices.Contains(inBrowsers, c) && !slices.Contains(codecs, c) {
				codecs = append(codecs, c)
			}
		}
	}
	return codecs
}

var inBrowsers = []media.Codec{media.PCMU, media.PCMA, media.Opus, media.H264, media.VP8}

// Hangup hangs up a call of the page, cancels it, or refuses it, and says why. It does not wait.
func (p *Phone) Hangup(id string, why dialog.Reason, info string) error {
	k, err := p.find(id)
	if err == nil {
		k.hangUp(why, info)
	}
	return err
}

// Hold puts the phone on hold, or takes it back. An event follows: Status if the phone agrees, HoldFailed if not. Info shows a hold for a
// transfer. Hold fails with ErrState before the phone has answered.
func (p *Phone) Hold(id string, on, forTransfer bool) error {
	k, err := p.find(id)
	if err != nil {
		return err
	}
	return k.do(func(now time.Time) error {
		if err := k.talks(); err != nil {
			return err
		}
		k.record.change(func(i *Info) { i.HoldForTransfer = on && forTransfer })
		k.hold.ask(on)
		k.session.hold(on, k.wants.sendVideo)
		k.dialog.Modify(now, k.session.again(), on)
		return nil
	})
}

// holdFailed tells the page that the phone refused to be put on hold, or to be taken back.
func (k *call) holdFailed(code int) {
	k.log.Info("the phone refused an offer", "code", code)
	k.session.hold(k.hold.wanted, k.wants.sendVideo)
	k.record.change(func(i *Info) { i.HoldForTransfer = i.HoldForTransfer && k.hold.agreed })
	k.phone.tell(func(ev PhoneEvents) { ev.HoldFailed(k.id, fmt.Sprintf("the phone refused: %d", code)) })
}

// Transfer asks the phone to call somebody else. The event Transferring tells how that goes. Transfer fails with ErrState before the phone has
// answered, with ErrPolicy, and with *RequestError for a target that cannot be called.
func (p *Phone) Transfer(id, target string) error {
	k, err := p.find(id)
	if err != nil {
		return err
	}
	to, problem := parseCallee(target, p.account.Domain)
	if problem != "" {
		return &RequestError{"target", problem}
	}
	if err := p.calls.policy.callee(to); err != nil {
		return err
	}
	return k.do(func(now time.Time) error {
		if err := k.talks(); err != nil {
			return err
		}
		k.record.change(func(i *Info) { i.Target = target })
		k.transfer = now.Add(transferLimit)
		k.dialog.Transfer(now, to.uri())
		return nil
	})
}

// transferring takes the progress of a transfer.
func (k *call) transferring(now time.Time, code int) {
	k.transfer = time.Time{}
	if code < 200 {
		k.transfer = now.Add(transferLimit)
	}
	k.phone.tell(func(ev PhoneEvents) { ev.Transferring(k.id, code) })
	if code/100 == 2 { // the phone talks to somebody else now
		k.end(now, ending{dialog.ReasonHungUp, "the call was transferred"})
	}
}

// SendDigits sends keys to the phone, as Calls.SendDigits does.
func (p *Phone) SendDigits(id, keys string, how Digits) error {
	k, err := p.find(id)
	if err != nil {
		return err
	}
	return k.sendDigits(keys, how)
}
