package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"

	"transponder/internal/access"
	"transponder/internal/config"
	"transponder/internal/load"
	"transponder/internal/media"
	"transponder/internal/rtc"
	"transponder/internal/sip"
	"transponder/internal/sip/leg"
	"transponder/internal/stream"
	"transponder/internal/transcode/picture"
	"transponder/internal/transcode/soundfile"
	"transponder/internal/transponder"
	"transponder/internal/wcs"
	"transponder/internal/whip"
)

// names returns the names of this server: those in the settings, the name of the machine, and those in the certificate.
func (a *App) names(cfg config.Config) []string {
	names := slices.Clone(cfg.Listen.Names)
	if name, err := os.Hostname(); err == nil {
		names = append(names, name)
	}
	if a.certificates != nil {
		names = append(names, a.certificates.Names()...)
	}
	return names
}

// receivers returns the receivers for publishers, in the order in which they are asked.
func (a *App) receivers() []rtc.Receiver {
	switch a.cfg.Receiver {
	case "lean":
		return []rtc.Receiver{a.lean}
	case "peer":
		return []rtc.Receiver{a.pion}
	default:
		return []rtc.Receiver{a.lean, a.pion}
	}
}

func (a *App) whipParts() whip.Parts {
	return whip.Parts{
		Publish: func(ctx context.Context, offer rtc.Offer, info stream.Info) (whip.Publication, error) {
			return orNil[whip.Publication](a.ingest.Publish(ctx, offer, info))
		},
		Play: func(ctx context.Context, offer rtc.Offer, src *stream.Source) (whip.Playback, error) {
			return orNil[whip.Playback](a.egress.Play(ctx, offer, src))
		},
		Streams: a.playable(),
		Asked:   &a.asked,
		Access:  a.auth,
		Hooks:   a.backends,
		Guard:   a.guard,
		Push:    a.push,
		Tracer:  a.tracer,

		Elsewhere: a.better,
	}
}

// push starts a push that the backend of an application has asked for.
func (a *App) push(ctx context.Context, by *access.Principal, stream, url string) error {
	_, err := a.pushes.Start(ctx, transponder.Request{StreamName: stream, URL: url, By: by, Via: transponder.ViaHook})
	return err
}

func (a *App) sdkParts() wcs.Parts {
	return wcs.Parts{
		Publish: func(ctx context.Context, offer rtc.Offer, info stream.Info) (wcs.Publication, error) {
			return orNil[wcs.Publication](a.ingest.Publish(ctx, offer, info))
		},
		Play: func(ctx context.Context, offer rtc.Offer, src *stream.Source) (wcs.Playback, error) {
			return orNil[wcs.Playback](a.egress.Play(ctx, offer, src))
		},
		Snapshot: a.video.Snapshot,
		Streams:  a.playable(),
		Asked:    &a.asked,
		Pusher:   a.pushes,
		Tracer:   a.tracer,

		Elsewhere: a.betterSocket,

		Duplexes: duplexes{rtc.NewDuplexes(a.cfg.Ingest, rtc.DuplexParts{Connector: a.pion, Streams: a.hub, Transcode: a.transcode}, a.log)},
		Phone: func(ctx context.Context, account sip.Account, who wcs.Caller, events sip.PhoneEvents) (wcs.Phone, error) {
			return orNil[wcs.Phone](a.calls.Open(ctx, account, sip.Page(who), events))
		},
		IsHere:   a.isHere,
		Guard:    a.guard,
		Access:   a.auth,
		Hooks:    a.backends,
		Shares:   a.cfg.Shares,
		Refusals: a.refusals,
	}
}

// runCalls runs the SIP calls. It says which setting to change if the port is in use.
func (a *App) runCalls(ctx context.Context) error {
	err := a.calls.Run(ctx)
	if errors.Is(err, syscall.EADDRINUSE) {
		return portError("sip_port", a.cfg.SIP.Line.Port, err)
	}
	return err
}

// currentCertificate returns the function that gives the certificate of the SIP port, nil if nothing needs one.
func (a *App) currentCertificate() func() *tls.Certificate {
	if a.certificates == nil {
		return nil
	}
	return a.certificates.Current
}

func (a *App) sipParts() sip.Parts {
	return sip.Parts{
		Hub:         a.hub,
		Pushes:      a.pushes,
		Sounds:      callSounds{a.sounds},
		Transcode:   a.transcode,
		Certificate: a.currentCertificate(),
		Sockets:     a.sipSockets,
		Hold:        a.auth.Hold,
		Tracer:      a.tracer,
	}
}

// orNil turns the result of a concrete type into an interface: nil with an error, since an interface that holds a nil pointer is not
// nil.
func orNil[I any](value I, err error) (I, error) {
	if err != nil {
		var none I
		return none, err
	}
	return value, nil
}

// pushEnded tells the page that started a push through its publisher that the push failed.
func (a *App) pushEnded(i transponder.Info) {
	if i.State == transponder.Failed {
		a.sdk.PushFailed(i)
	}
}

// use returns what the server does at present.
func (a *App) use() load.Use {
	u := load.Use{Streams: a.hub.Len(), Pushes: a.pushes.Len(), Players: a.egress.Players() + int(a.rtmpStats().Players)}
	_, total := a.video.Totals()
	u.Children = total.CPU
	return u
}

// transcode returns the sound or the pictures of a stream in a codec, for players that do not accept them as they are.
func (a *App) transcode(s *stream.Source, codec media.Codec) (*stream.Feed, func(), error) {
	if codec.Kind() == media.Audio {
		return a.audio.Feed(s, media.AudioFormat{Codec: codec})
	}
	var p picture.Profile // the zero Profile is H.264, and shared with pushes that ask for nothing else
	if codec != media.H264 {
		p.Codec = codec
	}
	if err := a.video.Admit(s, p); err != nil {
		return nil, nil, err
	}
	return a.video.Feed(s, p)
}

// sounds gives the sound files of a Library to pushes.
type sounds struct{ *soundfile.Library }

func (s sounds) Open(name string, loop bool) (transponder.SoundPlayer, error) {
	return orNil[transponder.SoundPlayer](s.Library.Open(name, loop))
}

// callSounds gives the sound files of a Library to phones.
type callSounds struct{ *soundfile.Library }

func (s callSounds) Open(name string, loop bool) (leg.SoundPlayer, error) {
	player, err := orNil[leg.SoundPlayer](s.Library.Open(name, loop))
	if errors.Is(err, soundfile.ErrNotFound) {
		return nil, fmt.Errorf("%w: %q", sip.ErrNoFile, name)
	}
	return player, err
}
