package picture

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"transponder/internal/stream"
	"transponder/internal/transcode/libav"
	"transponder/internal/transcode/picture/worker"
)

// Config says how pictures are transcoded.
type Config struct {
	Preset       string        // of libx264
	Threads      int           // of the encoder, per rendition
	KeyFrameTime time.Duration // between key frames, where nothing else is asked for

	RateBPS int           // where nothing else is asked for; 0: what size and frame rate call for
	Quality int           // libx264's CRF, for which the bit rate is but the most; 0: the bit rate is used up
	Buffer  time.Duration // that the bit rate is averaged over

	// MaxLoad is how many percent of the processors may be in use for another rendition to be taken on, its own use included;
	// 0: there is no bound.
	MaxLoad int

	// Command is the program that transcodes, with its arguments; empty: this one, as worker.Argument has it do.
	Command []string
}

// DefaultConfig leaves a fifth of the processors to what comes unexpectedly.
func DefaultConfig() Config {
	return Config{Preset: "superfast", Threads: 1, KeyFrameTime: 2 * time.Second, Buffer: time.Second, MaxLoad: 80}
}

// Validate reports every value that cannot work.
func (c Config) Validate() error {
	var faults []error
	if err := c.settle(Profile{}).Validate(); err != nil {
		faults = append(faults, err)
	}
	if c.MaxLoad < 0 || c.MaxLoad > 100 {
		faults = append(faults, fmt.Errorf("a load of %d percent is not within 0 and 100", c.MaxLoad))
	}
	return errors.Join(faults...)
}

// Transcoder makes H.264 or VP8 of the pictures of any number of sources, each rendition in a process of its own. All methods may be called
// from any goroutine.
type Transcoder struct {
	cfg    Config
	log    *slog.Logger
	budget *budget

	shooting chan struct{} // holds one for each snapshot that is being made

	mu    sync.Mutex
	live  map[renditionKey]*rendition // guarded by mu
	ended Stats                       // guarded by mu; of all that are over
}

// renditionKey tells renditions apart.
type renditionKey struct {
	source  *stream.Source
	profile Profile
}

// New returns a Transcoder that has nothing to do yet. cfg is valid.
func New(cfg Config, log *slog.Logger) (*Transcoder, error) {
	if len(cfg.Command) == 0 {
		program, err := os.Executable()
		if err != nil {
			return nil, fmt.Errorf("transcode pictures: find this program: %w", err)
		}
		cfg.Command = []string{program, worker.Argument}
	}
	return &Transcoder{cfg: cfg, log: log, budget: newBudget(float64(cfg.MaxLoad) / 100), live: map[renditionKey]*rendition{}, shooting: make(chan struct{}, maxSnapshots)}, nil
}

// Run measures what renditions cost, and what is left of the machine, until ctx ends.
func (v *Transcoder) Run(ctx context.Context) error {
	every := time.NewTicker(sampleEvery)
	defer every.Stop()
	for {
		v.budget.sample(time.Now(), v.rendering())
		select {
		case <-ctx.Done():
			return nil
		case <-every.C:
		}
	}
}

// rendering returns the renditions that run.
func (v *Transcoder) rendering() []*rendition {
	v.mu.Lock()
	defer v.mu.Unlock()
	all := make([]*rendition, 0, len(v.live))
	for _, r := range v.live {
		all = append(all, r)
	}
	return all
}

// Admit says whether the machine has room for a rendition of a source's pictures, with *BusyError if it has not. One that runs
// already is shared and costs nothing.
func (v *Transcoder) Admit(s *stream.Source, p Profile) error {
	if !libav.Enabled {
		return libav.ErrDisabled
	}
	key := renditionKey{s, p}
	v.mu.Lock()
	_, shared := v.live[key]
	v.mu.Unlock()
	if shared {
		return nil
	}
	return v.budget.admit(key, predict(s, v.cfg.settle(p)), v.rendering())
}

// settle puts the settings into a profile.
func (c Config) settle(p Profile) libav.VideoConfig {
	p.Preset, p.Threads, p.KeyFrameTime = c.Preset, c.Threads, c.KeyFrameTime
	p.RateBPS, p.Quality, p.Buffer = cmp.Or(p.RateBPS, c.RateBPS), c.Quality, c.Buffer
	return p
}

// Feed returns a feed of the source's pictures made into what the profile says, the same for all who ask for the same, and what
// gives it back; release may be called once. The profile is valid. The pictures have the source's times, but for those of a constant
// rate, and come without end as long as the source's do, whatever becomes of the process that makes them; only if that
// fails again and again the feed ends, with ErrTranscoder. Readers of the feed get key frames when they ask.
func (v *Transcoder) Feed(s *stream.Source, p Profile) (feed *stream.Feed, release func(), err error) {
	if !libav.Enabled {
		return nil, nil, libav.ErrDisabled
	}
	key := renditionKey{s, p}
	v.mu.Lock()
	r := v.live[key]
	if r == nil {
		r = newRendition(s, v.cfg.settle(p), v.cfg.Command, v.log)
		v.live[key] = r
		v.budget.begun(key)
	}
	r.users++
	v.mu.Unlock()
	feed, let, err := s.Rendition(fmt.Sprintf("video %+v", p), r.ask, r.run)
	if err != nil {
		v.release(key, r)
		return nil, nil, err
	}
	return feed, func() {
		let()
		v.release(key, r)
	}, nil
}

func (v *Transcoder) release(key renditionKey, r *rendition) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if r.users--; r.users == 0 {
		delete(v.live, key)
		st := r.figures()
		st.CPU = 0
		v.ended.add(st)
	}
}

// Stats returns the figures of a rendition, false if there is none now.
func (v *Transcoder) Stats(s *stream.Source, p Profile) (Stats, bool) {
	v.mu.Lock()
	r := v.live[renditionKey{s, p}]
	v.mu.Unlock()
	if r == nil {
		return Stats{}, false
	}
	return r.figures(), true
}

// Totals returns how many renditions run, and the sums over all, those that are over included.
func (v *Transcoder) Totals() (renditions int, sum Stats) {
	v.mu.Lock()
	defer v.mu.Unlock()
	sum = v.ended
	for _, r := range v.live {
		sum.add(r.figures())
	}
	return len(v.live), sum
}
