package sip

import (
	"context"
	"crypto/tls"
	"net/netip"

	"transponder/internal/access"
	"transponder/internal/rtc"
	"transponder/internal/sip/dialog"
	"transponder/internal/sip/leg"
	"transponder/internal/sip/line"
	"transponder/internal/sip/sdp"
	"transponder/internal/stream"
	"transponder/internal/trace"
	"transponder/internal/transponder"
)

// Hub has the streams, as stream.Hub does.
type Hub interface {
	Publish(info stream.Info) (*stream.Source, error)
	Source(name string) (*stream.Source, bool)
	Private(info stream.Info) (*stream.Source, error)
}

// Pushes starts the pushes that requests for calls ask for, as transponder.Registry does.
type Pushes interface {
	Start(ctx context.Context, r transponder.Request) (transponder.Info, error)
	Find(f transponder.Filter) []transponder.Info
	Terminate(ctx context.Context, id string) error
}

// Sounds opens sound files that are played to phones. Open fails with ErrNoFile if there is no such file.
type Sounds interface {
	Open(name string, loop bool) (leg.SoundPlayer, error)
}

// Parts are the parts of the server that calls work with.
type Parts struct {
	Hub         Hub
	Pushes      Pushes
	Sounds      Sounds
	Transcode   rtc.TranscodeFunc       // what a phone hears and sees, in the codec of the phone
	Certificate func() *tls.Certificate // of the TLS port; nil: there is none
	Sockets     *line.Sockets           // for messages, if Config.Listens; nil: Calls opens its own
	// Hold returns the lease of a client's call, which ends with it; nil: the rights of clients never end.
	Hold   func(by *access.Principal) *access.Lease
	Tracer *trace.Tracer // makes the traces of calls; nil: there are none
}

// signalling is the part of line.Line that calls use. Tests put a scripted peer in its place.
type signalling interface {
	Run(ctx context.Context) error
	Resolve(ctx context.Context, uri, transport string) (line.Path, error)
	Back(o line.Origin) line.Path
	Contact(user string, p line.Path) string
	Keep(p line.Path, broken func(error)) (release func())
	Send(r *dialog.Request, p line.Path, o line.Owner)
	Reply(r *dialog.Request, p *dialog.Response)
	Ignore(r *dialog.Request)
	Cancelled(r *dialog.Request) *dialog.Request
	Stats() line.Stats
}

// mediaPorts is the part of leg.Legs that calls use.
type mediaPorts interface {
	Run(ctx context.Context) error
	Open(o leg.Options) (phoneMedia, error)
	Panics() int64
}

// phoneMedia is the part of leg.Leg that calls use.
type phoneMedia interface {
	Run(ctx context.Context) error
	Close()
	AudioPort() int
	VideoPort() int
	Agree(a sdp.Agreement, signalling netip.Addr)
	Start()
	Publish(src *stream.Source)
	Play(src *stream.Source) error
	PlaySound(p leg.SoundPlayer)
	SendDigits(keys string) error
	AskKeyFrame()
	Stats() leg.Stats
}

// legs gives the Legs of package leg as mediaPorts.
type legs struct{ *leg.Legs }

func (l legs) Open(o leg.Options) (phoneMedia, error) {
	m, err := l.Legs.Open(o)
	if err != nil {
		return nil, err
	}
	return m, nil
}
