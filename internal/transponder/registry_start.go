package transponder

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"transponder/internal/load"
	"transponder/internal/media"
	"transponder/internal/stream"
	"transponder/internal/trace"
	"transponder/internal/transcode/picture"
)

// Start starts a push. It does not wait for the connection. Errors: *RequestError (also for a host that does
// not resolve), soundfile.ErrNotFound, soundfile.ErrUnplayable, *picture.BusyError, picture.ErrDisabled, ErrStreamNotFound,
// ErrDuplicate, ErrUnsupported, load.ErrFull, *access.Full, ErrStopping.
func (r *Registry) Start(ctx context.Context, req Request) (Info, error) {
	if r.parts.Tracer == nil {
		return r.start(ctx, req)
	}
	var publisher trace.Link
	if src, ok := firstSource(r.parts.Hub, req); ok {
		publisher = src.Info().Steps.Link()
	}
	ctx, span := r.parts.Tracer.Begin(ctx, "push", publisher)
	span.Set("transponder.stream", req.StreamName)
	info, err := r.start(ctx, req)
	if err != nil {
		span.Fail("refused", refusal(err))
	}
	return info, err
}

func (r *Registry) start(ctx context.Context, req Request) (_ Info, err error) {
	checking, span := trace.Start(ctx, "request")
	defer func() {
		if err != nil {
			span.Fail("refused", refusal(err))
		}
		span.End()
	}()
	if err := r.check(req); err != nil {
		return Info{}, err
	}
	req, addresses, err := r.resolve(checking, req)
	if err != nil {
		return Info{}, err
	}
	if err := r.locateAll(checking, req.StreamName, addresses); err != nil {
		return Info{}, err
	}
	player, err := r.open(req)
	if err != nil {
		return Info{}, err
	}
	info, err := r.add(context.WithoutCancel(ctx), req, addresses, player)
	if err != nil && player != nil {
		player.Close()
	}
	return info, err
}

// open opens the sound file with which a push begins; nil if the request names none.
func (r *Registry) open(req Request) (SoundPlayer, error) {
	if req.Options.Action != actionSound {
		return nil, nil
	}
	return r.parts.Sounds.Open(req.Options.SoundFile, req.Options.Loop)
}

// refuse turns an error of locate into an error for the caller. The rule that forbids a target is for the log only.
func (r *Registry) refuse(streamName string, target pushTarget, err error) error {
	log := r.log.With("stream", streamName, "target", target, "err", err)
	var forbidden *targetError
	if errors.As(err, &forbidden) {
		log.Warn("push refused", "rule", forbidden.Rule)
		return &RequestError{"rtmpUrl", forbidden.Error()}
	}
	log.Info("push refused")
	return &RequestError{"rtmpUrl", fmt.Sprintf("the name %q of the server cannot be resolved", target.Host)}
}

// maxTargetName is the longest name to publish under, in bytes. Servers make file names and paths of it.
const maxTargetName = 255

// maxFlashVersion is the longest flash version of a request: servers read it into small buffers.
const maxFlashVersion = 256

// check reports the first field of a request that cannot be used.
func (r *Registry) check(req Request) error {
	switch {
	case req.StreamName == "":
		return &RequestError{"streamName", "it is missing"}
	case req.URL == "":
		return &RequestError{"rtmpUrl", "it is missing"}
	case len(req.TargetName) > maxTargetName || strings.ContainsFunc(req.TargetName, unicode.IsControl):
		return &RequestError{"rtmpStream", fmt.Sprintf("it contains a control character or is longer than %d bytes", maxTargetName)}
	case len(req.FlashVersion) > maxFlashVersion:
		return &RequestError{"rtmpFlashVersion", fmt.Sprintf("it is longer than %d characters", maxFlashVersion)}
	}
	for _, check := range []func(Request) error{
		func(req Request) error { return req.Options.Validate() }, Request.checkBackups, r.checkPicture, r.checkSound, r.checkSlate, r.checkStandIn,
	} {
		if err := check(req); err != nil {
			return err
		}
	}
	return nil
}

func (r *Registry) checkSlate(req Request) error {
	if req.Options.Slate == "" {
		return nil
	}
	if err := r.parts.Stills.Check(req.Options.Slate); err != nil {
		return &RequestError{"options.slate", err.Error()}
	}
	return nil
}

func (r *Registry) checkSound(req Request) error {
	if err := r.parts.Audio.Check(req.Options.Audio); err != nil {
		return &RequestError{"options.audioCodec, audioBitrate, audioRate, audioChannels", err.Error()}
	}
	if req.Options.Action != actionSound {
		return nil
	}
	return r.parts.Sounds.Check(req.Options.SoundFile)
}

// add makes the push and starts it. The player becomes the push's unless add fails. ctx carries values only.
//
// The addresses are reserved first. Whether the server has room for the push is asked without holding mu, since the parts that know may take
// a while. Meanwhile a second start to one of these addresses is refused, and all other requests are answered.
func (r *Registry) add(ctx context.Context, req Request, addresses []*address, player SoundPlayer) (Info, error) {
	src, found := firstSource(r.parts.Hub, req)
	target, keys := addresses[0].target, keysOf(req, addresses)
	if err := r.reserve(keys, found); err != nil {
		return Info{}, err
	}
	entered := false
	free, err := r.takePlaces(req, len(addresses))
	defer func() {
		if !entered {
			r.release(keys)
		}
	}()
	if err != nil {
		return Info{}, err
	}
	if err := r.admit(src, req, req.profile(r.cfg.KeepAspect)); err != nil {
		free()
		return Info{}, err
	}
	claim, err := r.claim(ctx, req, addresses)
	if err != nil {
		free()
		return Info{}, err
	}
	p := r.newPush(trace.Of(ctx), req, addresses, src, claim, player)
	ctx, e := r.newEntry(ctx, p, keys, free)
	if entered = r.enter(e); !entered {
		e.cancel(nil)
		_ = claim.Forget(ctx) // a record that stays is ended after the restart
		free()
		return Info{}, ErrStopping
	}
	p.log.Info("push started")
	p.announce()
	if last := target.App[strings.LastIndexByte(target.App, '/')+1:]; last == req.StreamName {
		p.log.Warn("the address ends in the stream's name, and the name is published below it; was rtmpTransponderFullUrl meant?")
	}
	r.launch(ctx, e)
	return p.Info(), nil
}

// keysOf returns the keys of the addresses of a push.
func keysOf(req Request, addresses []*address) []string {
	keys := make([]string, len(addresses))
	for i, a := range addresses {
		keys[i] = req.StreamName + "\x00" + a.target.key()
	}
	return keys
}

// claim claims a new push.
func (r *Registry) claim(ctx context.Context, req Request, addresses []*address) (Claim, error) {
	record, err := newRecord(req, addresses)
	if err != nil {
		return nil, err
	}
	record.Trace = trace.Of(ctx).Link().String()
	ctx, cancel := context.WithTimeout(ctx, claimTimeout)
	defer cancel()
	claim, err := r.parts.Keeper.Claim(ctx, record)
	if errors.Is(err, ErrDuplicate) {
		err = errElsewhere
	}
	return claim, err
}

// errElsewhere means that another server has the push, or had it a moment ago.
var errElsewhere = fmt.Errorf("another server has it: %w", ErrDuplicate)

// claimTimeout is how long claiming a new push may take.
const claimTimeout = 5 * time.Second

// newPush makes a push that was claimed. The span is that of the request; the zero Span: it was claimed without one.
func (r *Registry) newPush(whole trace.Span, req Request, addresses []*address, src *stream.Source, claim Claim, player SoundPlayer) *push {
	record, target := claim.Record(), addresses[0].target
	id := record.ID
	log, traces := r.log.With("stream", req.StreamName, "push", id, "target", target), newTraces(r.parts.Tracer, whole, trace.ParseLink(record.Trace))
	return newPush(pushConfig{
		id: id, cfg: r.cfg, req: req, target: target, src: src, profile: req.profile(r.cfg.KeepAspect),
		parts: r.parts, journal: r.journal, panics: &r.panics, switched: &r.switched, figures: &r.figures, log: traces.logger(log), plainLog: log, traces: traces,
	}, claim, addresses, player)
}

// newEntry makes the entry of a push, and the context for launch. ctx carries values only.
func (r *Registry) newEntry(ctx context.Context, p *push, keys []string, free func()) (context.Context, *entry) {
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	return ctx, &entry{push: p, keys: keys, cancel: cancel, free: free, gone: make(chan struct{})}
}

// launch runs a push that was entered.
func (r *Registry) launch(ctx context.Context, e *entry) {
	go func() {
		defer r.wg.Done()
		r.run(ctx, e)
	}()
}

// SetMaxPushes changes Config.MaxPushes. Pushes beyond the new limit stay.
func (r *Registry) SetMaxPushes(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.maxPushes = n
}

// reserve keeps the addresses and a place for a push that is being started, until release or enter.
func (r *Registry) reserve(keys []string, found bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	taken := func(key string) bool {
		_, starting := r.reserved[key]
		return starting || slices.ContainsFunc(r.pushes, func(e *entry) bool { return slices.Contains(e.keys, key) })
	}
	switch {
	case r.stopping:
		return ErrStopping
	case slices.ContainsFunc(keys, taken):
		return ErrDuplicate
	case !found:
		return ErrStreamNotFound
	case len(r.pushes)+r.starting >= r.maxPushes:
		return fmt.Errorf("%w: it takes %d pushes", load.ErrFull, r.maxPushes)
	}
	for _, key := range keys {
		r.reserved[key] = struct{}{}
	}
	r.starting++
	return nil
}

// release gives back what reserve kept.
func (r *Registry) release(keys []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.unreserve(keys)
}

// unreserve is release for callers that hold mu.
func (r *Registry) unreserve(keys []string) {
	for _, key := range keys {
		delete(r.reserved, key)
	}
	r.starting--
}

// enter puts a push in the place that was reserved for it, unless the server is stopping. From then on the push can be found, and Run
// waits until the caller has run it.
func (r *Registry) enter(e *entry) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopping {
		return false
	}
	r.unreserve(e.keys)
	r.pushes = append(r.pushes, e)
	r.wg.Add(1)
	return true
}

// admit asks whether the machine has room for the push, and for the rendition of the pictures if the push needs one. That is not known of
// a stream that sends nothing yet, nor of a codec that the destination may take untouched: such a push ends later, with the same words.
func (r *Registry) admit(src *stream.Source, req Request, profile picture.Profile) error {
	if err := r.parts.Gate.Admit(load.Push); err != nil {
		return err
	}
	track := src.Video.Track()
	switch {
	case req.transcodes(): // checked by checkPicture
	case track == nil, track.Codec == media.H264, req.Options.passes(track.Codec):
		return nil
	}
	return r.parts.Video.Admit(src, profile)
}
