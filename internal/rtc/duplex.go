package rtc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"transponder/internal/media"
	"transponder/internal/panics"
	"transponder/internal/stream"
)

// errReplaced ends the playing of a source of a Duplex because another source is wanted.
var errReplaced = errors.New("another source is to be played")

// Duplex is one client in a call. What the client sends is a private source, and the client gets what Play says. All methods
// may be called from any goroutine.
type Duplex struct {
	cfg     Config
	log     *slog.Logger
	panics  *panics.Counter // of all duplexes
	source  *stream.Source
	frames  *Frames
	session atomic.Pointer[CallSession] // nil while the SDP is being made
	sdp     string
	own     *OwnOffer // our offer; nil: the client's offer was answered

	restarter restarter

	out       *playout
	agreed    atomic.Pointer[ParsedOffer] // what the client said; nil before its answer
	answers   chan *ParsedOffer           // gets one value: the client's answer to our offer
	connected chan struct{}
	closed    chan error // gets one value: why the session ended

	mu       sync.Mutex
	answered bool                    // guarded by mu: Accept was called
	wanted   *stream.Source          // guarded by mu: what is to be played; nil: nothing
	replace  context.CancelCauseFunc // guarded by mu: ends the playing of the source before; nil before Run
	ended    error                   // guarded by mu: the cause of the end
}

// SDP returns our answer, or our offer, with all candidates.
func (d *Duplex) SDP() string { return d.sdp }

// Source returns what the client sends. It goes live at the end of the DTLS handshake, and ends with the duplex.
func (d *Duplex) Source() *stream.Source { return d.source }

// Connected is closed at the end of the DTLS handshake.
func (d *Duplex) Connected() <-chan struct{} { return d.connected }

// Codec returns the codec that was agreed on for a kind of media; CodecNone: none, or the client has not answered yet.
func (d *Duplex) Codec(k media.Kind) media.Codec {
	if agreed := d.agreed.Load(); agreed != nil {
		if s := agreed.Section(k); s != nil {
			return s.Codec
		}
	}
	return media.CodecNone
}

// Accept takes the client's answer to our offer, once. An answer that cannot be used ends the duplex: Run returns the same
// error as Accept, which is ErrBadAnswer or ErrNoCommonCodecs. After the end of the duplex, Accept returns the cause.
func (d *Duplex) Accept(answer string) error {
	d.mu.Lock()
	again, over := d.answered || d.own == nil, d.ended
	d.answered = true
	d.mu.Unlock()
	switch {
	case over != nil:
		return over
	case again:
		return errors.New("there is no offer that waits for an answer")
	}
	parsed, err := parseAnswer(answer, d.own)
	if err != nil {
		d.end(err)
		return err
	}
	d.agreed.Store(parsed) // now, not when Run takes it: the other side of the call is told what was agreed on
	d.answers <- parsed
	return nil
}

// RestartICE does for a call what Publication.RestartICE does for a publisher, whoever has made the first offer. It fails with ErrNoRestart before both
// sides have each other's SDP.
func (d *Duplex) RestartICE(ctx context.Context, offer string) (answer string, err error) {
	agreed := d.agreed.Load()
	if agreed == nil {
		return "", fmt.Errorf("%w: the call is not answered yet", ErrNoRestart)
	}
	answer = d.sdp
	if d.own != nil {
		answer = d.own.answerTo(agreed, d.sdp)
	}
	return d.restarter.restart(ctx, *d.session.Load(), answer, offer)
}

// Play says what the client gets from now on; nil: nothing. It does not wait. When src ends, the client gets nothing until
// the next Play. What the client cannot play is transcoded; if that fails, the client gets what is left, and a log line says
// why. Play fails only when the duplex has ended, with the cause.
func (d *Duplex) Play(src *stream.Source) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ended != nil {
		return d.ended
	}
	if d.wanted != src {
		d.wanted = src
		if d.replace != nil {
			d.replace(errReplaced)
		}
	}
	return nil
}

// DuplexStats are the figures of a Duplex at one moment.
type DuplexStats struct {
	SessionStats           // of what the client sends
	Sent         PlayStats // to the client
}

// Stats returns the figures of both directions.
func (d *Duplex) Stats() DuplexStats {
	st := DuplexStats{SessionStats: (*d.session.Load()).Stats(), Sent: d.out.Stats()}
	st.ClockJumps = d.frames.Jumps()
	return st
}

// Run plays, and waits for the end: the client leaves, does not connect in time, or sends nothing for too long (this package's
// errors), somebody else closes the source (the source's error), or ctx ends (its cause). The time to connect begins when
// both sides have each other's SDP. The wait for the client's answer ends only with ctx or the source. When Run returns, the
// source is closed and all is joined. Run must be called, once.
func (d *Duplex) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	var playing sync.WaitGroup
	part := func(f func(context.Context) error) {
		cancel(d.panics.Run(d.log, "call panicked", func() error { return f(ctx) }))
	}
	playing.Go(func() { part(d.play) })
	part(d.wait)
	cause := context.Cause(ctx) // the first to end says why

	d.mu.Lock()
	d.ended, d.wanted = cause, nil
	d.mu.Unlock()
	playing.Wait()
	d.source.Close(cause)
	if err := (*d.session.Load()).Close(); err != nil {
		d.log.Debug("session closed badly", "err", err)
	}
	return cause
}

// wait returns why the duplex ends.
func (d *Duplex) wait(ctx context.Context) error {
	if d.own != nil {
		if err := d.await(ctx); err != nil {
			return err
		}
	}
	return lifetime{
		cfg: d.cfg, source: d.source, frames: d.frames, connected: d.connected, closed: d.closed,
		hasICE: func() bool { return (*d.session.Load()).Stats().ICEConnected },
	}.wait(ctx)
}

// await waits for the client's answer to our offer, and gives it to the session.
func (d *Duplex) await(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-d.source.Done():
		return d.source.Err()
	case err := <-d.closed:
		return err
	case answer := <-d.answers:
		d.agree(answer)
		return (*d.session.Load()).Accept(answer)
	}
}

// agree takes what was agreed on: what we send, and what the source is to expect from the client.
func (d *Duplex) agree(said *ParsedOffer) {
	d.out.open(said)
	if said.sends(media.Video) {
		d.source.Video.Expect()
	} else {
		d.source.NoVideo()
	}
	if said.sends(media.Audio) {
		d.source.Audio.Expect()
	} else {
		d.source.NoAudio()
	}
	d.agreed.Store(said)
}

// play plays one source after another, until ctx ends or the client cannot be sent to.
func (d *Duplex) play(ctx context.Context) error {
	select {
	case <-d.connected:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	for ctx.Err() == nil {
		src, each := d.next(ctx)
		if src != nil {
			if err := d.playSource(each, src); !errors.Is(err, ErrSourceEnded) && !errors.Is(err, errReplaced) {
				return err
			}
		}
		<-each.Done()
	}
	return context.Cause(ctx)
}

// next returns the source to play, nil if there is none, and a context that ends when another is wanted.
func (d *Duplex) next(ctx context.Context) (*stream.Source, context.Context) {
	each, replace := context.WithCancelCause(ctx)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.replace != nil {
		d.replace(nil) // frees the context before
	}
	d.replace = replace
	return d.wanted, each
}

// playSource plays a source until it ends or ctx does.
func (d *Duplex) playSource(ctx context.Context, src *stream.Source) error {
	defer d.out.rest()
	if err := d.out.join(src); err != nil {
		return err
	}
	return d.out.play(ctx, nil)
}

// askKeyFrame asks the client for a key frame. The hub calls it.
func (d *Duplex) askKeyFrame() {
	if s := d.session.Load(); s != nil {
		(*s).RequestKeyFrame()
	}
}

// end notes why the session has ended. The first cause counts.
func (d *Duplex) end(cause error) {
	select {
	case d.closed <- cause:
	default:
	}
}
