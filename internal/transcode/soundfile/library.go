package soundfile

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"transponder/internal/limits"
	"transponder/internal/media"
	"transponder/internal/panics"
	"transponder/internal/transcode/libav"
	"transponder/internal/transcode/sound"
)

var (
	// ErrNotFound means that the directory has no file of this name.
	ErrNotFound = errors.New("no such sound file")
	// ErrUnplayable means that a file is there but cannot be played.
	ErrUnplayable = errors.New("cannot be played")
)

// Config says how sound files are played.
type Config struct {
	RateBPS  int   // of stereo AAC, in bit/s; everything else about the format follows the live sound
	FastAAC  bool  // as in sound.Config
	MaxBytes int64 // bound for all encoded sound, in memory and in the directory for temporary files
}

// MaxBytesRange is the range of Config.MaxBytes.
var MaxBytesRange = limits.Of[int64](1<<20, 1_000_000<<20)

// DefaultConfig has room for about eight hours at 128 kbit/s.
func DefaultConfig() Config {
	return Config{RateBPS: 128_000, FastAAC: true, MaxBytes: 512 << 20}
}

// Validate reports every value that cannot work.
func (c Config) Validate() error {
	err := sound.RateRange.Check("bit rate of sound files, in bit/s,", c.RateBPS)
	if !MaxBytesRange.Contains(c.MaxBytes) {
		err = errors.Join(err, fmt.Errorf("%d bytes for encoded sound files are not %v", c.MaxBytes, MaxBytesRange))
	}
	return err
}

// Library plays the WAV files of one directory. All methods may be called from any goroutine.
type Library struct {
	dir string
	cfg Config
	log *slog.Logger

	panics panics.Counter

	newEncoder func(media.AudioFormat) (sound.Encoder, error)
	loopLength time.Duration
	wake       chan struct{} // capacity 1; tells Run that starting has changed

	mu       sync.Mutex
	cache    cache       // guarded by mu
	starting []*encoding // guarded by mu; Run starts their goroutines
	stats    Stats       // guarded by mu
}

// Stats are figures of all players at one moment.
type Stats struct {
	Players int   // opened and not closed
	Files   int   // encoded, or being encoded; a file counts once for each format
	Bytes   int64 // upper bound of the memory and disk space of these files

	Encoded int64 // packets made
	Starved int64 // packets of silence that were sent because the file's packet was not ready
	Errors  int64 // files that could not be read or encoded to their end
}

// New returns the Library of a directory, which need not exist. cfg is valid. Players are silent until Run is called.
func New(dir string, cfg Config, log *slog.Logger) *Library {
	return &Library{
		dir: dir, cfg: cfg, log: log,
		newEncoder: func(f media.AudioFormat) (sound.Encoder, error) { return sound.OpenEncoder(f, cfg.FastAAC) },
		loopLength: loopLength,
		wake:       make(chan struct{}, 1),
		cache:      newCache(cfg.MaxBytes),
	}
}

// Run encodes the files that are played, until ctx ends. It then joins the goroutines, forgets all encoded sound, and returns the
// cause of ctx.
func (l *Library) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer l.closeAll()
	defer wg.Wait()
	for {
		l.mu.Lock()
		for _, e := range l.starting {
			wg.Go(func() { e.run(ctx) })
		}
		l.starting = nil
		l.mu.Unlock()
		select {
		case <-l.wake:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (l *Library) closeAll() {
	l.mu.Lock()
	all := l.cache.removeAll()
	l.mu.Unlock()
	for _, e := range all {
		e.close()
	}
}

// Stats returns the figures.
func (l *Library) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	st := l.stats
	st.Files, st.Bytes = l.cache.size()
	return st
}

// Check fails with ErrNotFound if the directory has no such file, and with ErrUnplayable if the file cannot be played.
func (l *Library) Check(name string) error {
	f, _, _, err := l.open(name)
	if err != nil {
		return err
	}
	return f.Close()
}

// Open returns a player for a file. The file begins with the first call of Player.Replace. Open fails as Check does.
func (l *Library) Open(name string, loop bool) (*Player, error) {
	if !libav.Enabled {
		return nil, libav.ErrDisabled
	}
	f, info, _, err := l.open(name)
	if err != nil {
		return nil, err
	}
	f.Close()
	l.mu.Lock()
	l.stats.Players++
	l.mu.Unlock()
	key := encodingKey{name: name, modified: info.ModTime(), size: info.Size(), loop: loop}
	return &Player{library: l, key: key}, nil
}

// open opens a file of the directory. os.Root refuses names and links that lead out of the directory. Errors do not tell where the
// directory is.
func (l *Library) open(name string) (*os.File, os.FileInfo, *wav, error) {
	none := fmt.Errorf("%q: %w", name, ErrNotFound)
	root, err := os.OpenRoot(l.dir)
	if err != nil {
		return nil, nil, nil, none
	}
	defer root.Close()
	info, err := root.Stat(name) // before Open, which would block on a pipe without a writer
	if err != nil || !info.Mode().IsRegular() {
		return nil, nil, nil, none
	}
	f, err := root.Open(name)
	if err != nil {
		return nil, nil, nil, none
	}
	w, err := parseWAV(f, info.Size())
	if err != nil {
		f.Close()
		return nil, nil, nil, fmt.Errorf("%q %w: %w", name, ErrUnplayable, err)
	}
	return f, info, w, nil
}

// join makes a player a listener of the encoding that its key names, from the beginning. The caller holds mu.
func (l *Library) join(p *Player) {
	e := l.cache.kept[p.key]
	if e == nil {
		e = newEncoding(l, p.key)
		l.cache.kept[p.key] = e
	}
	e.players[p] = struct{}{}
	p.encoding, p.at, p.next = e, -1, nil
	if e.working {
		signal(e.wake)
		return
	}
	e.working = true
	l.starting = append(l.starting, e)
	signal(l.wake)
}

// leave undoes join. The caller holds mu.
func (l *Library) leave(p *Player) {
	if p.encoding == nil {
		return
	}
	delete(p.encoding.players, p)
	l.cache.touch(p.encoding)
	signal(p.encoding.wake)
	p.encoding, p.next = nil, nil
}

// signal wakes the reader of a channel with capacity 1, which finds all that has changed until then.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Panics returns how many files have ended because of a bug of this server.
func (l *Library) Panics() int64 { return l.panics.Load() }
