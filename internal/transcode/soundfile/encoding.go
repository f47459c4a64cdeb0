package soundfile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
	"weak"

	"transponder/internal/media"
	"transponder/internal/transcode/sound"
)

const (
	// chunksAhead is how many chunks are encoded ahead of the player that is furthest in the file.
	chunksAhead = 3
	// maxInMemory is the most bytes of packets that an encoding keeps in memory: a minute at 128 kbit/s. Longer ones use a file.
	maxInMemory = 1 << 20
)

// encoding is one file in one format. While it has players, one goroutine (run) encodes what they need next. What was encoded to
// the end is kept for the next player.
type encoding struct {
	library *Library
	key     encodingKey
	wake    chan struct{} // capacity 1; tells run that a player came, left or took a chunk

	file *os.File // nil if all chunks are in memory; owned by run, and between two runs by whoever removes the encoding from the cache

	// Guarded by Library.mu.
	players map[*Player]struct{}
	chunks  []chunk
	loop    int // the chunk that follows the last one, if the key asks for a loop
	done    bool
	err     error // why run has ended
	working bool  // run runs, or is about to
	bytes   int64 // reserved in the cache
	lastUse int64 // cache.uses when a player left last
}

func newEncoding(l *Library, key encodingKey) *encoding {
	return &encoding{library: l, key: key, wake: make(chan struct{}, 1), players: map[*Player]struct{}{}}
}

// chunk is about a second of packets. Two bytes before each packet hold its length.
type chunk struct {
	at   int64 // offset in encoding.file
	size int
	kept *[]byte              // nil if the chunk is in encoding.file
	weak weak.Pointer[[]byte] // valid as long as some player holds the chunk
}

// bytes returns the chunk if it is in memory.
func (c chunk) bytes() *[]byte {
	if c.kept != nil {
		return c.kept
	}
	return c.weak.Value()
}

// run encodes the file and loads encoded chunks, as the players need them, until there are no players.
func (e *encoding) run(ctx context.Context) {
	var keep bool
	err := e.library.panics.Run(e.library.log, "sound file panicked", func() (err error) {
		keep, err = e.serve(ctx)
		return err
	})
	if keep {
		return
	}
	defer e.close()
	if err == nil {
		return
	}
	l, failed := e.library, ctx.Err() == nil
	l.mu.Lock()
	delete(l.cache.kept, e.key)
	e.err = err
	if failed {
		l.stats.Errors++
	}
	l.mu.Unlock()
	if failed {
		l.log.Warn("sound file ended early", "file", e.key.name, "err", err)
	}
}

func (e *encoding) close() {
	if e.file != nil {
		e.file.Close() // its name is gone already, so this frees the space
		e.file = nil
	}
}

// serve works until the last player has left. keep means that the encoding is complete and stays in the cache; then another run may
// have begun already.
func (e *encoding) serve(ctx context.Context) (keep bool, err error) {
	var m *maker
	defer func() {
		if m != nil {
			m.close()
		}
	}()
	for {
		job, i := e.job()
		switch job {
		case jobKeep:
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
			err = e.load(i)
		case jobMake:
			if m == nil {
				if m, err = e.newMaker(); err != nil {
					return false, err
				}
			}
			err = e.make(m)
		}
		if err != nil {
			return false, err
		}
	}
}

// job is what run does next.
type job int

const (
	jobWait job = iota
	jobKeep     // end, and keep the complete encoding
	jobDrop     // end, and forget the incomplete encoding
	jobLoad     // read a chunk from the file
	jobMake     // encode the next chunk
)

// job decides what to do next. It also gives players their next chunk if that is in memory. For jobLoad, i is the chunk.
func (e *encoding) job() (j job, i int) {
	l := e.library
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(e.players) == 0 {
		e.working = false
		if e.done {
			return jobKeep, 0
		}
		delete(l.cache.kept, e.key)
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

// after returns the number of the chunk that follows chunk i, -1 after the last. The caller holds Library.mu.
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

// load reads chunk i from the file and gives it to the players that wait for it.
func (e *encoding) load(i int) error {
	l := e.library
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

// maker holds what is open while a file is encoded.
type maker struct {
	file    *os.File
	enc     sound.Encoder
	coder   *coder
	written int64 // to encoding.file
}

func (m *maker) close() {
	m.enc.Close()
	m.file.Close()
}

// newMaker opens the file and an encoder, and reserves room for the packets.
func (e *encoding) newMaker() (*maker, error) {
	f, _, w, err := e.library.open(e.key.name)
	if err != nil {
		return nil, err
	}
	enc, err := e.library.newEncoder(e.key.format)
	if err != nil {
		f.Close()
		return nil, err
	}
	loop := time.Duration(0)
	if e.key.loop {
		loop = e.library.loopLength
	}
	m := &maker{file: f, enc: enc, coder: newCoder(w, enc, e.key.format, loop)}
	bytes := m.coder.packets * packetBytes(e.key.format, enc.FrameSize())
	if err := e.reserve(bytes); err != nil {
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

// reserve makes room in the cache.
func (e *encoding) reserve(bytes int64) error {
	e.library.mu.Lock()
	dropped, err := e.library.cache.reserve(e, bytes)
	e.library.mu.Unlock()
	for _, d := range dropped {
		d.close()
	}
	return err
}

// packetBytes returns an upper bound for the mean size of a packet, its length included.
func packetBytes(f media.AudioFormat, samples int) int64 {
	switch f.Codec {
	case media.AAC:
		return 16 + int64(f.RateBPS)*int64(samples)*9/64/int64(f.SampleRate) // an eighth more than the bit rate says
	case media.Opus:
		return 16 + int64(f.RateBPS)*int64(samples)/4/int64(f.SampleRate) // twice: the bit rate varies
	case media.Speex, media.SpeexNarrow:
		return 80
	default:
		return 2 + int64(samples*f.Channels)
	}
}

// make encodes the next chunk: about a second. The first chunk of a loop is everything that is not repeated.
func (e *encoding) make(m *maker) error {
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
	next := chunk{at: m.written, size: len(b)}
	if e.file == nil {
		next.kept = &b
	} else {
		next.weak = weak.Make(&b)
		if _, err := e.file.WriteAt(b, m.written); err != nil {
			return fmt.Errorf("keep encoded sound: %w", err)
		}
		m.written += int64(len(b))
	}
	e.library.mu.Lock()
	defer e.library.mu.Unlock()
	e.chunks = append(e.chunks, next)
	e.done = done
	if c.loopStart > 0 {
		e.loop = 1
	}
	e.library.stats.Encoded += c.made - begun
	return nil
}
