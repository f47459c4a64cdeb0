package soundfile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"
	"weak"

	"transponder/internal/media"
	"transponder/internal/transcode/libav"
	"transponder/internal/transcode/sound"
)

var (
	// ErrNotFound means that there is no such file in the directory.
	ErrNotFound = errors.New("no such sound file")
	// ErrUnplayable means that a file cannot be played.
	ErrUnplayable = errors.New("cannot be played")
)

const (
	// chunksAhead is how many chunks are made ahead of the player that is furthest.
	chunksAhead = 3
	// maxInMemory is the size up to which what was made is kept in memory: a minute at 128 kbit/s.
	maxInMemory = 1 << 20
)

// Config says how sound files are played.
type Config struct {
	RateBPS  int   // of AAC in stereo, in bit/s; the rest of its form is that of the sound in whose place a file is played
	FastAAC  bool  // as in AudioConfig
	MaxBytes int64 // most encoded sound at a time, in memory and in the directory for temporary files
}

// DefaultConfig keeps some eight hours at 128 kbit/s.
func DefaultConfig() Config {
	return Config{RateBPS: 128_000, FastAAC: true, MaxBytes: 512 << 20}
}

// Validate reports every value that cannot work.
func (c Config) Validate() error {
	var errs []error
	if c.RateBPS < sound.MinRateBPS || c.RateBPS > sound.MaxRateBPS {
		errs = append(errs, fmt.Errorf("bit rate %d of sound files is not within %d and %d bit/s", c.RateBPS, sound.MinRateBPS, sound.MaxRateBPS))
	}
	if c.MaxBytes < 1<<20 {
		errs = append(errs, fmt.Errorf("%d bytes are not enough for encoded sound files", c.MaxBytes))
	}
	return errors.Join(errs...)
}

// Library plays the WAV files of a directory. Each is encoded once for a form of sound, as far as its players have come and a
// little further, and kept: in memory if it is small, else in a temporary file without a name. All methods may be called from
// any goroutine.
type Library struct {
	dir string
	cfg Config
	log *slog.Logger

	newEncoder func(media.AudioFormat) (sound.Encoder, error)
	loopLength time.Duration
	wake       chan struct{} // holds one; tells Run of starting

	mu       sync.Mutex
	kept     map[encodingKey]*encoding // guarded by mu
	starting []*encoding               // guarded by mu; to be worked on
	clock    int64                     // guarded by mu; counts uses
	stats    Stats                     // guarded by mu
}

// Stats are figures of all players at one moment.
type Stats struct {
	Players int   // that were opened and not closed
	Files   int   // that are encoded, or being encoded, in one form
	Bytes   int64 // that these take at most

	Encoded int64 // packets made
	Starved int64 // packets of silence, as the file's was not ready
	Errors  int64 // files that could not be read or encoded to their end
}

// encodingKey tells apart what is encoded.
type encodingKey struct {
	name     string
	modified time.Time
	size     int64
	loop     bool
	format   media.AudioFormat
}

// encoding is a file in one form, in the making or made.
type encoding struct {
	key  encodingKey
	wake chan struct{} // holds one; tells the worker that there may be something to do

	// Guarded by Library.mu.
	players map[*Player]struct{}
	chunks  []chunk
	loop    int // the chunk that follows the last, in a loop
	done    bool
	err     error
	working bool
	bytes   int64 // that are reserved
	used    int64 // when it last had players

	file *os.File // set before there is more than one chunk; nil if the chunks are all in memory
}

// chunk is about a second of packets, each behind its length in two bytes.
type chunk struct {
	at   int64 // in the file
	size int
	kept *[]byte              // nil if it is in the file
	weak weak.Pointer[[]byte] // who plays it keeps it
}

// bytes returns the chunk if it is in memory.
func (c chunk) bytes() *[]byte {
	if c.kept != nil {
		return c.kept
	}
	return c.weak.Value()
}

// New returns the Library of a directory, which need not exist. Nothing is heard before Run. cfg is valid.
func New(dir string, cfg Config, log *slog.Logger) *Library {
	return &Library{
		dir: dir, cfg: cfg, log: log,
		newEncoder: func(f media.AudioFormat) (sound.Encoder, error) { return sound.OpenEncoder(f, cfg.FastAAC) },
		loopLength: loopLength,
		wake:       make(chan struct{}, 1),
		kept:       map[encodingKey]*encoding{},
	}
}

// Run encodes what is played until ctx ends, and returns why it did. What was encoded is gone then, and the goroutines joined.
func (l *Library) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer l.closeAll()
	defer wg.Wait()
	for {
		l.mu.Lock()
		for _, e := range l.starting {
			wg.Go(func() { l.work(ctx, e) })
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
	defer l.mu.Unlock()
	for _, e := range l.kept {
		e.close()
	}
	clear(l.kept)
}

// Stats returns the figures.
func (l *Library) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	st := l.stats
	st.Files = len(l.kept)
	for _, e := range l.kept {
		st.Bytes += e.bytes
	}
	return st
}

// Check fails with ErrNotFound if there is no such file in the directory, and with ErrUnplayable if it is none that can be played.
func (l *Library) Check(name string) error {
	f, _, _, err := l.open(name)
	if err != nil {
		return err
	}
	return f.Close()
}

// Open returns a player for a file, which begins with the first call of Replace. It fails as Check does.
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

// open opens a file of the directory; os.Root sees to it that no name or link leads out of it. Errors say nothing of where the
// directory is.
func (l *Library) open(name string) (*os.File, os.FileInfo, *wav, error) {
	none := fmt.Errorf("%q: %w", name, ErrNotFound)
	root, err := os.OpenRoot(l.dir)
	if err != nil {
		return nil, nil, nil, none
	}
	defer root.Close()
	info, err := root.Stat(name) // before opening, which would wait for a pipe's writer
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

// join makes a player one of those of what its key says, from its beginning. The caller holds mu.
func (l *Library) join(p *Player) {
	e := l.kept[p.key]
	if e == nil {
		e = &encoding{key: p.key, wake: make(chan struct{}, 1), players: map[*Player]struct{}{}}
		l.kept[p.key] = e
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

// leave ends that. The caller holds mu.
func (l *Library) leave(p *Player) {
	if p.encoding == nil {
		return
	}
	delete(p.encoding.players, p)
	l.clock++
	p.encoding.used = l.clock
	signal(p.encoding.wake)
	p.encoding, p.next = nil, nil
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// work encodes a file and loads what was encoded, as its players need it, until there are none. It is Run's.
func (l *Library) work(ctx context.Context, e *encoding) {
	keep, err := l.serve(ctx, e)
	if keep {
		return
	}
	defer e.close()
	if err == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.kept, e.key)
	e.err = err
	if ctx.Err() == nil {
		l.stats.Errors++
		l.log.Warn("sound file ended early", "file", e.key.name, "err", err)
	}
}

func (e *encoding) close() {
	if e.file != nil {
		e.file.Close() // it has no name any more, so this is its end
		e.file = nil
	}
}

// serve does the work until the last player has left. It says whether the sound is kept for others, who then may have joined it
// already.
func (l *Library) serve(ctx context.Context, e *encoding) (keep bool, err error) {
	var m *maker
	defer func() {
		if m != nil {
			m.close()
		}
	}()
	for {
		job, i := l.job(e)
		switch job {
		case jobLeave:
			return true, nil
		case jobDrop:
			return false, nil
		case jobWait:
			select {
			case <-e.wake:
			case <-ctx.Done():
				return false, context.Cause(ctx)
			}
		case jobLoad:
			err = l.load(e, i)
		case jobMake:
			if m == nil {
				if m, err = l.newMaker(e); err != nil {
					return false, err
				}
			}
			err = l.make(e, m)
		}
		if err != nil {
			return false, err
		}
	}
}

// What there is to do for a sound.
type job int

const (
	jobWait job = iota
	jobLeave
	jobDrop // what was made in part
	jobLoad // a chunk of the file
	jobMake // the next chunk
)

// job decides what to do next, and gives players what is in memory.
func (l *Library) job(e *encoding) (job, int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(e.players) == 0 {
		e.working = false
		if e.done {
			return jobLeave, 0
		}
		delete(l.kept, e.key)
		return jobDrop, 0
	}
	furthest := 0
	for p := range e.players {
		furthest = max(furthest, p.at+1)
		i := e.after(p.at)
		if p.next != nil || i < 0 || i >= len(e.chunks) {
			continue
		}
		if p.next = e.chunks[i].bytes(); p.next == nil {
			return jobLoad, i
		}
	}
	if !e.done && len(e.chunks) < furthest+chunksAhead {
		return jobMake, 0
	}
	return jobWait, 0
}

// after returns the chunk after another, -1 after the last. The caller holds Library.mu.
func (e *encoding) after(i int) int {
	switch {
	case !e.done || i+1 < len(e.chunks):
		return i + 1
	case e.key.loop:
		return e.loop
	default:
		return -1
	}
}

// load reads a chunk for those who wait for it.
func (l *Library) load(e *encoding, i int) error {
	l.mu.Lock()
	c := e.chunks[i]
	l.mu.Unlock()
	b := make([]byte, c.size)
	if _, err := e.file.ReadAt(b, c.at); err != nil {
		return fmt.Errorf("read encoded sound: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	e.chunks[i].weak = weak.Make(&b)
	for p := range e.players {
		if p.next == nil && e.after(p.at) == i {
			p.next = &b
		}
	}
	return nil
}

// maker is what makes the chunks of a sound.
type maker struct {
	file    *os.File
	enc     sound.Encoder
	coder   *coder
	written int64
}

func (m *maker) close() {
	m.enc.Close()
	m.file.Close()
}

// newMaker opens the file, and makes room for what is made of it.
func (l *Library) newMaker(e *encoding) (*maker, error) {
	f, _, w, err := l.open(e.key.name)
	if err != nil {
		return nil, err
	}
	enc, err := l.newEncoder(e.key.format)
	if err != nil {
		f.Close()
		return nil, err
	}
	loop := time.Duration(0)
	if e.key.loop {
		loop = l.loopLength
	}
	m := &maker{file: f, enc: enc, coder: newCoder(w, enc, e.key.format, loop)}
	bytes := m.coder.packets * packetBytes(e.key.format, enc.FrameSize())
	if err := l.reserve(e, bytes); err != nil {
		m.close()
		return nil, err
	}
	if bytes > maxInMemory {
		if e.file, err = os.CreateTemp("", "transponder-sound-"); err == nil {
			err = os.Remove(e.file.Name())
		}
		if err != nil {
			m.close()
			return nil, fmt.Errorf("make room for encoded sound: %w", err)
		}
	}
	return m, nil
}

// packetBytes is how much room a packet takes, generously.
func packetBytes(f media.AudioFormat, samples int) int64 {
	switch f.Codec {
	case media.AAC:
		return 16 + int64(f.RateBPS)*int64(samples)*9/64/int64(f.SampleRate) // an eighth more than the mean
	case media.Speex:
		return 80
	default:
		return 2 + int64(samples*f.Channels)
	}
}

// reserve makes room by dropping what was not used for the longest time.
func (l *Library) reserve(e *encoding, bytes int64) error {
	var dropped []*encoding
	defer func() {
		for _, d := range dropped {
			d.close()
		}
	}()
	l.mu.Lock()
	defer l.mu.Unlock()
	sum := bytes
	for _, k := range l.kept {
		sum += k.bytes
	}
	for sum > l.cfg.MaxBytes {
		var oldest *encoding
		for _, k := range l.kept {
			if !k.working && (oldest == nil || k.used < oldest.used) {
				oldest = k
			}
		}
		if oldest == nil {
			return fmt.Errorf("%w: it is too long for what is kept of encoded sound", ErrUnplayable)
		}
		sum -= oldest.bytes
		delete(l.kept, oldest.key)
		dropped = append(dropped, oldest)
	}
	e.bytes = bytes
	return nil
}

// make encodes the next chunk: a second, or what comes before a loop.
func (l *Library) make(e *encoding, m *maker) error {
	c := m.coder
	n := int64(e.key.format.SampleRate/m.enc.FrameSize()) + 1
	if c.made < c.loopStart {
		n = c.loopStart
	}
	begun := c.made
	var b []byte
	var err error
	for c.made-begun < n && err == nil {
		b, err = c.next(b)
	}
	done := errors.Is(err, io.EOF) || c.made == c.packets
	if err != nil && !done {
		return err
	}
	chunk := chunk{at: m.written, size: len(b)}
	if e.file == nil {
		chunk.kept = &b
	} else {
		chunk.weak = weak.Make(&b)
		if _, err := e.file.WriteAt(b, m.written); err != nil {
			return fmt.Errorf("keep encoded sound: %w", err)
		}
		m.written += int64(len(b))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	e.chunks = append(e.chunks, chunk)
	e.done = done
	if c.loopStart > 0 {
		e.loop = 1
	}
	l.stats.Encoded += c.made - begun
	return nil
}
