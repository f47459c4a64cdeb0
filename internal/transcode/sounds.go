package transcode

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
)

var (
	// ErrNoSound means that there is no such file in the directory.
	ErrNoSound = errors.New("no such sound file")
	// ErrSound means that a file cannot be played.
	ErrSound = errors.New("cannot be played")
)

const (
	// soundAhead is how many chunks are made ahead of the player that is furthest.
	soundAhead = 3
	// smallSound is the size up to which what was made is kept in memory: a minute at 128 kbit/s.
	smallSound = 1 << 20
)

// SoundsConfig says how sound files are played.
type SoundsConfig struct {
	RateBPS  int   // of AAC in stereo, in bit/s; the rest of its form is that of the sound in whose place a file is played
	FastAAC  bool  // as in AudioConfig
	MaxBytes int64 // most encoded sound at a time, in memory and in the directory for temporary files
}

// DefaultSoundsConfig keeps some eight hours at 128 kbit/s.
func DefaultSoundsConfig() SoundsConfig {
	return SoundsConfig{RateBPS: 128_000, FastAAC: true, MaxBytes: 512 << 20}
}

// Validate reports every value that cannot work.
func (c SoundsConfig) Validate() error {
	var errs []error
	if c.RateBPS < minRateBPS || c.RateBPS > maxRateBPS {
		errs = append(errs, fmt.Errorf("bit rate %d of sound files is not within %d and %d bit/s", c.RateBPS, minRateBPS, maxRateBPS))
	}
	if c.MaxBytes < 1<<20 {
		errs = append(errs, fmt.Errorf("%d bytes are not enough for encoded sound files", c.MaxBytes))
	}
	return errors.Join(errs...)
}

// Sounds plays the WAV files of a directory. Each is encoded once for a form of sound, as far as its players have come and a
// little further, and kept: in memory if it is small, else in a temporary file without a name. All methods may be called from
// any goroutine.
type Sounds struct {
	dir string
	cfg SoundsConfig
	log *slog.Logger

	newEncoder func(media.AudioFormat) (encoder, error)
	loopLength time.Duration
	wake       chan struct{} // holds one; tells Run of starting

	mu       sync.Mutex
	kept     map[soundKey]*sound // guarded by mu
	starting []*sound            // guarded by mu; to be worked on
	clock    int64               // guarded by mu; counts uses
	stats    SoundStats          // guarded by mu
}

// SoundStats are figures of all players at one moment.
type SoundStats struct {
	Players int   // that were opened and not closed
	Files   int   // that are encoded, or being encoded, in one form
	Bytes   int64 // that these take at most

	Encoded int64 // packets made
	Starved int64 // packets of silence, as the file's was not ready
	Errors  int64 // files that could not be read or encoded to their end
}

// soundKey tells apart what is encoded.
type soundKey struct {
	name     string
	modified time.Time
	size     int64
	loop     bool
	format   media.AudioFormat
}

// sound is a file in one form, in the making or made.
type sound struct {
	key  soundKey
	wake chan struct{} // holds one; tells the worker that there may be something to do

	// Guarded by Sounds.mu.
	players map[*SoundPlayer]struct{}
	chunks  []soundChunk
	loop    int // the chunk that follows the last, in a loop
	done    bool
	err     error
	working bool
	bytes   int64 // that are reserved
	used    int64 // when it last had players

	file *os.File // set before there is more than one chunk; nil if the chunks are all in memory
}

// soundChunk is about a second of packets, each behind its length in two bytes.
type soundChunk struct {
	at   int64 // in the file
	size int
	kept *[]byte              // nil if it is in the file
	weak weak.Pointer[[]byte] // who plays it keeps it
}

// bytes returns the chunk if it is in memory.
func (c soundChunk) bytes() *[]byte {
	if c.kept != nil {
		return c.kept
	}
	return c.weak.Value()
}

// NewSounds returns the Sounds of a directory, which need not exist. Nothing is heard before Run. cfg is valid.
func NewSounds(dir string, cfg SoundsConfig, log *slog.Logger) *Sounds {
	return &Sounds{
		dir: dir, cfg: cfg, log: log,
		newEncoder: func(f media.AudioFormat) (encoder, error) { return openEncoder(f, cfg.FastAAC && fastWorks() == nil) },
		loopLength: loopLength,
		wake:       make(chan struct{}, 1),
		kept:       map[soundKey]*sound{},
	}
}

// Run encodes what is played until ctx ends, and returns why it did. What was encoded is gone then, and the goroutines joined.
func (s *Sounds) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer s.closeAll()
	defer wg.Wait()
	for {
		s.mu.Lock()
		for _, snd := range s.starting {
			wg.Go(func() { s.work(ctx, snd) })
		}
		s.starting = nil
		s.mu.Unlock()
		select {
		case <-s.wake:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (s *Sounds) closeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, snd := range s.kept {
		snd.close()
	}
	clear(s.kept)
}

// Stats returns the figures.
func (s *Sounds) Stats() SoundStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.stats
	st.Files = len(s.kept)
	for _, snd := range s.kept {
		st.Bytes += snd.bytes
	}
	return st
}

// Check fails with ErrNoSound if there is no such file in the directory, and with ErrSound if it is none that can be played.
func (s *Sounds) Check(name string) error {
	f, _, _, err := s.open(name)
	if err != nil {
		return err
	}
	return f.Close()
}

// Open returns a player for a file, which begins with the first call of Replace. It fails as Check does.
func (s *Sounds) Open(name string, loop bool) (*SoundPlayer, error) {
	if !libav.Enabled {
		return nil, libav.ErrDisabled
	}
	f, info, _, err := s.open(name)
	if err != nil {
		return nil, err
	}
	f.Close()
	s.mu.Lock()
	s.stats.Players++
	s.mu.Unlock()
	key := soundKey{name: name, modified: info.ModTime(), size: info.Size(), loop: loop}
	return &SoundPlayer{sounds: s, key: key}, nil
}

// open opens a file of the directory; os.Root sees to it that no name or link leads out of it. Errors say nothing of where the
// directory is.
func (s *Sounds) open(name string) (*os.File, os.FileInfo, *wav, error) {
	none := fmt.Errorf("%q: %w", name, ErrNoSound)
	root, err := os.OpenRoot(s.dir)
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
		return nil, nil, nil, fmt.Errorf("%q %w: %w", name, ErrSound, err)
	}
	return f, info, w, nil
}

// join makes a player one of those of what its key says, from its beginning. The caller holds mu.
func (s *Sounds) join(p *SoundPlayer) {
	snd := s.kept[p.key]
	if snd == nil {
		snd = &sound{key: p.key, wake: make(chan struct{}, 1), players: map[*SoundPlayer]struct{}{}}
		s.kept[p.key] = snd
	}
	snd.players[p] = struct{}{}
	p.sound, p.at, p.next = snd, -1, nil
	if snd.working {
		signal(snd.wake)
		return
	}
	snd.working = true
	s.starting = append(s.starting, snd)
	signal(s.wake)
}

// leave ends that. The caller holds mu.
func (s *Sounds) leave(p *SoundPlayer) {
	if p.sound == nil {
		return
	}
	delete(p.sound.players, p)
	s.clock++
	p.sound.used = s.clock
	signal(p.sound.wake)
	p.sound, p.next = nil, nil
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// work encodes a file and loads what was encoded, as its players need it, until there are none. It is Run's.
func (s *Sounds) work(ctx context.Context, snd *sound) {
	keep, err := s.serve(ctx, snd)
	if keep {
		return
	}
	defer snd.close()
	if err == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.kept, snd.key)
	snd.err = err
	if ctx.Err() == nil {
		s.stats.Errors++
		s.log.Warn("sound file ended early", "file", snd.key.name, "err", err)
	}
}

func (snd *sound) close() {
	if snd.file != nil {
		snd.file.Close() // it has no name any more, so this is its end
		snd.file = nil
	}
}

// serve does the work until the last player has left. It says whether the sound is kept for others, who then may have joined it
// already.
func (s *Sounds) serve(ctx context.Context, snd *sound) (keep bool, err error) {
	var m *soundMaker
	defer func() {
		if m != nil {
			m.close()
		}
	}()
	for {
		job, i := s.job(snd)
		switch job {
		case soundLeave:
			return true, nil
		case soundDrop:
			return false, nil
		case soundWait:
			select {
			case <-snd.wake:
			case <-ctx.Done():
				return false, context.Cause(ctx)
			}
		case soundLoad:
			err = s.load(snd, i)
		case soundMake:
			if m == nil {
				if m, err = s.newMaker(snd); err != nil {
					return false, err
				}
			}
			err = s.make(snd, m)
		}
		if err != nil {
			return false, err
		}
	}
}

// What there is to do for a sound.
type soundJob int

const (
	soundWait soundJob = iota
	soundLeave
	soundDrop // what was made in part
	soundLoad // a chunk of the file
	soundMake // the next chunk
)

// job decides what to do next, and gives players what is in memory.
func (s *Sounds) job(snd *sound) (soundJob, int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(snd.players) == 0 {
		snd.working = false
		if snd.done {
			return soundLeave, 0
		}
		delete(s.kept, snd.key)
		return soundDrop, 0
	}
	furthest := 0
	for p := range snd.players {
		furthest = max(furthest, p.at+1)
		i := snd.after(p.at)
		if p.next != nil || i < 0 || i >= len(snd.chunks) {
			continue
		}
		if p.next = snd.chunks[i].bytes(); p.next == nil {
			return soundLoad, i
		}
	}
	if !snd.done && len(snd.chunks) < furthest+soundAhead {
		return soundMake, 0
	}
	return soundWait, 0
}

// after returns the chunk after another, -1 after the last. The caller holds Sounds.mu.
func (snd *sound) after(i int) int {
	switch {
	case !snd.done || i+1 < len(snd.chunks):
		return i + 1
	case snd.key.loop:
		return snd.loop
	default:
		return -1
	}
}

// load reads a chunk for those who wait for it.
func (s *Sounds) load(snd *sound, i int) error {
	s.mu.Lock()
	c := snd.chunks[i]
	s.mu.Unlock()
	b := make([]byte, c.size)
	if _, err := snd.file.ReadAt(b, c.at); err != nil {
		return fmt.Errorf("read encoded sound: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	snd.chunks[i].weak = weak.Make(&b)
	for p := range snd.players {
		if p.next == nil && snd.after(p.at) == i {
			p.next = &b
		}
	}
	return nil
}

// soundMaker is what makes the chunks of a sound.
type soundMaker struct {
	file    *os.File
	enc     encoder
	coder   *soundCoder
	written int64
}

func (m *soundMaker) close() {
	m.enc.Close()
	m.file.Close()
}

// newMaker opens the file, and makes room for what is made of it.
func (s *Sounds) newMaker(snd *sound) (*soundMaker, error) {
	f, _, w, err := s.open(snd.key.name)
	if err != nil {
		return nil, err
	}
	enc, err := s.newEncoder(snd.key.format)
	if err != nil {
		f.Close()
		return nil, err
	}
	loop := time.Duration(0)
	if snd.key.loop {
		loop = s.loopLength
	}
	m := &soundMaker{file: f, enc: enc, coder: newSoundCoder(w, enc, snd.key.format, loop)}
	bytes := m.coder.packets * packetBytes(snd.key.format, enc.FrameSize())
	if err := s.reserve(snd, bytes); err != nil {
		m.close()
		return nil, err
	}
	if bytes > smallSound {
		if snd.file, err = os.CreateTemp("", "transponder-sound-"); err == nil {
			err = os.Remove(snd.file.Name())
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
func (s *Sounds) reserve(snd *sound, bytes int64) error {
	var dropped []*sound
	defer func() {
		for _, d := range dropped {
			d.close()
		}
	}()
	s.mu.Lock()
	defer s.mu.Unlock()
	sum := bytes
	for _, k := range s.kept {
		sum += k.bytes
	}
	for sum > s.cfg.MaxBytes {
		var oldest *sound
		for _, k := range s.kept {
			if !k.working && (oldest == nil || k.used < oldest.used) {
				oldest = k
			}
		}
		if oldest == nil {
			return fmt.Errorf("%w: it is too long for what is kept of encoded sound", ErrSound)
		}
		sum -= oldest.bytes
		delete(s.kept, oldest.key)
		dropped = append(dropped, oldest)
	}
	snd.bytes = bytes
	return nil
}

// make encodes the next chunk: a second, or what comes before a loop.
func (s *Sounds) make(snd *sound, m *soundMaker) error {
	c := m.coder
	n := int64(snd.key.format.SampleRate/m.enc.FrameSize()) + 1
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
	chunk := soundChunk{at: m.written, size: len(b)}
	if snd.file == nil {
		chunk.kept = &b
	} else {
		chunk.weak = weak.Make(&b)
		if _, err := snd.file.WriteAt(b, m.written); err != nil {
			return fmt.Errorf("keep encoded sound: %w", err)
		}
		m.written += int64(len(b))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	snd.chunks = append(snd.chunks, chunk)
	snd.done = done
	if c.loopStart > 0 {
		snd.loop = 1
	}
	s.stats.Encoded += c.made - begun
	return nil
}
