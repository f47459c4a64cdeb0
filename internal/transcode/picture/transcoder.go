package picture

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"transponder/internal/limits"
	"transponder/internal/panics"
	"transponder/internal/stream"
	"transponder/internal/transcode/libav"
	"transponder/internal/transcode/picture/worker"
)

// Config reports whether and how pictures are transcoded.
type Config struct {
	Disabled bool // no pictures are transcoded

	Preset       string        // of libx264
	Threads      int           // of the encoder, for each rendition
	KeyFrameTime time.Duration // from one key frame to the next, if the profile sets no interval

	RateBPS int           // if the profile sets none; 0: it follows from the size and the frame rate
	Quality int           // libx264's CRF, with the bit rate as its upper bound; 0: the encoder uses the whole bit rate
	Buffer  time.Duration // over which the bit rate is averaged

	// MaxLoad is the share of the processors, in percent, that may be in use once another rendition runs; 0: there is no bound.
	MaxLoad int

	// Command is the program of the child processes, with its arguments; empty: this program with worker.Argument.
	Command []string
}

// MaxLoadRange is the range of Config.MaxLoad.
var MaxLoadRange = limits.Of(0, 100)

// DefaultConfig leaves a fifth of the processors free for peaks.
func DefaultConfig() Config {
	return Config{Preset: "superfast", Threads: 1, KeyFrameTime: 2 * time.Second, Buffer: time.Second, MaxLoad: 80}
}

// Validate reports every value that cannot work.
func (c Config) Validate() error {
	return errors.Join(c.engine(Profile{}).Validate(), MaxLoadRange.Check("load in percent", c.MaxLoad))
}

// Transcoder makes H.264 or VP8 of the pictures of any number of sources. Each rendition has a child process. All methods may be
// called from any goroutine.
type Transcoder struct {
	cfg    Config
	log    *slog.Logger
	budget *budget
	panics panics.Counter

	shooting   chan struct{} // holds a token for each snapshot that is being made
	thumbnails thumbnails

	mu    sync.Mutex                  // taken before budget.mu and rendition.mu
	live  map[renditionKey]*rendition // guarded by mu
	ended Stats                       // guarded by mu; of the renditions that have ended
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
	return &Transcoder{
		cfg: cfg, log: log, budget: newBudget(float64(cfg.MaxLoad) / 100), live: map[renditionKey]*rendition{}, shooting: make(chan struct{}, maxSnapshots),
		thumbnails: thumbnails{latest: map[*stream.Source]*thumbnail{}},
	}, nil
}

// Run measures once a second how much of the machine the renditions use and how much is free, until ctx ends.
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

// rendering returns the renditions that run now.
func (v *Transcoder) rendering() []*rendition {
	v.mu.Lock()
	defer v.mu.Unlock()
	all := make([]*rendition, 0, len(v.live))
	for _, r := range v.live {
		all = append(all, r)
	}
	return all
}

// Check fails with ErrDisabled if the settings forbid transcoding.
func (v *Transcoder) Check() error {
	switch {
	case v.cfg.Disabled:
		return ErrDisabled
	case !libav.Enabled:
		return libav.ErrDisabled
	}
	return nil
}

// Admit reserves the cost of a rendition for some seconds, in which Feed should be called. A rendition that runs already is shared
// and costs nothing. Admit fails with *BusyError if the machine has no room, and as Check does.
func (v *Transcoder) Admit(s *stream.Source, p Profile) error {
	if err := v.Check(); err != nil {
		return err
	}
	key := renditionKey{s, p}
	v.mu.Lock()
	_, shared := v.live[key]
	v.mu.Unlock()
	if shared {
		return nil
	}
	return v.budget.admit(key, predict(s, v.cfg.engine(p)), v.rendering())
}

// Feed returns the source's pictures in a valid profile. All users of the same profile get the same feed; each calls release once.
//
// The pictures keep the times of the source, except at a constant frame rate. The feed lasts as long as the source, also when the
// child process dies and another one takes over. If that happens too often in a row, the feed ends with ErrTranscoder. Readers of
// the feed may ask for key frames. Feed fails as Check does.
func (v *Transcoder) Feed(s *stream.Source, p Profile) (feed *stream.Feed, release func(), err error) {
	if err := v.Check(); err != nil {
		return nil, nil, err
	}
	key := renditionKey{s, p}
	v.mu.Lock()
	r := v.live[key]
	if r == nil {
		r = newRendition(s, v.cfg.engine(p), v.cfg.Command, &v.panics, v.log)
		v.live[key] = r
		v.budget.begun(key)
	}
	r.users++
	v.mu.Unlock()
	feed, leave, err := s.Rendition(fmt.Sprintf("video %+v", p), r.ask, r.runSafely)
	if err != nil {
		v.release(key, r)
		return nil, nil, err
	}
	return feed, func() {
		leave()
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

// Stats returns the figures of a rendition; ok is false if there is none now.
func (v *Transcoder) Stats(s *stream.Source, p Profile) (st Stats, ok bool) {
	v.mu.Lock()
	r := v.live[renditionKey{s, p}]
	v.mu.Unlock()
	if r == nil {
		return Stats{}, false
	}
	return r.figures(), true
}

// Totals returns how many renditions run now, and the sum of the figures of all renditions since the start.
func (v *Transcoder) Totals() (renditions int, sum Stats) {
	v.mu.Lock()
	defer v.mu.Unlock()
	sum = v.ended
	for _, r := range v.live {
		sum.add(r.figures())
	}
	return len(v.live), sum
}

// Panics returns how many renditions and snapshots have failed because of a bug of this server.
func (v *Transcoder) Panics() int64 { return v.panics.Load() }
