package cluster

import (
	"context"

	"transponder/internal/transponder"
)

// Local has the pushes of this process. *transponder.Registry is one.
type Local interface {
	Start(ctx context.Context, req transponder.Request) (transponder.Info, error)
	Find(f transponder.Filter) []transponder.Info
	Terminate(ctx context.Context, id string) error
	Mute(id string, on bool) error
	SoundOn(id, file string, loop bool) error
	SoundOff(id string) error
	UseSource(id, streamName string) error
	History(n int) []*transponder.Info
}

// Pushes has the pushes that this process knows of. Any goroutine may call the methods. Each method that asks others has a deadline of its
// own.
type Pushes struct {
	local Local
}

// NewPushes returns the pushes of a process.
func NewPushes(local Local) *Pushes { return &Pushes{local: local} }

// Start starts a push in this process.
func (p *Pushes) Start(ctx context.Context, req transponder.Request) (transponder.Info, error) {
	return p.local.Start(ctx, req)
}

// Find returns the pushes that match, oldest first.
func (p *Pushes) Find(_ context.Context, f transponder.Filter) ([]transponder.Info, error) {
	return p.local.Find(f), nil
}

// Terminate ends a push and returns when it cannot be found any more.
func (p *Pushes) Terminate(ctx context.Context, id string) error { return p.local.Terminate(ctx, id) }

// Mute makes a push send silence in place of its sound, or the sound again.
func (p *Pushes) Mute(_ context.Context, id string, on bool) error { return p.local.Mute(id, on) }

// SoundOn plays a file in place of the sound of a push.
func (p *Pushes) SoundOn(_ context.Context, id, file string, loop bool) error {
	return p.local.SoundOn(id, file, loop)
}

// SoundOff makes a push send the sound of its stream again.
func (p *Pushes) SoundOff(_ context.Context, id string) error { return p.local.SoundOff(id) }

// UseSource makes a push send one of its streams.
func (p *Pushes) UseSource(_ context.Context, id, streamName string) error {
	return p.local.UseSource(id, streamName)
}

// History returns the latest n pushes that are over, newest first. Nobody may change them.
func (p *Pushes) History(_ context.Context, n int) ([]*transponder.Info, error) {
	return p.local.History(n), nil
}
