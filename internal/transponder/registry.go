package transponder

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"transponder/internal/load"
	"transponder/internal/media"
	"transponder/internal/panics"
	"transponder/internal/stream"
	"transponder/internal/transcode/picture"
)

// AudioRenditions makes the sound that is sent from the sound of any stream, as sound.Transcoder does.
type AudioRenditions interface {
	// Check fails if a format is not supported.
	Check(format media.AudioFormat) error
	// Feed returns the sound of a source in a format, silence if the source has no sound. The zero format is that of the settings. All
	// users of one format share a feed; each calls release once.
	Feed(s *stream.Source, format media.AudioFormat) (feed *stream.Feed, release func(), err error)
	// Expect returns the track that Feed will send, for metadata that is sent before the first frame.
	Expect(s *stream.Source, format media.AudioFormat) *media.Track
}

// Stills makes key frames from picture files, as picture.Stills does.
type Stills interface {
	// Check fails if the file cannot be shown.
	Check(name string) error
	Frame(name string, width, height int) (media.Frame, error)
}

// Parts are the parts of the server that pushes work with.
type Parts struct {
	Hub    *stream.Hub
	Audio  AudioRenditions
	Video  VideoRenditions
	Sounds Sounds
	Stills Stills
	Gate   *load.Gate // decides whether the machine has room for another push; nil: it always has

	// OnEnd is called with each push that is over, ended or failed. It must not block. nil: nobody is told.
	OnEnd func(Info)
}

// Registry holds the pushes. It runs each push in a goroutine; Run waits for them all. Any goroutine may call its methods.
type Registry struct {
	cfg     Config
	parts   Parts
	log     *slog.Logger
	journal *Journal

	panics panics.Counter

	mu       sync.Mutex          // held for these fields only: nothing that may wait is called under it
	pushes   []*entry            // guarded by mu; oldest first
	reserved map[string]struct{} // guarded by mu; keys of pushes that are being started, each of which has a place among MaxPushes
	history  []Info              // guarded by mu; pushes that are over, oldest first
	stopping bool                // guarded by mu
	wg       sync.WaitGroup      // of the pushes; added to under mu while stopping is false
}

// entry is a push in the registry.
type entry struct {
	*push
	key    string // guarded by Registry.mu; of its address; "" once the address is free again
	cancel context.CancelCauseFunc
	gone   chan struct{} // closed when the push cannot be found any more
}

// NewRegistry makes an empty registry.
func NewRegistry(cfg Config, parts Parts, log *slog.Logger) *Registry {
	return &Registry{cfg: cfg, parts: parts, log: log, journal: NewJournal(journalSize), reserved: map[string]struct{}{}}
}

const (
	// journalSize is how many events are kept: the lives of some hundred pushes, in a few megabytes.
	journalSize = 8192
	// historySize is how many pushes that are over are kept.
	historySize = 500
)

// Journal returns the events of all pushes.
func (r *Registry) Journal() *Journal { return r.journal }

// History returns the latest n pushes that are over, newest first.
func (r *Registry) History(n int) []Info {
	r.mu.Lock()
	defer r.mu.Unlock()
	last := slices.Clone(r.history[max(len(r.history)-max(n, 0), 0):])
	slices.Reverse(last)
	return last
}

// Len returns the number of pushes.
func (r *Registry) Len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.pushes)
}

// Panics returns how many pushes have ended because they panicked.
func (r *Registry) Panics() int64 { return r.panics.Load() }

// Start starts a push. It does not wait for the connection. Errors: *RequestError (also for a host that does
// not resolve), soundfile.ErrNotFound, soundfile.ErrUnplayable, *picture.BusyError, picture.ErrDisabled, ErrStreamNotFound,
// ErrDuplicate, ErrUnsupported, load.ErrFull, ErrStopping.
func (r *Registry) Start(ctx context.Context, req Request) (Info, error) {
	if err := r.check(req); err != nil {
		return Info{}, err
	}
	naming := Naming{Prefix: r.cfg.NamePrefix, FullURL: r.cfg.FullURL, Parameters: true}
	if req.FullURL != nil {
		naming.FullURL, naming.Parameters = *req.FullURL, false
	}
	target, err := ParseTarget(req.URL, req.StreamName, naming)
	if err != nil {
		return Info{}, err
	}
	addrs, err := r.cfg.locate(ctx, target)
	if err != nil {
		return Info{}, r.refuse(req.StreamName, target, err)
	}
	player, err := r.open(req)
	if err != nil {
		return Info{}, err
	}
	info, err := r.add(context.WithoutCancel(ctx), req, target, addrs, player)
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
func (r *Registry) refuse(streamName string, target Target, err error) error {
	log := r.log.With("stream", streamName, "target", target, "err", err)
	var forbidden *TargetError
	if errors.As(err, &forbidden) {
		log.Warn("push refused", "rule", forbidden.Rule)
		return &RequestError{"rtmpUrl", forbidden.Error()}
	}
	log.Info("push refused")
	return &RequestError{"rtmpUrl", fmt.Sprintf("the name %q of the server cannot be resolved", target.Host)}
}

// maxFlashVersion is the longest flash version of a request: servers read it into small buffers.
const maxFlashVersion = 256

// check reports the first field of a request that cannot be used.
func (r *Registry) check(req Request) error {
	switch {
	case req.StreamName == "":
		return &RequestError{"streamName", "it is missing"}
	case req.URL == "":
		return &RequestError{"rtmpUrl", "it is missing"}
	case len(req.FlashVersion) > maxFlashVersion:
		return &RequestError{"rtmpFlashVersion", fmt.Sprintf("it is longer than %d characters", maxFlashVersion)}
	}
	for _, check := range []func(Request) error{
		func(req Request) error { return req.Options.validate() }, r.checkPicture, r.checkSound, r.checkSlate,
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
// The address is reserved first. Whether the server has room for the push is asked without holding mu, since the parts that know may take
// a while. Meanwhile a second start to the same address is refused, and all other requests are answered.
func (r *Registry) add(ctx context.Context, req Request, target Target, addrs []netip.Addr, player SoundPlayer) (Info, error) {
	src, found := r.parts.Hub.Source(req.StreamName)
	key := req.StreamName + "\x00" + target.key()
	if err := r.reserve(key, found); err != nil {
		return Info{}, err
	}
	entered := false
	defer func() {
		if !entered {
			r.release(key)
		}
	}()
	profile := req.profile(r.cfg.KeepAspect)
	if err := r.admit(src, req, profile); err != nil {
		return Info{}, err
	}
	id := stream.NewID()
	p := newPush(pushConfig{
		id: id, cfg: r.cfg, req: req, target: target, src: src, profile: profile,
		parts: r.parts, journal: r.journal, panics: &r.panics, log: r.log.With("stream", req.StreamName, "push", id, "target", target),
	}, addrs, player)
	ctx, cancel := context.WithCancelCause(ctx)
	e := &entry{push: p, key: key, cancel: cancel, gone: make(chan struct{})}
	if entered = r.enter(e); !entered {
		cancel(nil)
		return Info{}, ErrStopping
	}
	p.log.Info("push started")
	p.announce()
	if last := target.App[strings.LastIndexByte(target.App, '/')+1:]; last == req.StreamName {
		p.log.Warn("the address ends in the stream's name, and the name is published below it; was rtmpTransponderFullUrl meant?")
	}
	go func() {
		defer r.wg.Done()
		r.run(ctx, e)
	}()
	return p.Info(), nil
}

// reserve keeps the address and a place for a push that is being started, until release or enter.
func (r *Registry) reserve(key string, found bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, starting := r.reserved[key]
	switch {
	case r.stopping:
		return ErrStopping
	case starting, slices.ContainsFunc(r.pushes, func(e *entry) bool { return e.key == key }):
		return ErrDuplicate
	case !found:
		return ErrStreamNotFound
	case len(r.pushes)+len(r.reserved) >= r.cfg.MaxPushes:
		return fmt.Errorf("%w: it takes %d pushes", load.ErrFull, r.cfg.MaxPushes)
	}
	r.reserved[key] = struct{}{}
	return nil
}

// release gives back what reserve kept.
func (r *Registry) release(key string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.reserved, key)
}

// enter puts a push in the place that was reserved for it, unless the server is stopping. From then on the push can be found, and Run
// waits until the caller has run it.
func (r *Registry) enter(e *entry) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopping {
		return false
	}
	delete(r.reserved, e.key)
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

// run runs a push, and returns when the push cannot be found any more.
func (r *Registry) run(ctx context.Context, e *entry) {
	defer e.cancel(nil)
	e.runSafely(ctx)
	e.voice.close()
	info := e.Info()
	r.mu.Lock()
	e.key = "" // the address may be used again
	if len(r.history) == historySize {
		r.history = slices.Delete(r.history, 0, 1)
	}
	r.history = append(r.history, info)
	r.mu.Unlock()
	if r.parts.OnEnd != nil {
		r.parts.OnEnd(info)
	}
	if e.machine.now().State == Failed {
		linger := time.NewTimer(r.cfg.FailedFor)
		defer linger.Stop()
		select {
		case <-linger.C:
		case <-ctx.Done(): // terminated
		}
	}
	r.mu.Lock()
	r.pushes = slices.DeleteFunc(r.pushes, func(x *entry) bool { return x == e })
	r.mu.Unlock()
	close(e.gone)
}

// Find returns the pushes that match, oldest first. A failed push can be found for a short while, so that its reason can be read.
func (r *Registry) Find(f Filter) []Info {
	r.mu.Lock()
	pushes := slices.Clone(r.pushes)
	r.mu.Unlock()
	var found []Info
	for _, e := range pushes {
		if e.matches(f) {
			found = append(found, e.Info())
		}
	}
	return found
}

// Terminate ends a push and returns when it cannot be found any more. Queued frames get a moment to be sent.
func (r *Registry) Terminate(ctx context.Context, id string) error {
	e, err := r.entry(id)
	if err != nil {
		return err
	}
	e.cancel(errTerminated)
	select {
	case <-e.gone:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// entry returns a push, or ErrNotFound.
func (r *Registry) entry(id string) (*entry, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if i := slices.IndexFunc(r.pushes, func(e *entry) bool { return e.id == id }); i >= 0 {
		return r.pushes[i], nil
	}
	return nil, ErrNotFound
}

// Mute makes a push send silence in place of its sound, or the sound again. It fails with ErrNotFound.
func (r *Registry) Mute(id string, on bool) error {
	e, err := r.entry(id)
	if err != nil {
		return err
	}
	e.voice.mute(on)
	e.log.Info("push's sound", "muted", on)
	return nil
}

// SoundOn plays a file in place of the sound of a push, once or in a loop. It fails with ErrNotFound, soundfile.ErrNotFound,
// soundfile.ErrUnplayable and ErrUnsupported.
func (r *Registry) SoundOn(id, file string, loop bool) error {
	e, err := r.entry(id)
	if err != nil {
		return err
	}
	player, err := r.parts.Sounds.Open(file, loop)
	if err != nil {
		return err
	}
	if err := e.voice.play(file, player); err != nil {
		player.Close()
		return err
	}
	e.log.Info("push's sound", "file", file, "loop", loop)
	return nil
}

// SoundOff makes a push send the sound of its stream again. It fails with ErrNotFound.
func (r *Registry) SoundOff(id string) error {
	e, err := r.entry(id)
	if err != nil {
		return err
	}
	e.log.Info("push's sound", "file", "")
	return e.voice.play("", nil)
}

// Run waits until ctx ends. Then it refuses new pushes, terminates all pushes, and returns when they are gone.
func (r *Registry) Run(ctx context.Context) error {
	<-ctx.Done()
	r.mu.Lock()
	r.stopping = true
	for _, e := range r.pushes {
		e.cancel(ErrStopping)
	}
	r.mu.Unlock()
	r.wg.Wait()
	return context.Cause(ctx)
}
