package sip

import (
	"errors"
	"io"
	"time"

	"transponder/internal/media"
	"transponder/internal/rtc"
	"transponder/internal/sip/dialog"
	"transponder/internal/sip/sdp"
)

// The methods below are the leg.Events of a call. The goroutines of the leg call them, and the goroutine of the call may within Agree and Publish.

// Began notes the first packet of a kind.
func (k *call) Began(kind media.Kind) { k.log.Debug("media began", "kind", kind) }

// Digit takes a key that the phone sent by RTP.
func (k *call) Digit(key byte, _ time.Duration) { k.post(func(time.Time) { k.pressed(key) }) }

// KeyFrameMissing asks for a key frame by INFO, because RTCP brought none.
func (k *call) KeyFrameMissing() {
	k.post(func(now time.Time) {
		if k.dialog.AskKeyFrame(now) {
			k.record.inform()
		}
	})
}

// MediaTimeout ends the call, because the phone sends nothing.
func (k *call) MediaTimeout(err error) { k.hangUp(dialog.ReasonMediaTimeout, err.Error()) }

// StreamEnded notes that the phone hears no stream any more.
func (k *call) StreamEnded(err error) {
	k.post(func(time.Time) {
		if k.hears.source != nil && errors.Is(err, rtc.ErrSourceEnded) && !isClosed(k.hears.source.Done()) {
			return // another stream is played meanwhile
		}
		k.log.Info("stream is not played to the phone any more", "err", err)
		k.playOwn()
	})
}

// SoundEnded notes that a sound file is over.
func (k *call) SoundEnded(err error) {
	k.post(func(time.Time) {
		if !errors.Is(err, io.EOF) {
			k.log.Warn("sound file is not played to the phone any more", "err", err)
		}
		k.hears.sound = ""
		k.showInjected()
	})
}

// codecOf returns the codec of a flow, media.CodecNone if there is none.
func codecOf(f *sdp.Flow) media.Codec {
	if f == nil {
		return media.CodecNone
	}
	return f.Send.Codec.Media()
}
