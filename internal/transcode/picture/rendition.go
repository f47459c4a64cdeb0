package picture

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"transponder/internal/media"
	"transponder/internal/panics"
	"transponder/internal/stream"
	"transponder/internal/transcode/libav"
	"transponder/internal/transcode/picture/worker"
)

const (
	// maxWaiting is how late pictures may reach the child. After that the child gets none before the next key frame.
	maxWaiting = time.Second
	// childStart bounds the time in which a child becomes ready, childPatience the time in which it answers, and childEnd the
	// time in which reading must fail once writing has failed.
	childStart    = 15 * time.Second
	childPatience = 3 * time.Second
	childEnd      = time.Second
	// maxFailures is how many children in a row may end without having made a picture.
	maxFailures = 3
	// A child that lived for healthyChild is replaced at once. Otherwise there is a pause, first of childPause, then twice as
	// long each time, up to maxChildPause.
	healthyChild  = 10 * time.Second
	childPause    = 100 * time.Millisecond
	maxChildPause = 2 * time.Second
)

var (
	errChildEnded  = errors.New("the process that transcodes has ended")
	errChildSilent = errors.New("the process that transcodes does not answer")
)

// rendition makes the pictures of one source in one profile. It runs a child process, and starts another one when the child
// dies.
type rendition struct {
	source  *stream.Source
	cfg     libav.VideoConfig
	command []string
	panics  *panics.Counter // of all renditions
	log     *slog.Logger

	maxCores float64 // a child that uses more than this for too long is killed; see cost.exceeds

	users   int         // guarded by Transcoder.mu
	wantKey atomic.Bool // a reader asks for a key frame

	mu      sync.Mutex
	stats   Stats           // guarded by mu
	reader  *stream.Reader  // guarded by mu; nil while run does not run
	process *worker.Process // guarded by mu; nil while there is no child
	cost    cost            // guarded by mu
}

func newRendition(s *stream.Source, cfg libav.VideoConfig, command []string, panics *panics.Counter, log *slog.Logger) *rendition {
	return &rendition{
		source: s, cfg: cfg, command: command, panics: panics, log: log.With("stream", s.Info().Name, "video", fmt.Sprintf("%+v", cfg)),
		maxCores: float64(max(cfg.Threads, 1) + spareCores),
		cost:     cost{began: time.Now(), predicted: predict(s, cfg)},
	}
}

// ask makes the next picture a key frame. It does not block.
func (r *rendition) ask() { r.wantKey.Store(true) }

// figures returns the figures of the rendition until now.
func (r *rendition) figures() Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	st := r.stats
	st.CPU = r.cost.measured
	if r.reader != nil {
		st.Dropped += r.reader.Stats().DroppedFrames
	}
	return st
}

// runSafely is run, and fails if run panics.
func (r *rendition) runSafely(ctx context.Context, out *stream.Feed) error {
	return r.safely(func() error { return r.run(ctx, out) })
}

// safely runs f. If f panics, the error ends this rendition, and no other.
func (r *rendition) safely(f func() error) error {
	return r.panics.Run(r.log, "video rendition panicked", f)
}

// run makes pictures until ctx or the source ends.
func (r *rendition) run(ctx context.Context, out *stream.Feed) error {
	reader := r.source.NewReader(stream.ReaderConfig{Video: r.source.Video, MaxDuration: maxWaiting})
	r.mu.Lock()
	r.reader = reader
	r.mu.Unlock()
	defer func() {
		reader.Close()
		r.mu.Lock()
		defer r.mu.Unlock()
		r.stats.Dropped += reader.Stats().DroppedFrames
		r.reader = nil
	}()

	sink := &childSink{r: r, out: out}
	failures := 0
	var pause time.Duration
	for {
		began, made := time.Now(), sink.made
		ended, err := r.child(ctx, reader, sink)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case ended:
			return err
		case sink.made > made:
			failures = 0
		default:
			failures++
		}
		r.log.Warn("the process that transcodes is lost", "err", err, "after", time.Since(began).Round(time.Millisecond),
			"pictures", sink.made-made)
		if failures == maxFailures {
			return fmt.Errorf("%w: %w", ErrTranscoder, err)
		}
		if time.Since(began) > healthyChild {
			pause = 0
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(pause):
		}
		pause = min(max(2*pause, childPause), maxChildPause)
		r.mu.Lock()
		r.stats.Restarts++
		r.mu.Unlock()
		reader.Restart()
	}
}

// child runs one child process until it ends, or ctx, or the source. ended says that the source has ended, with err.
func (r *rendition) child(ctx context.Context, reader *stream.Reader, sink *childSink) (ended bool, err error) {
	p, err := worker.Start(r.command, r.cfg, r.log)
	if err != nil {
		return false, err
	}
	r.setProcess(p)
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(ctx, p.Kill)
	patience := newPatience(childStart, func() { cancel(errChildSilent) })
	received := make(chan struct{})
	go func() {
		defer close(received)
		cancel(r.safely(func() error { return sink.receive(p, patience) }))
	}()
	defer func() {
		patience.stop()
		p.Kill()
		<-received
		stop()
		r.setProcess(nil)
		p.Close()
	}()

	readErr, writeErr := r.give(ctx, reader, p, patience)
	switch {
	case ctx.Err() != nil:
		return false, context.Cause(ctx)
	case readErr != nil:
		return true, readErr
	default:
		select { // the error of reading tells more
		case <-received:
			return false, context.Cause(ctx)
		case <-time.After(childEnd):
			return false, writeErr
		}
	}
}

func (r *rendition) setProcess(p *worker.Process) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.process = p
}

// give writes the frames of the source to the child.
func (r *rendition) give(ctx context.Context, reader *stream.Reader, p *worker.Process, patience *patience) (readErr, writeErr error) {
	frames := make([]media.Frame, 8)
	for {
		n, err := reader.Read(ctx, frames)
		if err != nil {
			return err, nil
		}
		for _, f := range frames[:n] {
			patience.asked()
			if r.wantKey.Swap(false) {
				if err := p.RequestKeyFrame(); err != nil {
					return nil, err
				}
			}
			if err := p.WriteFrame(f); err != nil {
				return nil, err
			}
		}
		clear(frames[:n])
	}
}

// childSink writes the frames of one child after the other to one feed.
type childSink struct {
	r   *rendition
	out *stream.Feed

	made  int64
	last  media.Timestamp
	track *media.Track
}

// receive reads from a child until it ends.
func (s *childSink) receive(p *worker.Process, patience *patience) error {
	var before worker.Stats
	for {
		o, err := p.Read()
		switch {
		case errors.Is(err, io.EOF) || errors.Is(err, io.ErrClosedPipe):
			return errChildEnded
		case err != nil:
			return fmt.Errorf("%w: %w", errChildEnded, err)
		}
		patience.answered()
		switch {
		case o.Frame.Track != nil:
			s.write(o.Frame)
		case o.Stats != nil:
			s.count(*o.Stats, before)
			before = *o.Stats
		}
	}
}

// count adds the figures of a child. before are the figures that it sent last.
func (s *childSink) count(st, before worker.Stats) {
	s.r.mu.Lock()
	s.r.stats.Dropped += st.Dropped - before.Dropped
	s.r.stats.Damaged += st.Damaged - before.Damaged
	s.r.mu.Unlock()
	if st.NeedKey {
		s.r.source.RequestKeyFrame()
	}
}

// write writes a frame to the feed. A new child sends a track of its own; if it equals the last one, readers get the last one
// again and see no change. Time must not go backwards: at a constant frame rate, the child before may have been ahead by a
// fraction of a frame.
func (s *childSink) write(f media.Frame) {
	if t := s.track; t != nil && t != f.Track && t.Codec == f.Track.Codec && t.Width == f.Track.Width && t.Height == f.Track.Height &&
		bytes.Equal(t.Config, f.Track.Config) {
		f.Track = t
	}
	s.track = f.Track
	if s.made > 0 {
		f.Time = max(f.Time, s.last.Add(time.Millisecond))
	}
	s.last = f.Time
	s.made++
	s.r.mu.Lock()
	s.r.stats.Frames++
	s.r.mu.Unlock()
	s.out.Write(f)
}

// patience calls a function when a request has had no answer for too long.
type patience struct {
	mu      sync.Mutex
	timer   *time.Timer // guarded by mu
	waiting bool        // guarded by mu
}

// newPatience waits for the first answer, for at most first.
func newPatience(first time.Duration, over func()) *patience {
	return &patience{timer: time.AfterFunc(first, over), waiting: true}
}

func (p *patience) asked() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.waiting {
		p.waiting = true
		p.timer.Reset(childPatience)
	}
}

func (p *patience) answered() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting = false
	p.timer.Stop()
}

func (p *patience) stop() { p.answered() }
