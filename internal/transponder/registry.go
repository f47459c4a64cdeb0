package transponder

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"transponder/internal/load"
	"transponder/internal/media"
	"transponder/internal/panics"
	"transponder/internal/state"
	"transponder/internal/stream"
	"transponder/internal/trace"
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
	// Frame returns the file as a key frame of H.264 in that size. It fails as Check does.
	Frame(name string, width, height int) (media.Frame, error)
	// Card returns a card with a text in the same form.
	Card(text string, width, height int) (media.Frame, error)
}

// Parts are the parts of the server that pushes work with. Gate, Destinations, Rights and OnEnd may be nil.
type Parts struct {
	Hub    *stream.Hub
	Audio  AudioRenditions
	Video  VideoRenditions
	Sounds Sounds
	Stills Stills
	Gate   *load.Gate // decides whether the machine has room for another push; nil: it always has

	Destinations Destinations // nil: there are none
	// ParseOptions reads the options that a destination keeps; nil: destinations have none.
	ParseOptions func(json.RawMessage) (Options, error)
	Rights       Rights // nil: nobody has a limit, and nobody loses a right

	Keeper Keeper       // keeps pushes beyond this process; nil: nothing does
	Log    state.Logger // keeps events and pushes that are over beyond this process; nil: nothing does
	Sealer state.Sealer // for Log
	Clock  *Clock       // of the far ends' times; nil: the wall clock

	// OnEnd is called with each push that is over, ended or failed. It must not block. nil: nobody is told.
	OnEnd func(Info)
	// Tracer makes the traces of pushes; nil: there are none.
	Tracer *trace.Tracer
	// OnPast is told what was written of a push that is over and is no repeat; nil: nobody is. It must not block.
	OnPast func(id string, line []byte)
}

// Registry holds the pushes. It runs each push in a goroutine; Run waits for them all. Any goroutine may call its methods.
type Registry struct {
	cfg     Config
	parts   Parts
	log     *slog.Logger
	journal *Journal
	keeps   bool // pushes can outlive the process

	panics   panics.Counter
	resumes  resumes
	switched switchCounters
	figures  figures

	mu        sync.Mutex          // held for these fields only: nothing that may wait is called under it
	pushes    []*entry            // guarded by mu; oldest first
	reserved  map[string]struct{} // guarded by mu; keys of pushes that are being started
	starting  int                 // guarded by mu; of these pushes, each of which has a place among maxPushes
	maxPushes int                 // guarded by mu; Config.MaxPushes, or what SetMaxPushes has set
	history   history             // guarded by mu
	stopping  bool                // guarded by mu
	wg        sync.WaitGroup      // of the pushes; added to under mu while stopping is false
}

// entry is a push in the registry.
type entry struct {
	*push
	keys   []string // guarded by Registry.mu; of its addresses; nil once they are free again
	cancel context.CancelCauseFunc
	free   func()        // gives back the place among the pushes of who has started it
	gone   chan struct{} // closed when the push cannot be found any more
}

// NewRegistry makes an empty registry.
func NewRegistry(cfg Config, parts Parts, log *slog.Logger) *Registry {
	keeps := parts.Keeper != nil
	if !keeps {
		parts.Keeper = loose{}
	}
	return &Registry{
		cfg: cfg, parts: parts, keeps: keeps, log: log, journal: newKeptJournal(journalSize, parts.Log), reserved: map[string]struct{}{}, maxPushes: cfg.MaxPushes,
		resumes: resumes{limiter: newLimiter(cfg.ResumePerSecond)},
	}
}

// journalSize is how many events are kept: the lives of some hundred pushes, in a few megabytes.
const journalSize = 8192

// Journal returns the events of all pushes.
func (r *Registry) Journal() *Journal { return r.journal }

// History returns the latest n pushes that are over, newest first. Nobody may change them.
func (r *Registry) History(n int) []*Info {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.history.newest(n)
}

// Len returns the number of pushes.
func (r *Registry) Len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.pushes)
}

// Panics returns how many pushes have ended because they panicked.
func (r *Registry) Panics() int64 { return r.panics.Load() }

// run runs a push, and returns when the push cannot be found any more.
func (r *Registry) run(ctx context.Context, e *entry) {
	defer e.cancel(nil)
	defer close(e.gone)
	stop := r.watch(e)
	e.runSafely(ctx)
	stop()
	e.free()
	last := e.record()
	e.voice.close()
	info := e.Info()
	finishing, done := context.WithTimeout(context.WithoutCancel(ctx), forgetTimeout)
	defer done()
	if info.State == Awaiting {
		r.leave(e)
		if err := e.claim.Release(finishing, last); err != nil {
			e.log.Warn("the push is given up, but the record does not say so", "err", err)
		}
		return
	}
	if err := e.claim.Forget(finishing); err != nil && !errors.Is(err, ErrNotFound) {
		e.log.Warn("the push is over, but may come back when the server is restarted", "err", err)
	}
	r.mu.Lock()
	repeat := r.history.isRepeat(&info)
	r.mu.Unlock()
	r.keepOver(finishing, info, repeat)
	r.mu.Lock()
	e.keys = nil // the addresses may be used again
	r.history.add(&info, repeat)
	r.mu.Unlock()
	r.figures.over(info)
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
	r.leave(e)
}

// forgetTimeout is how long it may take to write that a push is over or given up.
const forgetTimeout = 5 * time.Second

// leave makes the push unfindable.
func (r *Registry) leave(e *entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pushes = slices.DeleteFunc(r.pushes, func(x *entry) bool { return x == e })
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

// published returns the names under which the pushes publish. They may be secrets.
func (r *Registry) published() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var names []string
	for _, e := range r.pushes {
		for _, a := range e.addresses {
			names = append(names, a.target.Name)
		}
	}
	return names
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
	e.save()
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
	if err := e.voice.play(file, loop, player); err != nil {
		player.Close()
		return err
	}
	e.save()
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
	defer e.save()
	return e.voice.play("", false, nil)
}

// UseSource makes a push send one of its streams from the next key frame of that stream on, until that stream fails, or until UseSource is
// called again. "": the push goes back to the stream that its options prefer. It fails with ErrNotFound, ErrStreamNotFound and *RequestError.
func (r *Registry) UseSource(id, name string) error {
	e, err := r.entry(id)
	if err != nil {
		return err
	}
	spares := e.in.spares
	switch {
	case spares == nil, name != "" && !slices.Contains(spares.names, name):
		return &RequestError{"streamName", "the push has no such stream: it must be its stream, or one of options.backupStreams"}
	case name != "" && !spares.live(r.parts.Hub, name):
		return ErrStreamNotFound
	}
	spares.want(name)
	e.log.Info("push's source", "wanted", name)
	return nil
}

// Switches returns how often pushes have changed from one source to another, by cause.
func (r *Registry) Switches() map[SwitchCause]int64 { return r.switched.all() }

// Run waits until ctx ends. Then it refuses new pushes, ends all pushes, and returns when they are gone. Those that can be resumed are not over:
// they go on when the server runs again.
func (r *Registry) Run(ctx context.Context) error {
	writing, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	var journal sync.WaitGroup
	journal.Go(func() { r.journal.write(writing) })
	defer journal.Wait()
	defer stop(nil)
	<-ctx.Done()
	r.mu.Lock()
	r.stopping = true
	for _, e := range r.pushes {
		e.cancel(r.stopCause(e))
	}
	r.mu.Unlock()
	r.wg.Wait()
	return context.Cause(ctx)
}
