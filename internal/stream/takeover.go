package stream

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// ErrReplaced is the cause of the end of a source if a newer publisher took over the name.
var ErrReplaced = errors.New("another connection of the publisher took over the stream")

// Takeover says who may take over the name of a stream that still has a publisher.
type Takeover string

const (
	// TakeoverSame lets the same publisher take over: an encoder that reconnects while its dead connection hangs. Where publishers have
	// identities, the same publisher is one with the same identity.
	TakeoverSame Takeover = "same"
	// TakeoverAlways lets everybody take over who may publish: the newest publisher wins.
	TakeoverAlways Takeover = "always"
	// TakeoverNever refuses all others while the name is taken.
	TakeoverNever Takeover = "never"
)

// quietFor is how long a publisher must have sent no media before a newcomer from the same address may replace it. The same address does not
// prove the same publisher: an office, or all users of a proxy, may share one address, and two of them may choose the same name. A publisher
// that is connected sends far more often; a publisher whose machine or network is down sends nothing.
const quietFor = time.Second

// connectsWithin is how long a publisher may take to connect before a newcomer from the same address may replace it. Over relays connecting
// takes some seconds.
const connectsWithin = 5 * time.Second

// endsWithin is how long a newcomer waits for the end of a publisher that has left and whose last frames still come (Source.SetEnding).
const endsWithin = 10 * time.Second

// quietTick is how often the present publisher is checked while a newcomer waits.
const quietTick = 50 * time.Millisecond

// Publisher tells who publishes a stream, as far as a door knows. The zero Publisher is unknown, and never the same as another.
type Publisher struct {
	// Credential is a secret of this publisher: a bearer token, or the query of a stream key. "" if it showed none.
	Credential string
	// Address is the address from which the publisher connects.
	Address netip.Addr
	// Identity is that of the principal who publishes (access.Principal.Identity). "" if nothing tells him from others.
	Identity string
	// Replace lets the principal take over from a publisher of the same identity that still sends.
	Replace bool
	// Insists: the publisher may end whoever publishes the stream, and has asked to take its place.
	Insists bool
	// MaxRateBPS is how many bits per second the publisher may send; 0: any number. See ErrRate.
	MaxRateBPS int64
}

// String keeps the credential out of logs.
func (p Publisher) String() string { return p.Address.String() }

// GoString is String.
func (p Publisher) GoString() string { return p.String() }

// claim is whether a newcomer may replace the publisher that has the name.
type claim int

const (
	refused  claim = iota
	whenDead       // when the publisher has sent nothing for quietFor
	atOnce
)

// over returns whether newcomer may replace the publisher of old.
func (t Takeover) over(old, newcomer Info) claim {
	was, is := old.Publisher, newcomer.Publisher
	switch {
	case t == TakeoverAlways:
		return atOnce
	case t == TakeoverNever:
		return refused
	case is.Insists:
		return atOnce
	case was.Identity != "" || is.Identity != "":
		if was.Identity != is.Identity {
			return refused
		}
		if is.Replace {
			return atOnce
		}
		return whenDead
	case was.Credential != "" || is.Credential != "":
		if was.Credential == is.Credential {
			return atOnce
		}
	case old.SessionID != "" && old.SessionID == newcomer.SessionID: // a page that continues over another network
		return whenDead
	case old.Provider == newcomer.Provider && old.AppKey == newcomer.AppKey && was.Address.IsValid() && was.Address == is.Address:
		return whenDead
	}
	return refused
}

// Claim is Publish, but if Config.Takeover allows it, the newcomer replaces the publisher that has the name. The old source ends with
// ErrReplaced at the moment when the new source gets the name. Claim may wait for up to a second to see whether the old publisher still
// sends, or longer for a publisher that is ending.
func (h *Hub) Claim(ctx context.Context, info Info) (s *Source, err error) {
	err = insist(ctx, func() (old *Source, err error) {
		s, old, err = h.publish(ctx, info, true)
		return old, err
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// insist calls try until it succeeds. If try fails with ErrNameInUse and returns the source that has the name, insist waits for some time to
// see whether the publisher of that source still sends. It fails when he does, and with other errors of try at once.
func insist(ctx context.Context, try func() (old *Source, err error)) error {
	asked := time.Now()
	var began int64 // frames of the old source when the wait began
	var watched *Source
	for {
		old, err := try()
		if !errors.Is(err, ErrNameInUse) || old == nil {
			return err
		}
		frames := old.frames()
		if old != watched {
			watched, began = old, frames
		}
		patience := quietFor
		if old.ending.Load() {
			patience, began = endsWithin, frames
		}
		if frames != began || time.Since(asked) > patience { // the old publisher sends, or may send again
			return err
		}
		t := time.NewTimer(quietTick)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return fmt.Errorf("%w: %w", err, context.Cause(ctx))
		}
	}
}

// Takeovers returns how many publishers were replaced by a newer publisher of the same name.
func (h *Hub) Takeovers() int64 { return h.takeovers.Load() }

// frames returns how many frames the publisher has sent.
func (s *Source) frames() int64 { return s.Video.Stats().Frames + s.Audio.Stats().Frames }

// dead reports whether the publisher seems to be gone: it has sent no media for a while, or did not connect in time.
func (s *Source) dead(now time.Time) bool {
	if s.ending.Load() { // its last frames still come, and then it ends by itself
		return false
	}
	limit := quietFor
	if s.frames() == 0 {
		limit = connectsWithin
	}
	return now.Sub(s.LastMedia()) >= limit
}

// LastMedia returns when the publisher sent media last, or when the name was taken.
func (s *Source) LastMedia() time.Time {
	last := s.created
	for _, f := range []*Feed{s.Video, s.Audio} {
		if at := f.written(); at.After(last) {
			last = at
		}
	}
	return last
}
