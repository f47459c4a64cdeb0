package rtc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"transponder/internal/media"
	"transponder/internal/panics"
	"transponder/internal/stream"
)

// Ingest receives streams of WebRTC clients for the hub. The doors use it. All methods may be called from any goroutine.
type Ingest struct {
	cfg       Config
	hub       *stream.Hub
	log       *slog.Logger
	receivers []Receiver

	mu        sync.Mutex
	published map[*Publication]struct{} // guarded by mu
}

// NewIngest makes an ingest. Each offer goes to the first receiver that accepts it. Whoever made the receivers closes them.
func NewIngest(cfg Config, hub *stream.Hub, log *slog.Logger, receivers ...Receiver) *Ingest {
	return &Ingest{cfg: cfg, hub: hub, log: log, receivers: receivers, published: map[*Publication]struct{}{}}
}

// Publish claims the name in the hub and answers the offer. The publication is not connected yet; the caller calls Run.
// Publish fails with the hub's errors (stream.ErrNameInUse, stream.ErrIDInUse, stream.ErrName, load.ErrFull), ErrBadOffer,
// ErrPartial or ErrNoCommonCodecs. It fills in info.HasVideo, HasAudio and AskKeyFrame.
func (in *Ingest) Publish(ctx context.Context, offer Offer, info stream.Info) (*Publication, error) {
	parsed, err := offer.Parse()
	if err != nil {
		return nil, err
	}
	if offer.Whole && parsed.Left != "" {
		return nil, fmt.Errorf("%w: %s", ErrPartial, parsed.Left)
	}
	receiver, err := in.receiver(parsed)
	if err != nil {
		return nil, err
	}
	p := &Publication{
		in:        in,
		receiver:  receiver,
		restarter: newRestarter(),
		connected: make(chan struct{}),
		closed:    make(chan error, 1),
	}
	info.HasAudio = parsed.Section(media.Audio) != nil
	info.HasVideo = parsed.Section(media.Video) != nil
	info.AskKeyFrame = p.askKeyFrame
	info.Steps.Set("transponder.receiver", in.receivers[receiver].Name())
	p.source, err = in.hub.Claim(ctx, info)
	if err != nil {
		return nil, err
	}
	if info.HasVideo {
		p.source.Video.Expect()
	}
	if info.HasAudio {
		p.source.Audio.Expect()
	}
	p.sink = newSink(p)
	session, answer, err := in.answer(ctx, receiver, parsed, p.sink)
	if err != nil {
		p.source.Close(err)
		return nil, err
	}
	p.answer = answer
	info.Steps.Next("ICE")
	p.session.Store(&session)
	in.mu.Lock()
	in.published[p] = struct{}{}
	in.mu.Unlock()
	return p, nil
}

// answer lets a receiver answer the offer.
func (in *Ingest) answer(ctx context.Context, receiver int, offer *ParsedOffer, sink Sink) (Session, string, error) {
	if offer.Unbundled {
		return answerUnbundled(ctx, in.receivers[receiver], offer, sink)
	}
	return in.receivers[receiver].Answer(ctx, offer, sink)
}

// receiver returns the index of the first receiver that accepts the offer. If none does, the error is the last receiver's:
// the last one can do most.
func (in *Ingest) receiver(offer *ParsedOffer) (int, error) {
	err := error(ErrNoCommonCodecs)
	for i, r := range in.receivers {
		if err = accepts(r, offer); err == nil {
			return i, nil
		}
	}
	return 0, err
}

// accepts says why a receiver cannot take the offer, nil if it can.
func accepts(r Receiver, offer *ParsedOffer) error {
	if !offer.Unbundled {
		return r.Accepts(offer)
	}
	for _, part := range offer.parts() {
		if err := r.Accepts(part); err != nil {
			return err
		}
	}
	return nil
}

// Publishers returns how many publications there are, by the name of the receiver.
func (in *Ingest) Publishers() map[string]int {
	m := map[string]int{}
	for _, r := range in.receivers {
		m[r.Name()] = 0
	}
	for _, p := range in.publications() {
		m[p.Receiver()]++
	}
	return m
}

// PublisherStats are the figures of one publisher's session.
type PublisherStats struct {
	Stream string
	SessionStats
}

// Stats returns the figures of the publications whose streams have not ended: one for each name.
func (in *Ingest) Stats() []PublisherStats {
	var all []PublisherStats
	for _, p := range in.publications() {
		if src, ok := in.hub.Source(p.source.Info().Name); ok && src == p.source { // and not the spare of another
			all = append(all, PublisherStats{p.source.Info().Name, p.Stats()})
		}
	}
	return all
}

// Receptions returns Stats by the names of the streams.
func (in *Ingest) Receptions() map[string]SessionStats {
	all := map[string]SessionStats{}
	for _, st := range in.Stats() {
		all[st.Stream] = st.SessionStats
	}
	return all
}

func (in *Ingest) publications() []*Publication {
	in.mu.Lock()
	defer in.mu.Unlock()
	return slices.Collect(maps.Keys(in.published))
}

func (in *Ingest) forget(p *Publication) {
	in.mu.Lock()
	defer in.mu.Unlock()
	delete(in.published, p)
}

// Publication is one client that publishes: a session and its stream.
type Publication struct {
	in       *Ingest
	receiver int // index in Ingest.receivers
	source   *stream.Source
	sink     *sink
	session  atomic.Pointer[Session] // nil while the answer is being made
	answer   string

	restarter restarter

	connected chan struct{}
	closed    chan error // gets one value: why the session ended
}

// Answer returns the SDP answer, all candidates included.
func (p *Publication) Answer() string { return p.answer }

// Receiver returns the name of the receiver that has the session.
func (p *Publication) Receiver() string { return p.in.receivers[p.receiver].Name() }

// Source returns the stream. It goes live at the end of the DTLS handshake.
func (p *Publication) Source() *stream.Source { return p.source }

// Stats returns the session's figures.
func (p *Publication) Stats() SessionStats {
	st := (*p.session.Load()).Stats()
	st.ClockJumps = p.sink.Jumps()
	return st
}

// AddCandidate takes a candidate of the client that the offer did not have: the value of an a=candidate line. It fails with
// errors.ErrUnsupported if the receiver takes none.
func (p *Publication) AddCandidate(candidate string) error {
	t, ok := (*p.session.Load()).(Trickler)
	if !ok {
		return errors.ErrUnsupported
	}
	return t.AddCandidate(candidate)
}

// RestartICE takes an offer, or a fragment of one, with a new ICE user name and password, as a client sends it that has got another
// network. It returns our answer anew; the media go on. It fails with ErrBadOffer, ErrNoRestart, ErrManyRestarts, or when
// the session has ended.
func (p *Publication) RestartICE(ctx context.Context, offer string) (answer string, err error) {
	return p.restarter.restart(ctx, *p.session.Load(), p.answer, offer)
}

// Run waits for the end of the publication: the client leaves (one of this package's errors), somebody else closes the
// source (the source's error), or ctx ends (its cause). When Run returns, or panics, the source is closed and the session
// joined. Run must be called, once.
func (p *Publication) Run(ctx context.Context) error {
	cause := panics.Err // unless it is replaced below
	defer p.in.forget(p)
	defer func() {
		p.source.Close(cause)
		if err := (*p.session.Load()).Close(); err != nil {
			p.in.log.Debug("session closed badly", "stream", p.source.Info().Name, "err", err)
		}
	}()
	cause = p.wait(ctx)
	return cause
}

// wait returns why the publication ends.
func (p *Publication) wait(ctx context.Context) error {
	return lifetime{
		cfg: p.in.cfg, source: p.source, frames: p.sink.Frames, connected: p.connected, closed: p.closed,
		hasICE: func() bool { return p.Stats().ICEConnected },
	}.wait(ctx)
}

// askKeyFrame asks the client for a key frame. The hub calls it.
func (p *Publication) askKeyFrame() {
	if s := p.session.Load(); s != nil {
		(*s).RequestKeyFrame()
	}
}

// ended returns the reason for a session's end that we did not ask for.
func ended(cause error) error {
	if cause == nil || errors.Is(cause, context.Canceled) {
		return ErrClientClosed
	}
	return cause
}
