package sip

import (
	"fmt"
	"time"

	"transponder/internal/sip/dialog"
	"transponder/internal/stream"
)

// InjectStream plays a stream of the hub to the phone, in place of silence or of the page. It fails with ErrNoCall, ErrNoStream, ErrState if the
// phone has not answered or another stream is injected, and with *RequestError for the stream of the call itself.
func (c *Calls) InjectStream(id, name string) error {
	k, err := c.find(id)
	if err != nil {
		return err
	}
	src, found := c.parts.Hub.Source(name)
	switch {
	case !found:
		return ErrNoStream
	case src == k.source:
		return &RequestError{"streamName", "it is the stream of the call itself: the phone would hear itself"}
	}
	return k.do(func(time.Time) error {
		if err := k.talks(); err != nil {
			return err
		}
		if k.hears.stream != "" {
			return fmt.Errorf("%w: %q is injected already, and has to be terminated first", ErrState, k.hears.stream)
		}
		return k.play(src, name)
	})
}

// InjectSound plays a sound file of media_dir to the phone, once, in place of all else. A file that plays already ends. It fails with
// ErrNoCall, ErrState, and as Sounds.Open does.
func (c *Calls) InjectSound(id, file string) error {
	k, err := c.find(id)
	if err != nil {
		return err
	}
	player, err := c.parts.Sounds.Open(file, false)
	if err != nil {
		return err
	}
	taken := false
	err = k.do(func(time.Time) error {
		if err := k.talks(); err != nil {
			return err
		}
		k.media.PlaySound(player)
		taken = true // the media closes it
		k.hears.sound = file
		k.showInjected()
		return nil
	})
	if !taken {
		player.Close()
	}
	return err
}

// EjectStream ends what InjectStream and InjectSound began. It fails with ErrNoCall.
func (c *Calls) EjectStream(id string) error {
	k, err := c.find(id)
	if err != nil {
		return err
	}
	return k.do(func(time.Time) error {
		if k.hears.sound != "" {
			k.media.PlaySound(nil)
			k.hears.sound = ""
		}
		if k.hears.stream != "" {
			k.playOwn()
		}
		k.showInjected()
		return nil
	})
}

// talks fails unless the phone has answered.
func (k *call) talks() error {
	if s := k.record.status(); s != dialog.Established && s != dialog.Hold {
		return fmt.Errorf("%w: the phone has not answered", ErrState)
	}
	return nil
}

// play plays a source to the phone; nil: silence. name is the name of an injected stream, "" for the page at our end.
func (k *call) play(src *stream.Source, name string) error {
	if err := k.media.Play(src); err != nil {
		return err
	}
	k.hears.source, k.hears.stream = src, name
	k.showInjected()
	return nil
}

// playOwn plays the page at our end to the phone, or silence if there is no page.
func (k *call) playOwn() {
	var src *stream.Source
	if k.page.media != nil {
		src = k.page.media.Source()
	}
	if err := k.play(src, ""); err != nil {
		k.log.Warn("the page is not played to the phone", "err", err)
	}
}

func (k *call) showInjected() {
	k.record.change(func(i *Info) { i.Injected = k.hears.injected() })
}
